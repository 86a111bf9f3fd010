"""The ClearSep separator: HTSAT encoder, FiLM decoder, mask net; mask on the magnitude, phase of the mixture.

``encode`` runs once per mixture, ``separate`` then serves all of its queries in one batch. A query is a positive and a
negative embedding side by side; either may be zeros. Input of any length goes through windows with overlap-add.

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
from torch import Tensor, nn

from data_specs.config import SeparatorConfig
from models.decoder import Decoder
from models.htsat import HTSAT
from models.mask_net import MaskNet
from models.spectral import STFT, mel_interpolation


@dataclass
class MixtureFeatures:
    """What ``separate`` needs to know of a mixture: encoder features of its windows, spectrum, level, length."""

    encoded: list[Tensor]  # [(B * W, L, C), ...] with W windows per mixture
    spectrum: Tensor  # (B * W, N, F) complex, of the levelled windows
    level: Tensor  # (B, 1), what the mixture was divided by
    windows: int
    length: int


class Separator(nn.Module):
    """Query-conditioned separator; see the module's docstring."""

    level_floor = 1e-5  # RMS below which a mixture is not amplified further

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
        self.window_length = round(config.encoder.window_s * config.sample_rate_hz)

    def train(self, mode: bool = True) -> "Separator":
        """Training mode; with a frozen encoder (``models.lora``) all normalisation statistics stay as they are."""
        super().train(mode)
        if not self.encoder.bn0.weight.requires_grad:
            self.encoder.eval()
            self.mask_net.spec_norm.eval()
        return self

    def encode(self, mixture: Tensor) -> MixtureFeatures:
        """Mixture (B, T) to features, in windows of ``window_length`` samples that overlap by half.

        Raises:
            ValueError: when the mixture is not (B, T) or has no samples.
        """
        if mixture.ndim != 2 or mixture.shape[1] == 0:
            raise ValueError(f"a mixture batch has shape (B, T) with T > 0, got {tuple(mixture.shape)}")
        level = torch.ones_like(mixture[:, :1])
        if self.config.normalise_level:
            level = mixture.square().mean(dim=1, keepdim=True).sqrt().clamp(min=self.level_floor)
        windows = _split(mixture / level, self.window_length)  # (B, W, window_length)
        flat = windows.flatten(0, 1)
        return MixtureFeatures(
            encoded=self.encoder(flat),
            spectrum=self.stft(flat),
            level=level,
            windows=windows.shape[1],
            length=mixture.shape[1],
        )

    def masks(self, features: MixtureFeatures, queries: Tensor) -> Tensor:
        """Masks (B * W, Q, N, F) in (0, 1) for queries (B, Q, 2 D); every window of a mixture hears its queries."""
        per_window = queries.repeat_interleave(features.windows, dim=0)
        target_feature = self.decoder(features.encoded, per_window)  # (B * W * Q, frames, M)
        frames = features.spectrum.shape[1]
        target_feature = self._at_frames(target_feature, frames)
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

    def separate(self, features: MixtureFeatures, queries: Tensor) -> Tensor:
        """Queries (B, Q, 2 D) to estimates (B, Q, T) (eq. 4), all queries of all mixtures in one batch."""
        masked = self.masks(features, queries) * features.spectrum.unsqueeze(1)
        windows = self.stft.inverse(masked, length=self.window_length)  # (B * W, Q, window_length)
        windows = windows.unflatten(0, (-1, features.windows)).transpose(1, 2)  # (B, Q, W, window_length)
        return _overlap_add(windows, features.length) * features.level.unsqueeze(1)

    def forward(self, mixture: Tensor, queries: Tensor) -> Tensor:
        """Mixture (B, T) and queries (B, Q, 2 D) to estimates (B, Q, T); what distributed training calls."""
        return self.separate(self.encode(mixture), queries)


def _mel_to_bins(config: SeparatorConfig) -> Tensor:
    encoder = config.encoder
    return mel_interpolation(
        sample_rate_hz=config.sample_rate_hz,
        n_fft=config.n_fft,
        mel_bins=encoder.mel_bins,
        f_min_hz=encoder.f_min_hz,
        f_max_hz=encoder.f_max_hz,
    )


def _split(waveform: Tensor, size: int) -> Tensor:
    """(B, T) to windows (B, W, size) at a hop of half a window, the end padded with silence."""
    length = waveform.shape[1]
    if length <= size:
        return F.pad(waveform, (0, size - length)).unsqueeze(1)
    hop = size // 2
    count = -(-(length - size) // hop) + 1
    return F.pad(waveform, (0, (count - 1) * hop + size - length)).unfold(1, size, hop)


def _overlap_add(windows: Tensor, length: int) -> Tensor:
    """The inverse of ``_split`` for (B, Q, W, size): triangular cross-fade where windows overlap."""
    b, q, count, size = windows.shape
    if count == 1:
        return windows[:, :, 0, :length]
    hop = size // 2
    ramp = (torch.arange(size, device=windows.device) + 0.5) / hop
    fade = torch.minimum(ramp, 2 - ramp).to(windows.dtype)
    total = (count - 1) * hop + size
    faded = (windows * fade).reshape(b * q, count, size).transpose(1, 2)
    summed = F.fold(faded, (1, total), (1, size), stride=(1, hop)).view(b, q, total)
    weight = F.fold(fade.expand(1, count, size).transpose(1, 2), (1, total), (1, size), stride=(1, hop)).view(total)
    return (summed / weight)[..., :length]
