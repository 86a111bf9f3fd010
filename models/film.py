"""Feature-wise linear modulation: how a query steers the decoder (eq. 2).

Shapes: B batch, Q queries per mixture, L tokens, C channels, D query size.
Source: Perez et al. 2018, "FiLM", https://arxiv.org/abs/1709.07871.
"""

from torch import Tensor, nn

from models.linear import Linear


class FiLM(nn.Module):
    """``gamma(query) * features + beta(query)``, for all queries of a mixture at once."""

    def __init__(self, query_dim: int, dim: int):
        super().__init__()
        self.beta = Linear(query_dim, dim)
        self.gamma = Linear(query_dim, dim)

    def forward(self, features: Tensor, queries: Tensor) -> Tensor:
        """Features (B, L, C) and queries (B, Q, D) to (B, Q, L, C)."""
        gamma, beta = self.gamma(queries).unsqueeze(2), self.beta(queries).unsqueeze(2)  # (B, Q, 1, C)
        return gamma * features.unsqueeze(1) + beta


class ConditionedSkip(nn.Module):
    """An encoder feature, projected once per mixture, modulated per query and added to the decoder's state."""

    def __init__(self, encoder_dim: int, dim: int, query_dim: int):
        super().__init__()
        self.skip_conv = FiLM(query_dim, dim)
        self.feature_proj = Linear(encoder_dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, feature: Tensor, queries: Tensor, state: Tensor | None = None) -> Tensor:
        """Feature (B, L, C), queries (B, Q, D) and state (B * Q, L, C) or None to the new state (B * Q, L, C)."""
        conditioned = self.skip_conv(self.feature_proj(feature), queries).flatten(0, 1)
        return self.norm(conditioned if state is None else conditioned + state)
