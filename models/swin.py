"""Swin transformer blocks on a square grid of tokens, shared by the HTSAT encoder and the separation decoder.

Shapes: B batch, H and W rows and columns of the token grid, C channels, S side of an attention window. Submodules are
named as in the public HTSAT code, so that its published weights fit.

Source: Liu et al. 2021, "Swin Transformer", https://arxiv.org/abs/2103.14030.
"""

import torch
from torch import Tensor, nn

from models.attention import attend
from models.linear import Linear

CROSS_REGION = -100.0  # added to the attention between tokens that a cyclic shift made neighbours


def to_windows(tokens: Tensor, side: int) -> Tensor:
    """(B, H, W, C) to (B * windows, S * S, C)."""
    b, h, w, c = tokens.shape
    grid = tokens.view(b, h // side, side, w // side, side, c).transpose(2, 3)
    return grid.reshape(-1, side * side, c)


def from_windows(windows: Tensor, side: int, h: int, w: int) -> Tensor:
    """(B * windows, S * S, C) back to (B, H, W, C)."""
    grid = windows.view(-1, h // side, w // side, side, side, windows.shape[-1]).transpose(2, 3)
    return grid.reshape(-1, h, w, windows.shape[-1])


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows, with a learned bias per relative position.

    Args:
        region_bias: (windows, S * S, S * S), keeps tokens apart that a shift made neighbours; None without a shift.
    """

    relative_position_index: Tensor
    region_bias: Tensor | None
    packed_bias: Tensor | None = None

    def __init__(self, dim: int, side: int, heads: int, region_bias: Tensor | None):
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * side - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)
        self.register_buffer("region_bias", region_bias, persistent=False)

        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        rows, columns = rows.flatten(), columns.flatten()
        row_offset = rows[:, None] - rows[None, :] + side - 1
        column_offset = columns[:, None] - columns[None, :] + side - 1
        self.register_buffer("relative_position_index", row_offset * (2 * side - 1) + column_offset, persistent=False)

    def bias(self) -> Tensor:
        """What is added to the scores, (1 or windows, heads, S * S, S * S)."""
        if self.packed_bias is not None:
            return self.packed_bias
        n = len(self.relative_position_index)
        bias = self.relative_position_bias_table.index_select(0, self.relative_position_index.flatten())
        bias = bias.view(n, n, -1).permute(2, 0, 1).unsqueeze(0)
        return bias if self.region_bias is None else bias + self.region_bias.unsqueeze(1)

    def pack(self, dtype: torch.dtype) -> None:
        """Prepare for inference, until training mode: make the bias once."""
        self.packed_bias = self.bias().detach().to(dtype).contiguous()

    def train(self, mode: bool = True) -> "WindowAttention":
        """Training mode, without a ready bias, or evaluation mode."""
        self.packed_bias = None if mode else self.packed_bias
        return super().train(mode)

    def forward(self, windows: Tensor) -> Tensor:
        """Attend within windows (B * windows, S * S, C), those of a clip side by side."""
        b, n, c = windows.shape
        q, k, v = self.qkv(windows).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(attend(q, k, v, self.bias()).transpose(1, 2).reshape(b, n, c))


class MLP(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = Linear(dim, hidden, activation="gelu")
        self.fc2 = Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x))


class SwinBlock(nn.Module):
    """Pre-norm window attention and MLP; every second block of a stage shifts its windows by half a side."""

    def __init__(self, dim: int, resolution: int, heads: int, window_size: int, shifted: bool):
        super().__init__()
        self.resolution = resolution
        self.side = min(window_size, resolution)
        self.shift = window_size // 2 if shifted and resolution > window_size else 0
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, self.side, heads, self._region_bias() if self.shift else None)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, 4 * dim)

    def _region_bias(self) -> Tensor:
        """(windows, S * S, S * S): 0 within a region of the unshifted grid, ``CROSS_REGION`` across."""
        strip = torch.zeros(self.resolution)
        strip[-self.side : -self.shift] = 1
        strip[-self.shift :] = 2
        region = (strip[:, None] * 3 + strip[None, :]).view(1, self.resolution, self.resolution, 1)
        windows = to_windows(region, self.side).squeeze(-1)
        return torch.where(windows[:, None, :] == windows[:, :, None], 0.0, CROSS_REGION)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, H * W, C) to the same shape."""
        b, _, c = tokens.shape
        grid = self.norm1(tokens).view(b, self.resolution, self.resolution, c)
        if self.shift:
            grid = grid.roll((-self.shift, -self.shift), dims=(1, 2))
        grid = from_windows(self.attn(to_windows(grid, self.side)), self.side, self.resolution, self.resolution)
        if self.shift:
            grid = grid.roll((self.shift, self.shift), dims=(1, 2))
        tokens = tokens + grid.reshape(b, -1, c)
        return tokens + self.mlp(self.norm2(tokens))


class PatchMerging(nn.Module):
    """Each 2 x 2 square of tokens becomes one token of twice the width."""

    def __init__(self, dim: int, resolution: int):
        super().__init__()
        self.resolution = resolution
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, H * W, C) to (B, H * W / 4, 2 C)."""
        b, _, c = tokens.shape
        half = self.resolution // 2
        squares = tokens.view(b, half, 2, half, 2, c)
        # The channel order (column, row, C) is that of the published weights.
        merged = squares.permute(0, 1, 3, 4, 2, 5).reshape(b, half * half, 4 * c)
        return self.reduction(self.norm(merged))


class PatchExpand(nn.Module):
    """The way back: each token becomes a 2 x 2 square of tokens of half the width."""

    def __init__(self, dim: int, resolution: int):
        super().__init__()
        self.resolution = resolution
        self.expand = Linear(dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(dim // 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, H * W, C) to (B, 4 * H * W, C / 2)."""
        b, n, _ = tokens.shape
        r = self.resolution
        squares = self.expand(tokens).view(b, r, r, 2, 2, -1)  # (..., column, row, C / 2), PatchMerging's order
        grid = squares.permute(0, 1, 4, 2, 3, 5).reshape(b, 4 * n, -1)
        return self.norm(grid)


def swin_blocks(dim: int, resolution: int, depth: int, heads: int, window_size: int) -> nn.ModuleList:
    """``depth`` blocks of one stage, plain and shifted in turn."""
    return nn.ModuleList(SwinBlock(dim, resolution, heads, window_size, shifted=i % 2 == 1) for i in range(depth))
