"""What all extractors share: level, sample rate, spectrum and windows around a network that makes a mask per query.

An extractor serves wherever the ClearSep separator does (``models.separator``): ``encode`` once per mixture, then
``separate`` for all of its queries. The mask is real (mixture phase) or complex (with a phase residual).

Shapes: B batch, T samples, Q queries, D size of one query embedding, L tokens of a query, N frames, F bins. Queries are
(B, Q, 2 D), positive and negative half side by side, or (B, Q, L, 2 D) with a row per token; zeros are absent.

Example::

    extractor = Conformer(ConformerConfig())
    tracks = extractor(mixture, queries)                    # (B, T), (B, Q, 2 D) -> (B, Q, T)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from data_specs.extractors import ExtractorConfig
from models.htsat import resampler
from models.spectral import STFT
from models.windows import WindowedSeparator


@dataclass
class ExtractorFeatures:
    """What ``separate`` needs to know of a mixture: spectrum of the levelled mixture, its level, its length."""

    spectrum: Tensor  # (B, N, F) complex
    level: Tensor  # (B, 1)
    length: int


class Extractor(WindowedSeparator):
    """Base of the extractors; a subclass gives ``masks``."""

    takes_tokens = False  # a query is one vector
    level_floor = 1e-5  # RMS below which a mixture is not amplified further
    log_floor = 1e-4  # about the quantisation step of 16-bit audio after the STFT

    def __init__(self, config: ExtractorConfig):
        super().__init__()
        self.config = config
        self.window_length = config.window_length
        self.stft = STFT(config.n_fft, config.hop_length)
        self.to_network = resampler(config.sample_rate_hz, config.network_rate_hz)
        self.from_network = resampler(config.network_rate_hz, config.sample_rate_hz)

    def encode(self, mixture: Tensor) -> ExtractorFeatures:
        """Features of a mixture (B, T) of at most ``window_length`` samples.

        Raises:
            ValueError: when the mixture is not (B, T), has no samples, or too many.
        """
        if mixture.ndim != 2 or not 0 < mixture.shape[1] <= self.window_length:
            raise ValueError(
                f"a mixture batch has shape (B, T) with 0 < T <= {self.window_length}, got {tuple(mixture.shape)}"
            )
        level = torch.ones_like(mixture[:, :1])
        if self.config.normalise_level:
            level = mixture.square().mean(dim=1, keepdim=True).sqrt().clamp(min=self.level_floor)
        return ExtractorFeatures(self.spectrum(mixture / level), level, mixture.shape[1])

    def spectrum(self, waveform: Tensor) -> Tensor:
        """Waveform (..., T) to the complex spectrum (..., N, F) that masks apply to."""
        waveform = self.to_network(waveform)
        missing = max(0, 2 * self.config.n_fft - waveform.shape[-1])  # what reflection padding needs
        return self.stft(F.pad(waveform, (0, missing)))

    def compressed(self, features: ExtractorFeatures) -> Tensor:
        """Magnitude of the spectrum as the network sees it, (B, N, F)."""
        magnitude = features.spectrum.abs()
        return torch.log(magnitude + self.log_floor) if self.config.magnitude_compression == "log" else magnitude

    def resynthesise(self, features: ExtractorFeatures, masks: Tensor) -> Tensor:
        """Masks (B, Q, N, F) to estimates (B, Q, T)."""
        masked = masks * features.spectrum.unsqueeze(1)
        length = -(-features.length * self.config.network_rate_hz // self.config.sample_rate_hz)
        estimates = self.from_network(self.stft.inverse(masked, length=length))
        return estimates[..., : features.length] * features.level.unsqueeze(1)


def on_grid(planes: Tensor, multiple: int) -> Tensor:
    """Planes (B, C, N, F) with the last bin dropped where F is odd, and frames of zeros up to a multiple."""
    frames, bins = planes.shape[2:]
    return F.pad(planes[..., : bins - bins % 2], (0, 0, 0, -frames % multiple))


def off_grid(planes: Tensor, frames: int, bins: int) -> Tensor:
    """The inverse of ``on_grid``: extra frames dropped, the missing last bin a copy of its neighbour."""
    planes = planes[:, :, :frames]
    return torch.cat([planes, planes[..., -1:]], dim=-1) if planes.shape[-1] < bins else planes
