"""What the samples of a window add up to, gathered block by block: checksum, level, peak, and what is wrong with them.

Ingest judges every window by this without holding it in memory.

Example::

    stats = WindowStats.of(reader.blocks(320_000), rate_hz=32_000)
    stats.trouble(min_duration_s=0.5, silence_db=-70.0)          # '' or 'silent', ...
"""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.audio import Block

_POWER_FLOOR = 1e-20  # -200 dB


@dataclass(frozen=True)
class WindowStats:
    """Figures of one window. Levels are RMS in dB full scale about the mean: a constant offset is no sound.

    ``channel_db`` is the level of the loudest channel; it exceeds ``level_db`` where channels cancel in the downmix.
    """

    sha256: str
    frames: int
    rate_hz: int
    level_db: float
    channel_db: float
    peak: float
    finite: bool

    @classmethod
    def of(cls, blocks: Iterable[Block], rate_hz: int) -> "WindowStats":
        """Read the blocks once. The checksum covers the rate and the mono samples (float32, little-endian)."""
        digest = hashlib.sha256(f"{rate_hz}\n".encode())
        frames, peak, finite = 0, 0.0, True
        sums: np.ndarray | float = 0.0
        squares: np.ndarray | float = 0.0
        for block in blocks:
            frames += len(block.mono)
            digest.update(block.mono.astype("<f4", copy=False).tobytes())
            samples = np.column_stack([block.mono, block.channels]).astype(np.float64)  # (T, 1 + C)
            finite = finite and bool(np.isfinite(samples).all())
            if finite:
                sums = sums + samples.sum(axis=0)
                squares = squares + np.einsum("tc,tc->c", samples, samples)
                peak = max(peak, float(np.abs(block.mono).max()))
        power = np.atleast_1d(squares / max(1, frames) - np.square(sums / max(1, frames)))
        return cls(
            sha256=digest.hexdigest(),
            frames=frames,
            rate_hz=rate_hz,
            level_db=_db(float(power[0])),
            channel_db=_db(float(power.max())),
            peak=peak,
            finite=finite,
        )

    def trouble(self, *, min_duration_s: float, silence_db: float) -> str:
        """Why the window cannot be used, as a short reason; empty if it can."""
        if self.frames < min_duration_s * self.rate_hz:
            return f"shorter than {min_duration_s:g} s"
        if not self.finite:
            return "NaN or infinite samples"
        if self.level_db < silence_db:
            return "silent" if self.channel_db < silence_db else "silent after downmix"
        return ""


def _db(power: float) -> float:
    return 10 * math.log10(max(power, _POWER_FLOOR))
