"""Input that is longer than the separator's window: evenly spread windows, cross-faded where they meet.

Between two seams the result is what one window gives by itself, to the bit. One window is in memory at a time.

Shapes: B batch, Q queries, T samples.

Example::

    starts = window_starts(mixture.shape[-1], size=320_000, overlap=16_000)
    tracks = in_windows(lambda window: separator(window, queries), mixture, size=320_000, overlap=16_000)
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor


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
