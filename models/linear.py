"""Linear layers that run as fast as the processor multiplies.

In training, and on a GPU, they are PyTorch's. For inference on a CPU, ``pack`` lays the weights out in blocks as oneDNN
multiplies them, once, and the activation is applied while a block is in the cache. ``models.inference`` calls it.

Example::

    layer = Linear(128, 512, activation="gelu")
    layer.pack(torch.bfloat16)
    layer(x)                    # as before, faster, without gradients
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["none", "gelu", "relu"]


class Packed:
    """``activation(weight x + bias)`` with blocked weights.

    Args:
        weight: (out, in).
        bias: (out,) or None.
        dtype: what is multiplied; inputs are cast to it, results have it.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, activation: Activation = "none"):
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype).contiguous())
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.dtype = dtype
        self.activation = activation

    def __call__(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return torch.ops.mkldnn._linear_pointwise(
            x.to(self.dtype), self.weight, self.bias, self.activation, [], "none" if self.activation == "gelu" else ""
        )


class Linear(nn.Linear):
    """A linear layer with the activation that follows it."""

    packed: Packed | None = None

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True, activation: Activation = "none"):
        super().__init__(in_features, out_features, bias)
        self.activation = activation

    def pack(self, dtype: torch.dtype) -> None:
        """Prepare for inference on this CPU, until training mode; changes of the weights are not heard."""
        self.packed = Packed(self.weight, self.bias, dtype, self.activation)

    def train(self, mode: bool = True) -> "Linear":
        """Training mode, without packed weights, or evaluation mode."""
        self.packed = None if mode else self.packed
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        if self.packed is not None:
            return self.packed(x)
        x = super().forward(x)
        if self.activation == "gelu":
            return F.gelu(x)
        return F.relu(x) if self.activation == "relu" else x
