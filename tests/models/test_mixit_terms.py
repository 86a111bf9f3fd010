"""The terms beside MixIT equal their formulas, written slowly, with finite gradients for silence."""

import numpy as np
import pytest
import torch

from models.mixit_terms import (
    COVARIANCE_FLOOR,
    UNHEARD_LOGIT,
    covariance_loss,
    mixture_consistency,
    semantic_loss,
    sparsity_loss,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_sparsity(estimates: np.ndarray, mixture: np.ndarray, form: str) -> float:
    levels = [np.sqrt(np.mean(estimate**2)) for estimate in estimates]
    if form == "rms_ratio":
        return sum(levels) / (len(levels) * np.sqrt(sum(level**2 for level in levels)))
    return sum(levels) / len(levels) / np.sqrt(np.mean(mixture**2))


@pytest.mark.parametrize("form", ["rms_ratio", "mean_rms"])
def test_sparsity_is_its_formula(form):
    estimates, mixture = random(2, 4, 60), random(2, 60, seed=1)
    expected = [slow_sparsity(e, x, form) for e, x in zip(estimates.numpy(), mixture.numpy(), strict=True)]
    np.testing.assert_allclose(sparsity_loss(estimates, mixture, form).numpy(), expected, rtol=1e-9)
    assert torch.autograd.gradcheck(lambda e: sparsity_loss(e, mixture, form), (estimates.requires_grad_(),))


@pytest.mark.parametrize("form", ["rms_ratio", "mean_rms"])
def test_one_estimate_is_sparser_than_the_same_sound_in_several(form):
    sound = random(1, 500)
    one = torch.stack([sound, 0 * sound, 0 * sound], dim=1)
    spread = torch.stack([sound / 3] * 3, dim=1) if form == "rms_ratio" else random(1, 3, 500) / 3**0.5
    assert sparsity_loss(one, sound, form).item() < sparsity_loss(spread, sound, form).item()
    assert sparsity_loss(one, sound, form).item() == pytest.approx(1 / 3, abs=1e-3)


def test_an_unknown_form_of_sparsity_is_refused():
    with pytest.raises(ValueError, match="no sparsity loss 'l0'"):
        sparsity_loss(random(1, 2, 5), random(1, 5), "l0")


def test_covariance_is_the_mean_squared_correlation():
    estimates = random(2, 3, 80) + random(2, 1, 80, seed=1)
    expected = []
    for signals in estimates.numpy():
        power = [np.var(signal) for signal in signals]
        floor = COVARIANCE_FLOOR * np.mean(power)
        squares = []
        for i in range(3):
            for j in range(3):
                if i != j:
                    covariance = np.mean((signals[i] - signals[i].mean()) * (signals[j] - signals[j].mean()))
                    squares.append(covariance**2 / ((power[i] + floor) * (power[j] + floor)))
        expected.append(np.mean(squares))
    np.testing.assert_allclose(covariance_loss(estimates).numpy(), expected, rtol=1e-9)
    assert torch.autograd.gradcheck(covariance_loss, (estimates.requires_grad_(),))


def test_equal_estimates_cost_most_and_a_single_one_nothing():
    sound = random(1, 1, 500)
    assert covariance_loss(sound.repeat(1, 4, 1)).item() == pytest.approx(1, abs=0.01)
    assert covariance_loss(random(1, 4, 500)).item() < 0.01
    assert covariance_loss(sound).item() == 0


def test_the_semantic_loss_is_the_cross_entropy_of_the_best_assigned_estimate():
    logits, assignment = random(2, 4, 5), torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1]])
    labels = (random(2, 2, 5, seed=1) > 0).double()
    expected = []
    for row in range(2):
        values = []
        for n in range(2):
            own = [m for m in range(4) if assignment[row, m] == n]
            for label in range(5):
                logit = max([logits[row, m, label].item() for m in own], default=UNHEARD_LOGIT)
                probability = 1 / (1 + np.exp(-logit))
                values.append(-np.log(probability if labels[row, n, label] else 1 - probability))
        expected.append(np.mean(values))
    np.testing.assert_allclose(semantic_loss(logits, assignment, labels).numpy(), expected, rtol=1e-9)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: semantic_loss(x, assignment, labels), (logits,))


@pytest.mark.parametrize("shares", ["uniform", "energy"])
def test_projected_estimates_sum_to_the_mixture(shares):
    estimates, mixture = random(2, 4, 60), random(2, 60, seed=1)
    projected = mixture_consistency(estimates, mixture, shares)
    torch.testing.assert_close(projected.sum(dim=1), mixture)
    torch.testing.assert_close(mixture_consistency(projected, mixture, shares), projected)
    estimates.requires_grad_()
    assert torch.autograd.gradcheck(lambda e: mixture_consistency(e, mixture, shares), (estimates,))


def test_what_is_missing_is_shared_out_evenly_or_by_energy():
    mixture = random(1, 100)
    estimates = torch.stack([0.5 * mixture, 0 * mixture], dim=1)
    uniform, by_energy = (mixture_consistency(estimates, mixture, shares) for shares in ("uniform", "energy"))
    torch.testing.assert_close(uniform, torch.stack([0.75 * mixture, 0.25 * mixture], dim=1))
    torch.testing.assert_close(by_energy, torch.stack([mixture, 0 * mixture], dim=1))


@pytest.mark.parametrize("estimate_scale", [0.0, 1.0])
@pytest.mark.parametrize("mixture_scale", [0.0, 1.0])
def test_silence_gives_finite_values_and_gradients(estimate_scale, mixture_scale):
    estimates = (estimate_scale * torch.randn(2, 4, 300)).requires_grad_()
    mixture = mixture_scale * torch.randn(2, 300)
    projected = [mixture_consistency(estimates, mixture, shares).sum() for shares in ("uniform", "energy")]
    losses = [sparsity_loss(estimates, mixture, form).sum() for form in ("rms_ratio", "mean_rms")]
    total = sum([*projected, *losses, covariance_loss(estimates).sum()])
    total.backward()
    assert total.isfinite()
    assert estimates.grad.isfinite().all()
