"""What callers of the separator rely on: shapes, batches, queries, levels, any length, gradients."""

import pytest
import torch

from data_specs.config import SeparatorConfig
from models.separator import Separator


@pytest.fixture(scope="module")
def separator() -> Separator:
    torch.manual_seed(0)
    separator = Separator(SeparatorConfig()).eval()
    with torch.no_grad():  # an untrained decoder hardly hears its query: give it a say
        for module in separator.decoder.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.mul_(5)
    return separator


@torch.no_grad()
def test_every_query_gives_a_track_as_long_as_the_mixture(separator):
    tracks = separator(torch.randn(2, 100_000), torch.randn(2, 3, 256))
    assert tracks.shape == (2, 3, 100_000)
    assert tracks.isfinite().all()
    assert (tracks[0, 0] - tracks[0, 1]).abs().max() > 1e-4, "queries steer the result"


@torch.no_grad()
def test_a_batch_gives_what_its_members_give_alone(separator):
    mixtures, queries = torch.randn(2, 64_000), torch.randn(2, 2, 256)
    together = separator(mixtures, queries)
    for i in range(2):
        for j in range(2):
            alone = separator(mixtures[i : i + 1], queries[i : i + 1, j : j + 1])
            torch.testing.assert_close(together[i, j], alone[0, 0], atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_a_louder_mixture_gives_equally_louder_tracks(separator):
    mixture, queries = 0.1 * torch.randn(1, 64_000), torch.randn(1, 1, 256)
    torch.testing.assert_close(separator(7 * mixture, queries), 7 * separator(mixture, queries), atol=1e-4, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 500, 163_840, 163_841, 400_000])
def test_any_length_comes_back_at_that_length(separator, length):
    tracks = separator(torch.randn(1, length), torch.randn(1, 1, 256))
    assert tracks.shape == (1, 1, length)
    assert tracks.isfinite().all()


@torch.no_grad()
def test_silence_gives_silence(separator):
    assert separator(torch.zeros(1, 64_000), torch.randn(1, 2, 256)).abs().max() == 0


def test_every_trained_weight_gets_a_gradient():
    separator = Separator(SeparatorConfig())
    separator(torch.randn(1, 64_000), torch.randn(1, 2, 256)).square().mean().backward()
    without = {name for name, weight in separator.named_parameters() if weight.grad is None}
    assert without == {"encoder.norm.weight", "encoder.norm.bias"}, "only CLAP's pooling norm is not on the path"


def test_a_batch_of_the_wrong_shape_is_refused(separator):
    with pytest.raises(ValueError, match=r"\(B, T\)"):
        separator.encode(torch.randn(100))
    with pytest.raises(ValueError, match="T <= 163840"):
        separator.encode(torch.randn(1, 163_841))
