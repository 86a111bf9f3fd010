"""The embedded CLAP with a memory for sounds: an experiment asks for the same ones in every epoch.

Tracks of an experiment are as long as a training window, so that a query is the embedding of one of a few hundred
waveforms. Embedding them again takes as long as the separator's own step.

Example::

    encoder = RememberingEncoder(load_clap("embedded"))
    encoder.embed_audio(sounds)      # (N, T) -> (N, D), computed once per sound
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from models.clap import TinyClap
from models.query_encoders import TinyClapEncoder


class RememberingEncoder(TinyClapEncoder):
    """A ``TinyClapEncoder`` that computes the embedding of a sound once; what it remembers only grows."""

    def __init__(self, clap: TinyClap):
        super().__init__(clap)
        self._sounds: dict[bytes, Tensor] = {}

    def embed_audio(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, T) to unit vectors (N, D)."""
        keys = [hashlib.blake2b(one.cpu().numpy().tobytes(), digest_size=16).digest() for one in waveforms]
        new = [row for row, key in enumerate(keys) if key not in self._sounds]
        if new:
            embedded = super().embed_audio(waveforms[new])
            self._sounds.update((keys[row], vector) for row, vector in zip(new, embedded, strict=True))
        return torch.stack([self._sounds[key] for key in keys])

    @contextmanager
    def changing_spectrograms(self, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """As without a memory: what is embedded meanwhile is neither remembered nor taken from memory."""
        remembered, self._sounds = self._sounds, {}
        try:
            with super().changing_spectrograms(change):
                yield
        finally:
            self._sounds = remembered
