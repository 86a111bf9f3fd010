"""Pools of generated sounds for tests of the samplers."""

from collections.abc import Sequence

import numpy as np


class TonePool:
    """Sound ``index`` is a tone of its own pitch, so that it can be found again in a mixture; some may be silent."""

    def __init__(self, labels: Sequence[tuple[str, ...]], silent: Sequence[int] = ()):
        self._labels = labels
        self._silent = silent

    def __len__(self) -> int:
        return len(self._labels)

    def texts(self, index: int) -> tuple[str, ...]:
        return self._labels[index]

    def draw(self, index: int, rng: np.random.Generator, length: int) -> np.ndarray:
        if index in self._silent:
            return np.zeros(length, np.float32)
        phase = rng.uniform(0, 2 * np.pi)
        return np.sin(2 * np.pi * (300 + 200 * index) * np.arange(length) / 32_000 + phase).astype(np.float32)
