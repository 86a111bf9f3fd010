"""Packed layers give what PyTorch's give, in either precision, until they are trained again."""

import pytest
import torch
from torch.nn.functional import gelu, relu

from models.linear import Linear

ACTIVATIONS = {"none": lambda x: x, "gelu": gelu, "relu": relu}


@torch.no_grad()
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_gives_what_linear_and_activation_give(activation, dtype, tolerance, bias):
    layer = Linear(64, 48, bias=bias, activation=activation)
    x = torch.randn(2, 7, 64)
    expected = ACTIVATIONS[activation](torch.nn.functional.linear(x, layer.weight, layer.bias))
    torch.testing.assert_close(layer(x), expected)
    layer.eval().pack(dtype)
    packed = layer(x)
    assert packed.dtype == dtype
    torch.testing.assert_close(packed.float(), expected, atol=tolerance, rtol=tolerance)


def test_training_takes_the_packing_back():
    layer = Linear(8, 8).eval()
    layer.pack(torch.float32)
    x = torch.randn(3, 8)
    layer.train()
    with torch.no_grad():
        layer.weight.zero_()
    torch.testing.assert_close(layer(x), layer.bias.expand(3, -1))
    layer(x).sum().backward()
    assert layer.weight.grad is not None
