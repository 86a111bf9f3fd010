"""The mask net: transformer layers over frames that turn target feature and mixture spectrum into a mask.

Parameters are named as those of ``nn.TransformerEncoder`` and of the public CLAPSep code.

Shapes: B batch, Q queries, N frames, M mel bins (the decoder's target feature), F linear bins, W width.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import attend
from models.linear import Linear, Packed


class FrameAttention(nn.Module):
    """Multi-head self-attention over all frames."""

    packed: Packed | None = None

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def pack(self, dtype: torch.dtype) -> None:
        """Prepare for inference on this CPU, until training mode."""
        self.packed = Packed(self.in_proj_weight, self.in_proj_bias, dtype)

    def train(self, mode: bool = True) -> "FrameAttention":
        """Training mode, without packed weights, or evaluation mode."""
        self.packed = None if mode else self.packed
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, W) to the same shape."""
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias) if self.packed is None else self.packed(x)
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, heads, N, W / heads) each
        return self.out_proj(attend(q, k, v).transpose(1, 2).flatten(2))


class FrameLayer(nn.Module):
    """Attention and MLP, each followed by a residual connection and a norm."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.self_attn = FrameAttention(width, heads)
        self.linear1 = Linear(width, 4 * width, activation="relu")
        self.linear2 = Linear(4 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, W) to the same shape."""
        x = self.norm1(x + self.self_attn(x))
        return self.norm2(x + self.linear2(self.linear1(x)))


class FrameLayers(nn.Module):
    """Layers one after the other."""

    def __init__(self, width: int, heads: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(FrameLayer(width, heads) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, W) to the same shape."""
        for layer in self.layers:
            x = layer(x)
        return x


class MaskNet(nn.Module):
    """Mask in (0, 1) for every query, from the concatenation of mixture magnitude and target feature (section 3.2).

    The first layer's part that sees the mixture is the same for all queries, so it is computed once per mixture.

    Args:
        compression: what the magnitude goes through first; ``log`` makes quiet bins as visible as loud ones.
        mel_to_bins: (F, M) weights that spread the target feature over the linear bins; where given, the spread
            feature is the mask's first guess and the layers refine it. A small net learns far faster that way. None is
            the published architecture.
    """

    log_floor = 1e-4  # about the quantisation step of 16-bit audio after the STFT

    def __init__(
        self,
        *,
        bins: int,
        feature_dim: int,
        width: int,
        layers: int,
        heads: int,
        compression: Literal["linear", "log"],
        mel_to_bins: Tensor | None = None,
    ):
        super().__init__()
        self.bins = bins
        self.compression = compression
        self.spec_norm = nn.BatchNorm2d(bins, momentum=0.01)
        self.first = nn.Linear(bins + feature_dim, width)
        last = Linear(width, bins)
        self.rest = nn.Sequential(nn.LayerNorm(width), FrameLayers(width, heads, layers), last)
        self.guess: Linear | None = None
        if mel_to_bins is not None:
            self.guess = Linear(feature_dim, bins)
            with torch.no_grad():
                self.guess.weight.copy_(mel_to_bins)
            nn.init.zeros_(self.guess.bias)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, magnitude: Tensor, target_feature: Tensor) -> Tensor:
        """Magnitude (B, N, F) and target feature (B * Q, N, M) to masks (B, Q, N, F)."""
        if self.compression == "log":
            magnitude = torch.log(magnitude + self.log_floor)
        spectrum = self.spec_norm(magnitude.flatten(0, 1)[:, :, None, None]).view_as(magnitude)
        from_mixture = F.linear(spectrum, self.first.weight[:, : self.bins], self.first.bias)  # (B, N, W)
        from_feature = F.linear(target_feature, self.first.weight[:, self.bins :])  # (B * Q, N, W)
        queries = len(from_feature) // len(from_mixture)
        hidden = (from_mixture.unsqueeze(1) + from_feature.unflatten(0, (-1, queries))).flatten(0, 1)
        logits = self.rest(hidden)
        if self.guess is not None:
            logits = logits + self.guess(target_feature)
        return torch.sigmoid(logits).unflatten(0, (-1, queries))
