"""Losses equal their formulas, written slowly, and stay finite where the formulas do not."""

import numpy as np
import pytest
import torch

from models.losses import SOFT_LIMIT_DB, negative_sdr, negative_si_sdr, separation_loss, silence_loss


def slow_sdr(estimate, reference):
    return 10 * np.log10((reference**2).sum() / ((reference - estimate) ** 2).sum())


def slow_si_sdr(estimate, reference):
    target = (estimate @ reference) / (reference @ reference) * reference
    return 10 * np.log10((target**2).sum() / ((estimate - target) ** 2).sum())


@pytest.fixture
def signals():
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(3, 1000, generator=generator, dtype=torch.float64)
    return reference + 0.5 * torch.randn(3, 1000, generator=generator, dtype=torch.float64), reference


@pytest.mark.parametrize(("loss", "slow"), [(negative_sdr, slow_sdr), (negative_si_sdr, slow_si_sdr)])
def test_without_a_limit_the_loss_is_the_formula(signals, loss, slow):
    estimate, reference = signals
    values = loss(estimate, reference, limit_db=300)
    expected = [-slow(e.numpy(), r.numpy()) for e, r in zip(estimate, reference, strict=True)]
    np.testing.assert_allclose(values.numpy(), expected, atol=1e-6)


def test_a_perfect_estimate_reaches_the_limit_and_no_more(signals):
    _, reference = signals
    assert negative_sdr(reference, reference).allclose(torch.tensor(-SOFT_LIMIT_DB, dtype=torch.float64), atol=1e-3)


def test_scale_changes_sdr_only(signals):
    estimate, reference = signals
    torch.testing.assert_close(negative_si_sdr(2 * estimate, reference), negative_si_sdr(estimate, reference))
    assert (negative_sdr(2 * estimate, reference) != negative_sdr(estimate, reference)).all()


def test_eq_5_weighs_both_ratios(signals):
    estimate, reference = signals
    expected = 0.9 * negative_sdr(estimate, reference) + 0.1 * negative_si_sdr(estimate, reference)
    loss = separation_loss(estimate, reference, mixture=estimate, sdr_weight=0.9)
    torch.testing.assert_close(loss, expected)


def test_a_silent_target_asks_for_less_energy_than_the_mixture(signals):
    mixture, _ = signals
    silent = torch.zeros_like(mixture)
    loud = separation_loss(mixture, silent, mixture=mixture, sdr_weight=0.9)
    quiet = separation_loss(0.1 * mixture, silent, mixture=mixture, sdr_weight=0.9)
    torch.testing.assert_close(loud, silence_loss(mixture, mixture))
    assert ((loud - quiet - 20).abs() < 0.01).all()


@pytest.mark.parametrize("estimate_scale", [0.0, 1.0])
@pytest.mark.parametrize("target_scale", [0.0, 1.0])
@pytest.mark.parametrize("mixture_scale", [0.0, 1.0])
def test_silence_anywhere_gives_finite_losses_and_gradients(estimate_scale, target_scale, mixture_scale):
    estimate = (estimate_scale * torch.randn(2, 500)).requires_grad_()
    target, mixture = target_scale * torch.randn(2, 500), mixture_scale * torch.randn(2, 500)
    separation_loss(estimate, target, mixture=mixture, sdr_weight=0.9).sum().backward()
    assert estimate.grad.isfinite().all()


def test_gradients_are_those_of_the_formula():
    estimate = torch.randn(2, 20, dtype=torch.float64, requires_grad=True)
    target, mixture = torch.randn(2, 20, dtype=torch.float64), torch.randn(2, 20, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda e: separation_loss(e, target, mixture=mixture, sdr_weight=0.9), (estimate,))
