"""Token grids survive their rearrangements, and windows see what they should."""

import torch

from models.swin import PatchExpand, PatchMerging, SwinBlock, from_windows, to_windows


def test_windows_are_put_back_where_they_came_from():
    grid = torch.randn(2, 16, 16, 5)
    torch.testing.assert_close(from_windows(to_windows(grid, 4), 4, 16, 16), grid)


def test_expanding_puts_channels_where_merging_took_them_from():
    merge, expand = PatchMerging(4, 8), PatchExpand(16, 4)
    merge.norm = merge.reduction = expand.norm = expand.expand = torch.nn.Identity()
    tokens = torch.randn(2, 64, 4)
    torch.testing.assert_close(expand(merge(tokens)), tokens)


def test_a_plain_block_keeps_windows_apart_and_a_shifted_one_joins_neighbours():
    tokens = torch.randn(1, 256, 8)
    changed = tokens.clone()
    changed[0, 0] *= -1  # the corner token

    def affected(shifted: bool) -> torch.Tensor:
        block = SwinBlock(8, 16, 2, 4, shifted).eval()
        with torch.no_grad():
            difference = (block(changed) - block(tokens)).abs().sum(-1).view(16, 16)
        return difference > 1e-7

    plain, shifted = affected(False), affected(True)
    assert plain[:4, :4].all()
    assert not plain[4:].any()
    assert not plain[:, 4:].any()
    assert shifted[:2, :2].all()
    assert not shifted[2:].any(), "a cyclic shift must not join opposite edges"
