"""Make a network ready to be used and no longer trained.

On a CPU its weights go into the layout, and the precision, that the processor multiplies fastest (``models.linear``).

Example::

    prepare_for_inference(separator, bf16=False)
"""

from typing import Protocol, runtime_checkable

import torch
from torch import nn


@runtime_checkable
class Packable(Protocol):
    """A module that can lay out its weights for inference on a CPU."""

    def pack(self, dtype: torch.dtype) -> None:
        """Do so, to multiply in ``dtype``."""


def prepare_for_inference(model: nn.Module, *, bf16: bool = False) -> None:
    """Set evaluation mode and, on a CPU, pack the weights, in place; ``model.train()`` takes that back.

    Args:
        bf16: for a model that will run in bfloat16 autocast.
    """
    model.eval()
    if next(model.parameters()).device.type == "cpu" and torch.backends.mkldnn.is_available():
        for module in model.modules():
            if isinstance(module, Packable):
                module.pack(torch.bfloat16 if bf16 else torch.float32)
