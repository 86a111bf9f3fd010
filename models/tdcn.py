"""Unconditional separator: a TDCN++-like mask network that takes any mixture apart into M estimates, without a query.

A waveform becomes frames of a basis (STFT or learned), dilated separable convolutions over frames give M masks, masked
frames become waveforms again, and a projection makes them sum to the mixture. Against Conv-TasNet's network, TDCN++
normalises every feature over time, scales residuals, and feeds the inputs of earlier repeats to later ones.

Shapes: B batch, T samples, M estimates, N frames, F bins or basis functions, C channels.
Sources: Luo and Mesgarani 2019 (Conv-TasNet), https://arxiv.org/abs/1809.07454; Kavalerov et al. 2019 (TDCN++),
https://arxiv.org/abs/1905.03330. Masks multiply the STFT with the mixture's phase.

Example::

    estimates = TDCN(TDCNConfig(outputs=8))(mixture)        # (B, T) -> (B, M, T)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_specs.unconditional import TDCNConfig
from models.mixit_terms import mixture_consistency
from models.spectral import STFT

RESIDUAL_DECAY = 0.9  # initial scale of the l-th block of a repeat is this to the power of l


class FeatureNorm(nn.Module):
    """Feature-wise layer norm: every channel of (B, C, N) to zero mean and unit variance over frames."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, N) to (B, C, N)."""
        variance, mean = torch.var_mean(features, dim=2, keepdim=True, correction=0)
        return (features - mean) * torch.rsqrt(variance + 1e-5) * self.gain + self.bias


class ConvBlock(nn.Module):
    """Dilated depthwise-separable convolution with a scaled residual: (B, C, N) to (B, C, N)."""

    def __init__(self, width: int, hidden: int, kernel: int, *, dilation: int, scale: float):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(width, hidden, 1),
            nn.PReLU(),
            FeatureNorm(hidden),
            nn.Conv1d(hidden, hidden, kernel, dilation=dilation, padding="same", groups=hidden),
            nn.PReLU(),
            FeatureNorm(hidden),
            nn.Conv1d(hidden, width, 1),
        )
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, N) to (B, C, N)."""
        return features + self.scale * self.convolutions(features)


class DilatedRepeats(nn.Module):
    """Repeats of blocks whose dilation doubles; a repeat also sees the inputs of earlier ones through 1x1 layers."""

    def __init__(self, config: TDCNConfig):
        super().__init__()
        self.repeats = nn.ModuleList(
            nn.Sequential(
                *(
                    ConvBlock(
                        config.width,
                        config.hidden,
                        config.kernel,
                        dilation=2**level,
                        scale=RESIDUAL_DECAY**level,
                    )
                    for level in range(config.blocks)
                )
            )
            for _ in range(config.repeats)
        )
        # One layer on the earlier inputs side by side is the sum of a layer on each.
        self.skips = nn.ModuleList(
            nn.Conv1d(later * config.width, config.width, 1) for later in range(1, config.repeats)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, N) to (B, C, N)."""
        inputs = [features]
        features = self.repeats[0](features)
        for repeat, skip in zip(self.repeats[1:], self.skips, strict=True):
            features = features + skip(torch.cat(inputs, dim=1))
            inputs.append(features)
            features = repeat(features)
        return features


class SpectralBasis(nn.Module):
    """STFT: the network sees log magnitudes, masks multiply the complex spectrum."""

    log_floor = 1e-3

    def __init__(self, config: TDCNConfig):
        super().__init__()
        self.stft = STFT(config.window_length, config.hop_length)
        self.size = config.window_length // 2 + 1

    def analyse(self, waveform: Tensor) -> Tensor:
        """Waveform (B, T) to complex frames (B, F, N)."""
        return self.stft(waveform).transpose(1, 2)

    def features(self, frames: Tensor) -> Tensor:
        """What the network sees of frames: real (B, F, N)."""
        return torch.log(frames.abs() + self.log_floor)

    def synthesise(self, frames: Tensor, length: int) -> Tensor:
        """Frames (..., F, N) to waveforms (..., T)."""
        return self.stft.inverse(frames.transpose(-1, -2), length)


class LearnedBasis(nn.Module):
    """Learned analysis filters with ReLU, learned synthesis filters: Conv-TasNet's encoder and decoder."""

    def __init__(self, config: TDCNConfig):
        super().__init__()
        self.window, self.hop, self.size = config.window_length, config.hop_length, config.filters
        self.analysis = nn.Conv1d(1, self.size, self.window, stride=self.hop, bias=False)
        self.synthesis = nn.ConvTranspose1d(self.size, 1, self.window, stride=self.hop, bias=False)

    def analyse(self, waveform: Tensor) -> Tensor:
        """Waveform (B, T) to frames (B, F, N); both ends are padded so that every sample is in whole frames."""
        margin = self.window - self.hop
        end = -(waveform.shape[1] + margin - self.window) % self.hop + margin
        return F.relu(self.analysis(F.pad(waveform, (margin, end)).unsqueeze(1)))

    def features(self, frames: Tensor) -> Tensor:
        """The frames themselves."""
        return frames

    def synthesise(self, frames: Tensor, length: int) -> Tensor:
        """Frames (..., F, N) to waveforms (..., T)."""
        flat = self.synthesis(frames.reshape(-1, *frames.shape[-2:])).squeeze(1)
        margin = self.window - self.hop
        return flat[:, margin : margin + length].reshape(*frames.shape[:-2], length)


class TDCN(nn.Module):
    """The unconditional separator; see the module's docstring. The whole input is one sequence, whatever its length."""

    level_floor = 1e-5  # RMS below which a mixture is not amplified further

    def __init__(self, config: TDCNConfig):
        super().__init__()
        self.config = config
        self.basis = SpectralBasis(config) if config.basis == "stft" else LearnedBasis(config)
        # Global layer norm: normalising every bin over time would hide the spectrum of steady sounds.
        self.first = nn.Sequential(nn.GroupNorm(1, self.basis.size), nn.Conv1d(self.basis.size, config.width, 1))
        self.body = DilatedRepeats(config)
        self.last = nn.Sequential(nn.PReLU(), nn.Conv1d(config.width, config.outputs * self.basis.size, 1))

    def forward(self, mixture: Tensor) -> Tensor:
        """Mixture (B, T) to estimates (B, M, T).

        Raises:
            ValueError: when the mixture is not (B, T) or has no samples.
        """
        if mixture.ndim != 2 or mixture.shape[1] == 0:
            raise ValueError(f"a mixture batch has shape (B, T) with T > 0, got {tuple(mixture.shape)}")
        level = mixture.square().mean(dim=1, keepdim=True).sqrt().clamp(min=self.level_floor)
        # A frame's worth of silence behind short input: the STFT reflects half a window at its ends.
        waveform = F.pad(mixture / level, (0, max(0, self.config.window_length - mixture.shape[1])))
        frames = self.basis.analyse(waveform)
        masked = self.masks(self.basis.features(frames)) * frames.unsqueeze(1)  # (B, M, F, N)
        estimates = self.basis.synthesise(masked, waveform.shape[1])[..., : mixture.shape[1]]
        if self.config.consistency != "none":
            estimates = mixture_consistency(estimates, mixture / level, self.config.consistency)
        return estimates * level.unsqueeze(1)

    def masks(self, features: Tensor) -> Tensor:
        """Features (B, F, N) to masks (B, M, F, N) in (0, 1)."""
        logits = self.last(self.body(self.first(features))).unflatten(1, (self.config.outputs, -1))
        return logits.softmax(dim=1) if self.config.masks == "softmax" else logits.sigmoid()
