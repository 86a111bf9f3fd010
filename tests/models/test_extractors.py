"""What every extractor keeps: shapes, levels, silence, independent queries, gradients and checkpoints; its own mask."""

import pytest
import torch

from data_specs.config import ModelConfig, load_config
from data_specs.errors import UserError
from data_specs.extractors import ConformerConfig, ResUNetConfig, UNetConfig
from models.architectures import build_separator
from models.checkpoints import checkpoint_hash, load_separator, save_separator
from models.separator import Separator
from models.starting_point import starting_separator

SECONDS = 1.0
CONFIGS = {
    "conformer": ConformerConfig(window_s=SECONDS, overlap_s=0.1, width=32, blocks=2),
    "resunet": ResUNetConfig(window_s=SECONDS, overlap_s=0.1),
    "unet": UNetConfig(window_s=SECONDS, overlap_s=0.1),
}
QUERY = 2 * 128


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def extractor(request):
    return build_separator(CONFIGS[request.param], seed=1)


@pytest.fixture(scope="module")
def mixture():
    return torch.randn(2, 20_000, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def queries():
    return torch.nn.functional.normalize(torch.randn(2, 3, QUERY, generator=torch.Generator().manual_seed(1)), dim=-1)


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 700, 20_001, 32_000, 70_001])
def test_estimates_are_as_long_as_the_mixture(extractor, queries, length):
    estimates = extractor(torch.randn(2, length), queries)
    assert estimates.shape == (2, 3, length)
    assert estimates.isfinite().all()


@torch.no_grad()
def test_a_query_is_answered_alone_as_among_others(extractor, mixture, queries):
    together = extractor(mixture, queries)
    alone = extractor(mixture[1:], queries[1:, 2:])
    torch.testing.assert_close(alone[0, 0], together[1, 2], atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_a_louder_mixture_gives_louder_tracks(extractor, mixture, queries):
    torch.testing.assert_close(
        extractor(100 * mixture, queries), 100 * extractor(mixture, queries), atol=1e-2, rtol=1e-3
    )


@torch.no_grad()
def test_masks_do_not_amplify_and_are_those_of_the_estimates(extractor, mixture, queries):
    estimates, masks = extractor(mixture, queries, with_masks=True)
    assert masks.shape[:2] == (2, 3)
    assert masks.shape[2:] == extractor.spectrum(mixture).shape[1:]
    assert masks.abs().max() <= 1 + 1e-5
    torch.testing.assert_close(extractor.resynthesise(extractor.encode(mixture), masks), estimates)
    torch.testing.assert_close(estimates, extractor(mixture, queries))


def test_silence_gives_silence_and_finite_gradients(extractor, queries):
    extractor.zero_grad()
    estimates = extractor(torch.zeros(2, 8_000), torch.zeros_like(queries))
    assert (estimates == 0).all()
    estimates.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in extractor.parameters())


def test_every_weight_learns(extractor, mixture, queries):
    network = build_separator(extractor.config, seed=2).train()
    for parameter in network.parameters():  # zeros that a network starts with hide what is behind them
        torch.nn.init.normal_(parameter, std=0.1)
    (network(mixture, queries) ** 2).sum().backward()
    unused = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not [name for name in unused if not name.endswith(("in_proj_bias", "mlp.2.bias"))]


@torch.no_grad()
def test_a_checkpoint_says_what_it_holds(extractor, mixture, queries, tmp_path):
    save_separator(extractor, tmp_path)
    loaded = load_separator(str(tmp_path))
    assert loaded.config == extractor.config
    torch.testing.assert_close(loaded(mixture, queries), extractor(mixture, queries))
    assert checkpoint_hash(str(tmp_path)) != checkpoint_hash("embedded")


def test_the_seed_decides_the_weights():
    one, same, other = (build_separator(CONFIGS["conformer"], seed=seed).last.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_an_untrained_start_is_the_network_that_the_configuration_describes():
    model = ModelConfig(checkpoint="untrained", architecture=CONFIGS["resunet"])
    assert starting_separator(model, seed=1).config == CONFIGS["resunet"]
    with pytest.raises(UserError, match=r"holds a ClearSep separator, but .* describes a resunet"):
        starting_separator(model.model_copy(update={"checkpoint": "clapsep"}))


@torch.no_grad()
def test_tokens_that_are_padding_and_the_order_of_tokens_do_not_matter(mixture):
    unet = build_separator(CONFIGS["unet"], seed=1)
    tokens = torch.randn(2, 1, 3, QUERY)
    padded = torch.cat([tokens, torch.zeros(2, 1, 4, QUERY)], dim=2)
    torch.testing.assert_close(unet(mixture, padded), unet(mixture, tokens), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(unet(mixture, tokens.flip(2)), unet(mixture, tokens), atol=1e-4, rtol=1e-3)
    one = tokens[:, :, 0]
    torch.testing.assert_close(unet(mixture, one), unet(mixture, one.unsqueeze(2)))


@torch.no_grad()
def test_the_unet_gives_nothing_above_its_own_band(mixture):
    spectrum = torch.fft.rfft(build_separator(CONFIGS["unet"], seed=1)(mixture, torch.randn(2, 1, QUERY))).abs()
    cut = round(8_000 / 16_000 * spectrum.shape[-1])
    assert spectrum[..., round(1.05 * cut) :].square().sum() < 1e-2 * spectrum[..., :cut].square().sum()


@pytest.mark.parametrize(("name", "millions"), [("conformer", 35.1), ("resunet", 29.9), ("unet", 88.5)])
def test_paper_size_is_a_preset(name, millions):
    model = load_config(f"paper-{name}").model
    assert model.checkpoint == "untrained"
    network = build_separator(model.architecture)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


def test_a_grid_that_cannot_be_halved_is_refused():
    with pytest.raises(UserError, match="4 levels do not halve"):
        load_config("embedded", {"model": {"architecture": {"kind": "unet", "n_fft": 1000}}})
    with pytest.raises(UserError, match=r"unknown key 'model.architecture.unet.widht': did you mean|known keys"):
        load_config("embedded", {"model": {"architecture": {"kind": "unet", "widht": 1}}})
    with pytest.raises(UserError, match="unknown kind 'conv', the kinds are 'clearsep'"):
        load_config("embedded", {"model": {"architecture": {"kind": "conv"}}})


def test_a_checkpoint_that_names_no_kind_is_the_clearsep_separator():
    assert isinstance(load_separator("embedded"), Separator)
