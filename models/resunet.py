"""ResUNet extractor: a residual U-Net over the spectrum, steered by the query, that masks magnitude and turns phase.

Shapes: B batch, Q queries, D size of one query embedding, C channels, N frames, F bins.
Source: Liu et al. 2023, "Separate Anything You Describe" (AudioSep), https://arxiv.org/abs/2308.05037, which
Saijo et al. 2024 use. As in its public code, the query only shifts features (FiLM's beta), before every activation. The
complex spectrum comes in as magnitude, cosine and sine of its phase.

Example::

    extractor = ResUNet(ResUNetConfig())
    tracks = extractor(mixture, queries)
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_specs.extractors import ResUNetConfig
from models.extractor import Extractor, ExtractorFeatures, off_grid, on_grid

LEAK = 0.01
PLANES = 3  # magnitude, cosine, sine; on the way out magnitude mask, real and imaginary part of the phase residual


class Shifted(nn.Module):
    """Batch norm, a shift by the query, leaky ReLU."""

    def __init__(self, channels: int, query_dim: int, momentum: float):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, momentum=momentum)
        self.beta = nn.Linear(query_dim, channels)

    def forward(self, x: Tensor, queries: Tensor) -> Tensor:
        """(B * Q, C, N, F) and queries (B * Q, 2 D) to (B * Q, C, N, F)."""
        return F.leaky_relu(self.norm(x) + self.beta(queries)[:, :, None, None], LEAK)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, each after a shift, bridged."""

    def __init__(self, channels_in: int, channels_out: int, query_dim: int, momentum: float):
        super().__init__()
        self.shift1 = Shifted(channels_in, query_dim, momentum)
        self.conv1 = nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False)
        self.shift2 = Shifted(channels_out, query_dim, momentum)
        self.conv2 = nn.Conv2d(channels_out, channels_out, kernel_size=3, padding=1, bias=False)
        self.bridge = nn.Conv2d(channels_in, channels_out, kernel_size=1) if channels_in != channels_out else None

    def forward(self, x: Tensor, queries: Tensor) -> Tensor:
        change = self.conv2(self.shift2(self.conv1(self.shift1(x, queries)), queries))
        return change + (x if self.bridge is None else self.bridge(x))


class UpBlock(nn.Module):
    """A transposed convolution to the finer grid, then a residual block over it and what the encoder had there."""

    def __init__(self, channels_in: int, channels_out: int, stride: tuple[int, int], query_dim: int, momentum: float):
        super().__init__()
        self.shift = Shifted(channels_in, query_dim, momentum)
        self.up = nn.ConvTranspose2d(channels_in, channels_out, kernel_size=stride, stride=stride, bias=False)
        self.block = ResidualBlock(2 * channels_out, channels_out, query_dim, momentum)

    def forward(self, x: Tensor, skip: Tensor, queries: Tensor) -> Tensor:
        return self.block(torch.cat([self.up(self.shift(x, queries)), skip], dim=1), queries)


class ResUNet(Extractor):
    """Complex spectrum in, complex mask out: magnitude in (0, 1) and a phase that is added to the mixture's."""

    config: ResUNetConfig

    def __init__(self, config: ResUNetConfig):
        super().__init__(config)
        query_dim, momentum, channels = 2 * config.query_dim, config.norm_momentum, config.channels
        self.strides = [(2, 2)] * (len(channels) - 1) + [(1, 2)]  # the lowest level halves frequency only
        self.magnitude_norm = nn.BatchNorm1d(config.bins, momentum=momentum)
        self.first = nn.Conv2d(PLANES, channels[0], kernel_size=1)
        self.down = nn.ModuleList(
            ResidualBlock(before, after, query_dim, momentum) for before, after in pairwise((channels[0], *channels))
        )
        self.middle = ResidualBlock(channels[-1], channels[-1], query_dim, momentum)
        self.up = nn.ModuleList(
            UpBlock(below, here, stride, query_dim, momentum)
            for below, here, stride in zip((*channels[1:], channels[-1]), channels, self.strides, strict=True)
        )
        self.last = nn.Conv2d(channels[0], PLANES, kernel_size=1)
        nn.init.zeros_(self.last.weight)
        self.last.bias = nn.Parameter(torch.tensor([0.0, 1.0, 0.0]))  # half the mixture, its phase

    def masks(self, features: ExtractorFeatures, queries: Tensor) -> Tensor:
        """Complex masks (B, Q, N, F) of magnitude below 1 for queries (B, Q, 2 D)."""
        count = queries.shape[1]
        _, frames, bins = features.spectrum.shape
        magnitude = self.magnitude_norm(self.compressed(features).transpose(1, 2)).transpose(1, 2)
        phase = torch.view_as_real(torch.sgn(features.spectrum)).movedim(-1, 1)  # (B, 2, N, F)
        planes = on_grid(torch.cat([magnitude.unsqueeze(1), phase], dim=1), 2 ** (self.config.levels - 1))
        x = self.first(planes).repeat_interleave(count, dim=0)
        per_estimate = queries.flatten(0, 1)
        skips = []
        for block, stride in zip(self.down, self.strides, strict=True):
            skips.append(block(x, per_estimate))
            x = F.avg_pool2d(skips[-1], stride)
        x = self.middle(x, per_estimate)
        for block, skip in zip(reversed(self.up), reversed(skips), strict=True):
            x = block(x, skip, per_estimate)
        gain, real, imaginary = off_grid(self.last(x), frames, bins).float().unbind(dim=1)  # (B * Q, N, F) each
        turn = torch.complex(torch.tanh(real), torch.tanh(imaginary))
        return (torch.sigmoid(gain) * turn / turn.abs().clamp(min=1e-6)).unflatten(0, (-1, count))
