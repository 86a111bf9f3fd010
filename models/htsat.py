"""HTSAT: a Swin transformer on log-mel spectrograms, the audio encoder of CLAP and of the separator.

The spectrogram of one window (N frames, M mel bins) is folded along time into a square image of side
``spec_size``; patches of it become tokens; each stage halves the grid and doubles the width.

Source: Chen et al. 2022, "HTS-AT", https://arxiv.org/abs/2202.00874.

Example::

    encoder = HTSAT(HTSATConfig())
    features = encoder(waveform)          # [patches, stage 1, ..., stage 4], each (B, tokens, channels)
    embedding = encoder.pool(features)    # (B, 8 * width)
"""

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from data_specs.config import HTSATConfig
from models.spectral import LogMel
from models.swin import PatchMerging, swin_blocks


class PatchEmbed(nn.Module):
    """Square patches of the folded spectrogram as tokens: a convolution, computed as the matrix product that it is."""

    def __init__(self, patch_size: int, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(1, dim, kernel_size=patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, side, side) to (B, tokens, C)."""
        size = self.proj.stride[0]
        patches = image.unflatten(2, (-1, size)).unflatten(4, (-1, size))  # (B, 1, rows, size, columns, size)
        patches = patches.transpose(3, 4).flatten(4).flatten(1, 3)  # (B, tokens, size * size)
        return self.norm(F.linear(patches, self.proj.weight.flatten(1), self.proj.bias))


class EncoderStage(nn.Module):
    """Swin blocks at one resolution, then patch merging (none after the last stage)."""

    def __init__(self, dim: int, resolution: int, depth: int, heads: int, window_size: int, merge: bool):
        super().__init__()
        self.blocks = swin_blocks(dim, resolution, depth, heads, window_size)
        self.downsample = PatchMerging(dim, resolution) if merge else None

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        return tokens if self.downsample is None else self.downsample(tokens)


def fold(spectrogram: Tensor, folds: int) -> Tensor:
    """Fold (B, N, M) along time into an image (B, 1, folds * M, N / folds), earliest part on top."""
    b, n, m = spectrogram.shape
    return spectrogram.transpose(1, 2).reshape(b, m, folds, n // folds).transpose(1, 2).reshape(b, 1, folds * m, -1)


def unfold(image: Tensor, folds: int) -> Tensor:
    """The inverse of ``fold``: (B, 1, folds * M, N / folds) to (B, N, M)."""
    b, _, height, width = image.shape
    return image.view(b, folds, height // folds, width).transpose(1, 2).reshape(b, height // folds, -1).transpose(1, 2)


class HTSAT(nn.Module):
    """Audio encoder for one window of sound (``config.window_s`` seconds; shorter input is padded with silence).

    Args:
        config: architecture.
        input_rate_hz: rate of the waveforms given to ``forward``; resampled when the encoder's differs.
    """

    def __init__(self, config: HTSATConfig, input_rate_hz: int):
        super().__init__()
        self.config = config
        self.folds = config.spec_size // config.mel_bins
        self.resample = resampler(input_rate_hz, config.sample_rate_hz)
        self.logmel = LogMel(
            sample_rate_hz=config.sample_rate_hz,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            mel_bins=config.mel_bins,
            f_min_hz=config.f_min_hz,
            f_max_hz=config.f_max_hz,
        )
        self.bn0 = nn.BatchNorm2d(config.mel_bins)
        self.spectrogram = nn.Identity()  # sees the normalised spectrogram (B, N, M); augmentation hooks in here
        self.patch_embed = PatchEmbed(config.patch_size, config.width)
        grid = config.spec_size // config.patch_size
        self.layers = nn.ModuleList(
            EncoderStage(
                config.width * 2**i,
                grid // 2**i,
                depth,
                heads,
                config.window_size,
                merge=i < len(config.depths) - 1,
            )
            for i, (depth, heads) in enumerate(zip(config.depths, config.heads, strict=True))
        )
        self.norm = nn.LayerNorm(self.feature_dims[-1])
        self.apply(init_weights)

    @property
    def feature_dims(self) -> list[int]:
        """Channels of each feature that ``forward`` returns."""
        last = len(self.config.depths) - 1
        return [self.config.width] + [self.config.width * 2 ** min(i + 1, last) for i in range(last + 1)]

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Waveform (B, T) to the patch tokens and each stage's output, (B, tokens, channels) each."""
        with torch.autocast(waveform.device.type, enabled=False):  # half precision is too coarse for levels in dB
            mel = self.logmel(self.resample(waveform.float()), frames=self.config.frames)  # (B, N, M)
            mel = self.spectrogram(self.bn0(mel.flatten(0, 1)[:, :, None, None]).view_as(mel))
        features = [self.patch_embed(fold(mel, self.folds))]
        for layer in self.layers:
            features.append(layer(features[-1]))
        return features

    def pool(self, features: list[Tensor]) -> Tensor:
        """One embedding per window: the mean of the last stage's normalised tokens, (B, channels)."""
        return self.norm(features[-1]).mean(dim=1)


def resampler(from_hz: int, to_hz: int) -> nn.Module:
    """Waveforms at one rate to another; its kernel follows from the rates and stays out of checkpoints."""
    if from_hz == to_hz:
        return nn.Identity()
    resample = torchaudio.transforms.Resample(from_hz, to_hz)
    resample.register_buffer("kernel", resample.kernel, persistent=False)
    return resample


def init_weights(module: nn.Module) -> None:
    """Truncated normal linear weights, as in the public HTSAT code."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
