"""Every way of computing attention gives the same."""

import pytest
import torch
from torch import Tensor

from models.attention import FEW_TOKENS, attend


def plain(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if bias is not None:
        scores = scores + bias.repeat(len(q) // len(bias), 1, 1, 1)
    return scores.softmax(dim=-1) @ v


@pytest.mark.parametrize("tokens", [64, FEW_TOKENS + 1])
@pytest.mark.parametrize("windows", [0, 1, 3])
def test_attention_with_and_without_a_bias_per_window(tokens, windows):
    q, k, v = torch.randn(3, 6, 2, tokens, 16)
    bias = torch.randn(windows, 2, tokens, tokens) if windows else None
    torch.testing.assert_close(attend(q, k, v, bias), plain(q, k, v, bias), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("tokens", [64, FEW_TOKENS + 1])
def test_half_precision_without_gradients(tokens):
    q, k, v = torch.randn(3, 3, 3, tokens, 16)  # an odd number of heads
    with torch.no_grad():
        found = attend(q.bfloat16(), k.bfloat16(), v.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), plain(q, k, v, None), atol=0.03, rtol=0.03)


@pytest.mark.parametrize("tokens", [64, FEW_TOKENS + 1])
def test_gradients_reach_queries_and_bias(tokens):
    q, k, v = torch.randn(3, 2, 2, tokens, 8)
    bias = torch.randn(1, 2, tokens, tokens)
    gradients = []
    for way in (attend, plain):
        leaves = [x.clone().requires_grad_() for x in (q, k, v, bias)]
        way(*leaves).square().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for own, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(own, expected, atol=1e-4, rtol=1e-3)
