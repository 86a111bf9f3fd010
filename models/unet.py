"""Conditional U-Net extractor: convolutions over the spectrum whose lowest levels attend to the tokens of the query.

Shapes: B batch, Q queries, L tokens of a query, D size of one token, C channels, N frames, F bins.
Source: Mahmud et al. 2024, "Weakly-supervised Audio Separation via Bi-modal Semantic Similarity",
https://arxiv.org/abs/2404.01740, sized as its public training script does: log(1 + magnitude) at 16 kHz, seven
levels of stride 2, self- then cross-attention in the three lowest, 32 feature channels at the top, from which the whole
query reads the mask by an inner product.

Example::

    extractor = UNet(UNetConfig())
    tracks = extractor(mixture, tokens)        # (B, T), (B, Q, L, 2 D) -> (B, Q, T); one token is fine
"""

import torch
from torch import Tensor, nn

from data_specs.extractors import UNetConfig
from models.extractor import Extractor, ExtractorFeatures, off_grid, on_grid

LEAK = 0.2


class AttentionBlock(nn.Module):
    """Pre-norm attention and MLP, to itself or, where given a context, to that."""

    def __init__(self, dim: int, heads: int, context_dim: int | None = None):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, kdim=context_dim, vdim=context_dim, batch_first=True)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor, context: Tensor | None = None, absent: Tensor | None = None) -> Tensor:
        """(B, S, C), and a context (B, L, D) whose ``absent`` (B, L) tokens are not seen, to (B, S, C)."""
        normed = self.norm1(x)
        seen = normed if context is None else context
        x = x + self.attention(normed, seen, seen, key_padding_mask=absent, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class QueryAttention(nn.Module):
    """Self-attention over the grid, then cross-attention to the query's tokens and to one that is always there.

    The token that is always there lets a grid position ask for nothing, and an absent query be one.
    """

    def __init__(self, dim: int, heads: int, context_dim: int):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1, 1, context_dim))
        self.own = AttentionBlock(dim, heads)
        self.query = AttentionBlock(dim, heads, context_dim)

    def forward(self, grid: Tensor, tokens: Tensor) -> Tensor:
        """Grid (B, C, N, F) and tokens (B, L, D) to (B, C, N, F)."""
        context = torch.cat([self.nothing.expand(len(tokens), -1, -1), tokens], dim=1)
        absent = (tokens == 0).all(dim=-1)
        absent = torch.cat([absent.new_zeros(len(tokens), 1), absent], dim=1)
        places = self.query(self.own(grid.flatten(2).transpose(1, 2)), context, absent)
        return places.transpose(1, 2).reshape(grid.shape)


class Level(nn.Module):
    """Down by stride 2, attention where there is one, what lies below, up again, beside a skip of the input."""

    def __init__(
        self, channels_in: int, channels: int, channels_out: int, attention: nn.Module | None, below: nn.Module | None
    ):
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(channels_in, channels, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(LEAK),
            Residual(channels),
        )
        self.attention = attention
        self.below = below
        inner = channels if below is None else 2 * channels
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            Residual(inner),
            nn.Conv2d(inner, channels_out, kernel_size=3, padding=1),
        )

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """(B, C_in, N, F) to (B, C_out, N, F)."""
        x = self.down(x)
        if self.attention is not None:
            x = self.attention(x, tokens)
        return self.up(x if self.below is None else torch.cat([x, self.below(x, tokens)], dim=1))


class Residual(nn.Module):
    """A 3 x 3 convolution with batch norm, bridged, then leaky ReLU."""

    def __init__(self, channels: int):
        super().__init__()
        self.change = nn.Sequential(nn.Conv2d(channels, channels, kernel_size=3, padding=1), nn.BatchNorm2d(channels))
        self.activation = nn.LeakyReLU(LEAK)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.change(x))


class Inner(nn.Module):
    """A level that is not the topmost: its output is normalised and not negative."""

    def __init__(self, level: Level, channels_out: int):
        super().__init__()
        self.level = level
        self.norm = nn.Sequential(nn.BatchNorm2d(channels_out), nn.ReLU())

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return self.norm(self.level(x, tokens))


class UNet(Extractor):
    """Magnitude in, mask in (0, 1) out, phase of the mixture."""

    config: UNetConfig
    takes_tokens = True

    def __init__(self, config: UNetConfig):
        super().__init__(config)
        channels, context_dim = config.channels, 2 * config.query_dim
        below: nn.Module | None = None
        for depth in reversed(range(1, len(channels))):
            attends = depth >= len(channels) - config.attention_levels
            attention = QueryAttention(channels[depth], config.heads, context_dim) if attends else None
            level = Level(channels[depth - 1], channels[depth], channels[depth - 1], attention, below)
            below = Inner(level, channels[depth - 1])
        self.norm = nn.BatchNorm2d(1)
        self.levels = Level(1, channels[0], config.feature_channels, None, below)
        self.read = nn.Linear(context_dim, config.feature_channels)
        self.bias = nn.Parameter(torch.zeros(()))

    def masks(self, features: ExtractorFeatures, queries: Tensor) -> Tensor:
        """Masks (B, Q, N, F) in (0, 1) for queries (B, Q, L, 2 D) or (B, Q, 2 D)."""
        tokens = (queries.unsqueeze(2) if queries.ndim == 3 else queries).flatten(0, 1)  # (B * Q, L, 2 D)
        count = queries.shape[1]
        _, frames, bins = features.spectrum.shape
        image = on_grid(torch.log1p(features.spectrum.abs()).unsqueeze(1), 2**self.config.levels)
        feature_map = self.levels(self.norm(image).repeat_interleave(count, dim=0), tokens)  # (B * Q, C, N, F)
        whole = tokens.sum(dim=1) / (tokens != 0).any(dim=-1).sum(dim=1, keepdim=True).clamp(min=1)  # (B * Q, 2 D)
        logits = torch.einsum("bc,bcnf->bnf", self.read(whole), feature_map) + self.bias
        logits = off_grid(logits.unsqueeze(1), frames, bins)
        return torch.sigmoid(logits.squeeze(1)).unflatten(0, (-1, count))
