"""The separation decoder: climbs back from the encoder's last tokens to a target feature, steered by the query.

Shapes: B batch, Q queries, L tokens, C channels, D query size (positive and negative together), N frames, M mel bins.
Submodules are named as in the public CLAPSep code (Ma et al. 2024, https://arxiv.org/abs/2402.17455).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from data_specs.config import SeparatorConfig
from models.film import ConditionedSkip
from models.htsat import init_weights, unfold
from models.swin import PatchExpand, swin_blocks


class DecoderStage(nn.Module):
    """Patch expanding (none in the first stage), then Swin blocks."""

    def __init__(self, dim: int, resolution: int, depth: int, heads: int, window_size: int, expand: bool):
        super().__init__()
        self.downsample = PatchExpand(2 * dim, resolution // 2) if expand else None
        self.blocks = swin_blocks(dim, resolution, depth, heads, window_size)

    def forward(self, tokens: Tensor) -> Tensor:
        if self.downsample is not None:
            tokens = self.downsample(tokens)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class InversePatchEmbed(nn.Module):
    """Tokens back to an image: a transposed convolution, computed as the matrix product that it is."""

    def __init__(self, patch_size: int, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.proj = nn.ConvTranspose2d(dim, 1, kernel_size=patch_size, stride=patch_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, C) to (B, 1, side, side)."""
        side, size = round(tokens.shape[1] ** 0.5), self.proj.stride[0]
        bias = self.proj.get_parameter("bias").expand(size * size)
        patches = F.linear(self.norm(tokens), self.proj.weight.flatten(1).T, bias)  # (B, L, size * size)
        squares = patches.unflatten(2, (size, size)).unflatten(1, (side, side)).transpose(2, 3)
        return squares.reshape(-1, 1, side * size, side * size)


class Decoder(nn.Module):
    """Encoder features and queries to a target feature per query (eq. 2).

    The stages run from the coarsest to the finest grid; after each one the encoder feature of the same grid comes in
    through a skip that the query modulates.
    """

    def __init__(self, config: SeparatorConfig, feature_dims: list[int]):
        super().__init__()
        query_dim = 2 * config.query_dim
        grid = config.encoder.spec_size // config.encoder.patch_size
        last = len(config.decoder_depths) - 1
        stages = range(last, -1, -1)  # coarse to fine
        self.folds = config.encoder.spec_size // config.encoder.mel_bins
        self.film = ConditionedSkip(feature_dims[-1], config.decoder_width * 2**last, query_dim)
        self.layers = nn.ModuleList(
            DecoderStage(
                config.decoder_width * 2**i,
                grid // 2**i,
                config.decoder_depths[i],
                config.decoder_heads[i],
                config.decoder_window_size,
                expand=i < last,
            )
            for i in stages
        )
        self.skip = nn.ModuleList(
            ConditionedSkip(feature_dims[i], config.decoder_width * 2**i, query_dim) for i in stages
        )
        self.inverse_patch_embed = InversePatchEmbed(config.encoder.patch_size, config.decoder_width)
        self.apply(init_weights)

    def forward(self, features: list[Tensor], queries: Tensor) -> Tensor:
        """Features [(B, L, C), ...] of the encoder and queries (B, Q, D) to target features (B * Q, N, M)."""
        *skips, hidden = features
        state = self.film(hidden, queries)
        for layer, feature, skip in zip(self.layers, reversed(skips), self.skip, strict=True):
            state = skip(feature, queries, layer(state))
        return unfold(self.inverse_patch_embed(state), self.folds)
