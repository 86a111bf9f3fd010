"""A separator without weights for tests: the spectrum is cut into one band per label, so tracks sum to the mixture.

``labels`` that begin with "Bad" make it fail, as a network does that meets input it cannot digest.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from data_specs.config import Config


class BandSeparator:
    """Track q of Q holds the q-th part of the spectrum, times ``share``."""

    def __init__(self, checkpoint: str = "bands", share: float = 1.0) -> None:
        self.checkpoint_hash = checkpoint
        self.share = share
        self.batch_sizes: list[int] = []

    def separate_batch(self, mixtures: Tensor, labels: Sequence[Sequence[str]]) -> list[Tensor]:
        if any(label.startswith("Bad") for names in labels for label in names):
            raise RuntimeError("cannot digest this clip\nand more lines")
        self.batch_sizes.append(len(mixtures))
        return [self._bands(mixture, len(names)) for mixture, names in zip(mixtures, labels, strict=True)]

    def _bands(self, mixture: Tensor, count: int) -> Tensor:
        spectrum = torch.fft.rfft(mixture)
        band = torch.arange(len(spectrum)) * count // len(spectrum)
        return torch.stack([torch.fft.irfft(spectrum * (band == q), n=len(mixture)) for q in range(count)]) * self.share


def load_bands(config: Config, checkpoint: str) -> BandSeparator:
    """What a worker calls to get its separator."""
    return BandSeparator(checkpoint)
