"""The mask net: transformer layers over frames that turn target feature and mixture spectrum into a mask.

Shapes: B batch, Q queries, N frames, M mel bins (the decoder's target feature), F linear bins.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
        transformer = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, batch_first=True),
            num_layers=layers,
            enable_nested_tensor=False,
        )
        last = nn.Linear(width, bins)
        self.rest = nn.Sequential(nn.LayerNorm(width), transformer, last)
        self.guess: nn.Linear | None = None
        if mel_to_bins is not None:
            self.guess = nn.Linear(feature_dim, bins)
            with torch.no_grad():
                self.guess.weight.copy_(mel_to_bins)
            nn.init.zeros_(self.guess.bias)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, magnitude: Tensor, target_feature: Tensor) -> Tensor:
        """Magnitude (B, N, F) and target feature (B * Q, N, M) to masks (B, Q, N, F)."""
        if self.compression == "log":
            magnitude = torch.log(magnitude + self.log_floor)
        spectrum = self.spec_norm(magnitude.transpose(1, 2).unsqueeze(-1)).squeeze(-1).transpose(1, 2)
        from_mixture = F.linear(spectrum, self.first.weight[:, : self.bins], self.first.bias)  # (B, N, W)
        from_feature = F.linear(target_feature, self.first.weight[:, self.bins :])  # (B * Q, N, W)
        queries = len(from_feature) // len(from_mixture)
        hidden = from_mixture.repeat_interleave(queries, dim=0) + from_feature
        logits = self.rest(hidden)
        if self.guess is not None:
            logits = logits + self.guess(target_feature)
        return torch.sigmoid(logits).unflatten(0, (-1, queries))
