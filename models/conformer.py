"""Conformer extractor: conformer layers over frames, each conditioned on the query, that make a real mask.

Shapes: B batch, Q queries, D size of one query embedding, N frames, F bins, C channels.
Source: Saijo et al. 2024, section IV-B, https://arxiv.org/abs/2409.13152; the layers are torchaudio's. The paper leaves
open whether the conditioning block is bridged: here it is, so that an unsure query does not cut the network.

Example::

    extractor = Conformer(ConformerConfig())
    tracks = extractor(mixture, queries)
"""

import torch
from torch import Tensor, nn
from torchaudio.models.conformer import ConformerLayer

from data_specs.extractors import ConformerConfig
from models.extractor import Extractor, ExtractorFeatures
from models.film import FiLM


class ConditioningBlock(nn.Module):
    """Linear, Swish, FiLM, linear; added to its input."""

    def __init__(self, query_dim: int, dim: int):
        super().__init__()
        self.before = nn.Sequential(nn.Linear(dim, dim), nn.SiLU())
        self.film = FiLM(query_dim, dim)
        self.after = nn.Linear(dim, dim)

    def forward(self, hidden: Tensor, queries: Tensor) -> Tensor:
        """Hidden (B * Q, N, C) and queries (B * Q, D) to (B * Q, N, C)."""
        return hidden + self.after(self.film(self.before(hidden), queries.unsqueeze(1)).squeeze(1))


class Conformer(Extractor):
    """Magnitude in, real mask in (0, 1) out, phase of the mixture."""

    config: ConformerConfig

    def __init__(self, config: ConformerConfig):
        super().__init__(config)
        self.first = nn.Sequential(nn.Linear(config.bins, config.width), nn.LayerNorm(config.width))
        self.conditioning = nn.ModuleList(
            ConditioningBlock(2 * config.query_dim, config.width) for _ in range(config.blocks)
        )
        # Group norm, not batch norm: batches are small, and then training and inference agree.
        self.layers = nn.ModuleList(
            ConformerLayer(config.width, config.feed_forward, config.heads, config.kernel_size, use_group_norm=True)
            for _ in range(config.blocks)
        )
        self.last = nn.Linear(config.width, config.bins)

    def masks(self, features: ExtractorFeatures, queries: Tensor) -> Tensor:
        """Masks (B, Q, N, F) in (0, 1) for queries (B, Q, 2 D)."""
        count = queries.shape[1]
        hidden = self.first(self.compressed(features)).repeat_interleave(count, dim=0)  # (B * Q, N, C)
        per_estimate = queries.flatten(0, 1)
        for conditioning, layer in zip(self.conditioning, self.layers, strict=True):
            hidden = conditioning(hidden, per_estimate)
            hidden = layer(hidden.transpose(0, 1), None).transpose(0, 1)  # torchaudio's is (N, B, C)
        return torch.sigmoid(self.last(hidden)).unflatten(0, (-1, count))
