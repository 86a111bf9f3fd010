"""Input that is longer than the separator's window: evenly spread windows, cross-faded where they meet.

Between two seams the result is what one window gives by itself, to the bit. One window is in memory at a time.

Shapes: B batch, Q queries, T samples.

Example::

    starts = window_starts(mixture.shape[-1], size=320_000, overlap=16_000)
    tracks = in_windows(lambda window: separator(window, queries), mixture, size=320_000, overlap=16_000)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


def window_starts(length: int, *, size: int, overlap: int) -> list[int]:
    """Where the fewest windows begin that cover ``length`` samples and share at least ``overlap`` with the next."""
    if length <= size:
        return [0]
    count = -(-(length - overlap) // (size - overlap))
    return [round(i * (length - size) / (count - 1)) for i in range(count)]


def in_windows(separate: Callable[[Tensor], Tensor], mixture: Tensor, *, size: int, overlap: int) -> Tensor:
    """``separate``, which takes (B, up to ``size``) to (B, Q, same), applied to a mixture (B, T) of any length.

    Windows meet in the middle of what they share; a linear cross-fade over ``overlap`` samples hides the seam.
    """
    length = mixture.shape[-1]
    starts = window_starts(length, size=size, overlap=overlap)
    if len(starts) == 1:
        return separate(mixture)
    rise = (torch.arange(overlap, device=mixture.device) + 0.5) / overlap
    joints = [(start + size + following - overlap) // 2 for start, following in pairwise(starts)]
    estimates: Tensor | None = None
    for number, start in enumerate(starts):
        window = separate(mixture[:, start : start + size])  # (B, Q, size)
        if estimates is None:
            estimates = window.new_zeros(*window.shape[:-1], length)
        begin = joints[number - 1] if number > 0 else 0
        end = joints[number] + overlap if number < len(joints) else length
        span = window[..., begin - start : end - start]
        if number > 0:
            span = torch.cat([span[..., :overlap] * rise, span[..., overlap:]], dim=-1)
        if number < len(joints):
            span = torch.cat([span[..., :-overlap], span[..., -overlap:] * (1 - rise)], dim=-1)
        estimates[..., begin:end] += span
    assert estimates is not None
    return estimates


class WindowedSeparator(nn.Module, ABC):
    """Base of the separators: a subclass says how one window is encoded, masked and made audible again.

    ``window_length`` is the longest mixture that ``encode`` takes, in samples; ``config`` has ``overlap_s`` and
    ``sample_rate_hz``.
    """

    config: Any
    window_length: int

    @abstractmethod
    def encode(self, mixture: Tensor) -> Any:
        """Features of mixtures (B, T) of at most ``window_length`` samples; serves all queries."""

    @abstractmethod
    def masks(self, features: Any, queries: Tensor) -> Tensor:
        """Masks (B, Q, N, F), real or complex, for queries (B, Q, 2 D), or (B, Q, L, 2 D) of L tokens."""

    @abstractmethod
    def resynthesise(self, features: Any, masks: Tensor) -> Tensor:
        """Masks (B, Q, N, F) to estimates (B, Q, T)."""

    def separate(self, features: Any, queries: Tensor) -> Tensor:
        """Queries to estimates (B, Q, T) (eq. 4 of the ClearSep paper), all queries of all mixtures in one batch."""
        return self.resynthesise(features, self.masks(features, queries))

    def forward(self, mixture: Tensor, queries: Tensor, *, with_masks: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Mixture (B, T) of any length and queries to estimates (B, Q, T); what distributed training calls.

        Args:
            with_masks: give the masks (B, Q, N, F) too; the mixture must then fit into one window.

        Raises:
            ValueError: when the mixture is not (B, T), has no samples, or is too long for ``with_masks``.
        """
        if with_masks:
            features = self.encode(mixture)
            masks = self.masks(features, queries)
            return self.resynthesise(features, masks), masks
        return in_windows(
            lambda window: self.separate(self.encode(window), queries),
            mixture,
            size=self.window_length,
            overlap=round(self.config.overlap_s * self.config.sample_rate_hz),
        )
