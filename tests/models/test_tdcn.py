"""The unconditional separator: shapes, lengths, levels, and that it can learn."""

import pytest
import torch

from data_specs.unconditional import PAPER_SIZE, TDCNConfig
from models.mixit import mixit
from models.tdcn import TDCN, LearnedBasis, SpectralBasis

TINY = TDCNConfig(outputs=4, window_length=64, hop_length=32, filters=24, width=16, hidden=24, blocks=3)
VARIANTS = [
    TINY,
    TINY.model_copy(update={"masks": "softmax", "consistency": "none"}),
    TINY.model_copy(update={"basis": "learned", "consistency": "uniform", "repeats": 3}),
    TINY.model_copy(update={"outputs": 20}),
]


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


@pytest.mark.parametrize("config", VARIANTS)
@pytest.mark.parametrize("length", [1, 63, 500, 1001])
def test_any_length_gives_as_many_estimates_of_that_length_that_sum_to_the_mixture(config, length):
    mixture = torch.randn(2, length)
    estimates = TDCN(config)(mixture)
    assert estimates.shape == (2, config.outputs, length)
    torch.testing.assert_close(estimates.sum(dim=1), mixture, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("config", VARIANTS)
def test_a_louder_mixture_gives_louder_estimates_of_the_same_sound(config):
    model, mixture = TDCN(config), torch.randn(1, 400)
    torch.testing.assert_close(model(50 * mixture), 50 * model(mixture), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("config", VARIANTS)
def test_silence_gives_silence_and_finite_gradients(config):
    model = TDCN(config)
    estimates = model(torch.zeros(1, 400))
    mixit(estimates, torch.zeros(1, 2, 400)).loss.sum().backward()
    assert estimates.abs().max() < 1e-4
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())


def test_masks_of_one_reproduce_the_mixture_of_the_spectral_basis():
    basis, mixture = SpectralBasis(TINY), torch.randn(2, 500)
    torch.testing.assert_close(basis.synthesise(basis.analyse(mixture), 500), mixture, atol=1e-5, rtol=1e-4)


def test_every_sample_is_in_equally_many_frames_of_the_learned_basis():
    basis = LearnedBasis(TINY)
    torch.nn.init.ones_(basis.analysis.weight)
    torch.nn.init.ones_(basis.synthesis.weight)
    frames = torch.ones_like(basis.analyse(torch.ones(1, 333)))
    assert basis.synthesise(frames, 333).unique().numel() == 1


def test_every_repeat_hears_the_inputs_of_all_earlier_ones():
    body = TDCN(TINY.model_copy(update={"repeats": 3})).body
    for repeat in body.repeats:
        repeat.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    features = torch.randn(1, TINY.width, 9)
    second, third = body.skips
    expected = third(torch.cat([features, second(features)], dim=1))
    heard = []
    body.repeats[2].register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0]))
    body(features)
    torch.testing.assert_close(heard[0], expected)


def test_residuals_start_with_scales_that_decay_within_a_repeat():
    scales = [block.scale.item() for block in TDCN(TINY).body.repeats[0]]
    assert scales == pytest.approx([1.0, 0.9, 0.81])


def test_mixit_teaches_it_to_take_two_tones_apart():
    time = torch.arange(2000) / 2000
    tones = torch.stack([torch.sin(2 * torch.pi * f * time * 10) for f in (7.0, 31.0)])  # (2, T)
    mixtures = torch.stack([tones, tones.flip(0)])  # (2, N, T): each mixture is a single tone
    model = TDCN(TINY)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        loss = mixit(model(mixtures.sum(dim=1)), mixtures).loss.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 10


def test_the_published_size_has_sixteen_outputs_and_runs():
    model = TDCN(PAPER_SIZE)
    assert 5e6 < sum(parameter.numel() for parameter in model.parameters()) < 2e7
    with torch.inference_mode():
        assert model(torch.randn(1, 4000)).shape == (1, 16, 4000)


def test_input_without_samples_is_refused():
    with pytest.raises(ValueError, match="T > 0"):
        TDCN(TINY)(torch.zeros(2, 0))
