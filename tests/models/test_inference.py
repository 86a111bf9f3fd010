"""A separator made ready for inference separates as before, and can be trained again."""

import torch

from data_specs.config import SeparatorConfig
from models.inference import prepare_for_inference
from models.separator import Separator


def a_separator() -> Separator:
    torch.manual_seed(0)
    separator = Separator(SeparatorConfig()).eval()
    with torch.no_grad():  # an untrained mask net leaves the first guess as it is: give it a say
        for layer in (separator.mask_net.rest[2], separator.decoder.inverse_patch_embed.proj):
            layer.weight.normal_(std=0.3)
    return separator


@torch.no_grad()
def test_the_result_stays_in_full_precision_and_nearly_in_half():
    separator = a_separator()
    mixture, queries = torch.randn(2, 64_000), torch.randn(2, 3, 256)
    expected = separator(mixture, queries)
    prepare_for_inference(separator)
    torch.testing.assert_close(separator(mixture, queries), expected, atol=1e-5, rtol=1e-4)
    prepare_for_inference(separator, bf16=True)
    with torch.autocast("cpu", torch.bfloat16):
        half = separator(mixture, queries)
    assert half.dtype == torch.float32
    assert 1e-5 < (half - expected).norm() / expected.norm() < 0.03


def test_training_goes_on_afterwards():
    separator = a_separator()
    prepare_for_inference(separator)
    separator.train()
    separator(torch.randn(1, 64_000), torch.randn(1, 1, 256)).square().mean().backward()
    without = {name for name, weight in separator.named_parameters() if weight.grad is None}
    assert without == {"encoder.norm.weight", "encoder.norm.bias"}
