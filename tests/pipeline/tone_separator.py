"""A separator without weights for evaluation tests: every label owns a band of the spectrum around its tone.

The positive label's band passes. The rest leaks with gain ``leak``, but for the bands of negative labels, so a query
with negatives separates better, as a trained network does.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

RATE_HZ = 8000
TONES_HZ = {"Bark": 500, "Rain": 1000, "Siren": 1500, "Speech": 2000, "Toot": 2500}


def tone(label: str, seconds: float = 1.0, level: float = 0.1) -> np.ndarray:
    """The sound (T,) of a label: its tone with a little vibrato."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * TONES_HZ[label] * time_s + np.sin(2 * np.pi * 3 * time_s)
    return (level * np.sin(phase)).astype(np.float32)


class ToneSeparator:
    """Knows ``TONES_HZ``; labels without a tone get the leak alone. ``calls`` records what it was asked."""

    def __init__(self, checkpoint: str = "tones", leak: float = 0.1) -> None:
        self.checkpoint_hash = checkpoint
        self.leak = leak
        self.calls: list[tuple[int, list[list[str]], list[list[list[str]]]]] = []

    def separate_batch(
        self,
        mixtures: Tensor,
        labels: Sequence[Sequence[str]],
        *,
        negatives: Sequence[Sequence[Sequence[str]]] | None = None,
    ) -> list[Tensor]:
        assert negatives is not None
        self.calls.append((len(mixtures), [list(row) for row in labels], [[list(n) for n in row] for row in negatives]))
        return [
            torch.stack([self._track(mixture, own, rest) for own, rest in zip(row, others, strict=True)])
            for mixture, row, others in zip(mixtures, labels, negatives, strict=True)
        ]

    def _track(self, mixture: Tensor, label: str, negatives: Sequence[str]) -> Tensor:
        spectrum = torch.fft.rfft(mixture)
        frequency_hz = torch.fft.rfftfreq(len(mixture), 1 / RATE_HZ)
        gain = torch.full_like(frequency_hz, self.leak)
        for name, value in [*((negative, 0.0) for negative in negatives), (label, 1.0)]:
            if name in TONES_HZ:
                gain[(frequency_hz - TONES_HZ[name]).abs() < 250] = value
        return torch.fft.irfft(spectrum * gain, n=len(mixture))
