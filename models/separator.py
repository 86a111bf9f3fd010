"""The ClearSep separator: HTSAT encoder, FiLM decoder, mask net; mask on the magnitude, phase of the mixture.

``encode`` runs once per mixture, ``separate`` then serves all of its queries in one batch. A query is a positive and a
negative embedding side by side; either may be zeros. ``forward`` takes input of any length (``models.windows``).

Shapes: B batch, T samples, Q queries, D size of one query embedding, N frames, F linear bins.
Source: section 3.2 and A.1 of the ClearSep paper.

Example::

    separator = Separator(SeparatorConfig())
    features = separator.encode(mixture)               # mixture (B, T)
    tracks = separator.separate(features, queries)     # queries (B, Q, 2 D) -> tracks (B, Q, T)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from data_specs.config import SeparatorConfig
from models.decoder import Decoder
from models.htsat import HTSAT
from models.mask_net import MaskNet
from models.spectral import STFT, mel_interpolation
from models.windows import WindowedSeparator


@dataclass
class MixtureFeatures:
    """What ``separate`` needs to know of a mixture: encoder features, spectrum, level, length."""

    encoded: list[Tensor]  # [(B, L, C), ...]
    spectrum: Tensor  # (B, N, F) complex, of the levelled mixture
    level: Tensor  # (B, 1), what the mixture was divided by
    length: int


class Separator(WindowedSeparator):
    """Query-conditioned separator; see the module's docstring."""

    takes_tokens = False  # a query is one vector
    level_floor = 1e-5  # RMS below which a mixture is not amplified further
    batches_measured = 300  # at momentum 0.01, 95 % of the statistics are measured ones

    def __init__(self, config: SeparatorConfig):
        super().__init__()
        self.config = config
        self.encoder = HTSAT(config.encoder, input_rate_hz=config.sample_rate_hz)
        self.stft = STFT(config.n_fft, config.hop_length)
        self.decoder = Decoder(config, self.encoder.feature_dims)
        self.mask_net = MaskNet(
            bins=config.n_fft // 2 + 1,
            feature_dim=config.encoder.mel_bins,
            width=config.mask_width,
            layers=config.mask_layers,
            heads=config.mask_heads,
            compression=config.magnitude_compression,
            mel_to_bins=_mel_to_bins(config) if config.mask_guess else None,
        )
        self.window_length = config.window_length

    def train(self, mode: bool = True) -> "Separator":
        """Training mode, or evaluation mode.

        With a frozen encoder (``models.lora``) normalisation statistics stay as they are, those of the spectrum only
        once enough batches went into them: the spectrum of an untrained separator has to be measured first.
        """
        super().train(mode)
        if not self.encoder.bn0.weight.requires_grad:
            self.encoder.eval()
            if int(self.mask_net.spec_norm.num_batches_tracked or 0) >= self.batches_measured:
                self.mask_net.spec_norm.eval()
        return self

    def encode(self, mixture: Tensor) -> MixtureFeatures:
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
        levelled = self._padded(mixture / level)
        return MixtureFeatures(
            encoded=self.encoder(levelled), spectrum=self.stft(levelled), level=level, length=mixture.shape[1]
        )

    def spectrum(self, waveform: Tensor) -> Tensor:
        """Waveform (..., T) to the complex spectrum (..., N, F) that masks apply to."""
        return self.stft(self._padded(waveform))

    def _padded(self, waveform: Tensor) -> Tensor:
        shortest = 2 * self.config.n_fft  # what reflection padding needs, at either sample rate
        return F.pad(waveform, (0, max(0, shortest - waveform.shape[-1])))

    def masks(self, features: MixtureFeatures, queries: Tensor) -> Tensor:
        """Masks (B, Q, N, F) in (0, 1) for queries (B, Q, 2 D)."""
        target_feature = self.decoder(features.encoded, queries)  # (B * Q, frames, M)
        target_feature = self._at_frames(target_feature, frames=features.spectrum.shape[1])
        return self.mask_net(features.spectrum.abs(), target_feature)

    def _at_frames(self, target_feature: Tensor, frames: int) -> Tensor:
        """Bring the encoder's frame rate to the spectrum's, where the two differ (they agree at full size)."""
        encoder_rate = self.config.encoder.sample_rate_hz / self.config.encoder.hop_length
        ratio = self.config.sample_rate_hz / self.config.hop_length / encoder_rate
        if ratio != 1:
            target_feature = F.interpolate(target_feature.transpose(1, 2), scale_factor=ratio, mode="linear")
            target_feature = target_feature.transpose(1, 2)
        missing = frames - target_feature.shape[1]
        return F.pad(target_feature, (0, 0, 0, missing)) if missing > 0 else target_feature[:, :frames]

    def resynthesise(self, features: MixtureFeatures, masks: Tensor) -> Tensor:
        """Masks (B, Q, N, F) to estimates (B, Q, T)."""
        parts = torch.view_as_real(features.spectrum).unsqueeze(1)  # (B, 1, N, F, 2)
        masked = torch.view_as_complex(parts * masks.unsqueeze(-1).float())
        return self.stft.inverse(masked, length=features.length) * features.level.unsqueeze(1)


def _mel_to_bins(config: SeparatorConfig) -> Tensor:
    encoder = config.encoder
    return mel_interpolation(
        sample_rate_hz=config.sample_rate_hz,
        n_fft=config.n_fft,
        mel_bins=encoder.mel_bins,
        f_min_hz=encoder.f_min_hz,
        f_max_hz=encoder.f_max_hz,
    )
