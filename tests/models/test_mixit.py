"""MixIT equals a slow enumeration with loops, gradient included, and its searches agree with one another."""

from itertools import product

import numpy as np
import pytest
import torch

from models.mixit import TAU, assign_efficient, assign_exact, mixing_matrix, mixit, remix

SEARCHES = ["exact", "efficient", "exhaustive"]


def slow_snr_loss(estimate: np.ndarray, reference: np.ndarray) -> float:
    signal, error = float(reference @ reference), float((reference - estimate) @ (reference - estimate))
    return 10 * np.log10(error + TAU * signal) - 10 * np.log10(signal)


def slow_mixit(estimates: np.ndarray, mixtures: np.ndarray) -> tuple[float, tuple[int, ...]]:
    """The formula for one batch entry: every assignment, every mixture, one after the other."""
    losses = {}
    for assignment in product(range(len(mixtures)), repeat=len(estimates)):
        losses[assignment] = sum(
            slow_snr_loss(sum((estimates[m] for m, owner in enumerate(assignment) if owner == n), 0 * mixture), mixture)
            for n, mixture in enumerate(mixtures)
        )
    best = min(losses, key=losses.__getitem__)
    return losses[best], best


def random_case(batch: int, mixtures: int, sources: int, samples: int, *, leak: float, seed: int = 0):
    """Estimates (B, M, T) of sources that were mixed into (B, N, T), at least one each, and who is where (B, M)."""
    generator = torch.Generator().manual_seed(seed)
    level = 10 ** torch.empty(batch, sources, 1).uniform_(-1, 0, generator=generator)
    truth = (level * torch.randn(batch, sources, samples, generator=generator)).double()
    owner = torch.randint(mixtures, (batch, sources), generator=generator)
    owner[:, :mixtures] = torch.arange(mixtures)
    noise = torch.randn(batch, sources, samples, generator=generator).double()
    return truth + leak * level.double() * noise, remix(truth, owner, mixtures), owner


@pytest.mark.parametrize("search", ["exact", "exhaustive"])
@pytest.mark.parametrize(("mixtures", "sources"), [(1, 3), (2, 2), (2, 5), (3, 4)])
def test_the_loss_is_the_minimum_over_all_assignments(search, mixtures, sources):
    estimates, mixed, _ = random_case(3, mixtures, sources, 50, leak=1.0)
    fit = mixit(estimates, mixed, search=search)
    for row in range(3):
        loss, assignment = slow_mixit(estimates[row].numpy(), mixed[row].numpy())
        assert fit.loss[row].item() == pytest.approx(loss, abs=1e-6)
        assert tuple(fit.assignment[row].tolist()) == assignment


@pytest.mark.parametrize("search", SEARCHES)
def test_the_gradient_is_that_of_the_chosen_assignment(search):
    estimates, mixed, _ = random_case(2, 2, 4, 12, leak=0.3)
    estimates.requires_grad_()
    assert torch.autograd.gradcheck(lambda e: mixit(e, mixed, search=search).loss, (estimates,))


def test_exact_and_plain_search_agree_in_float32_on_a_second_of_audio():
    estimates, mixed, _ = random_case(4, 2, 8, 16_000, leak=0.02)
    exact, plain = (mixit(estimates.float(), mixed.float(), search=search) for search in ("exact", "exhaustive"))
    torch.testing.assert_close(exact.loss, plain.loss, atol=1e-5, rtol=0)


def test_efficient_search_finds_the_best_assignment_of_well_separated_estimates():
    estimates, mixed, _ = random_case(400, 2, 8, 400, leak=0.1)
    efficient, plain = (mixit(estimates, mixed, search=search) for search in ("efficient", "exact"))
    assert (efficient.assignment == plain.assignment).all(dim=1).double().mean() >= 0.99


def test_efficient_search_finds_it_also_when_sources_are_spread_over_several_estimates():
    estimates, mixed, _ = random_case(200, 2, 4, 400, leak=0.05)
    split = torch.cat([0.7 * estimates, 0.3 * estimates], dim=1)  # collinear: plain least squares has no one solution
    assignment = assign_efficient(split, mixed)
    assert (assignment[:, :4] == assignment[:, 4:]).double().mean() > 0.99
    torch.testing.assert_close(
        mixit(split, mixed, search="efficient").loss, mixit(estimates, mixed, search="exact").loss, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("search", SEARCHES)
def test_every_source_is_in_exactly_one_mixture_silent_ones_too(search):
    estimates, mixed, _ = random_case(20, 2, 6, 100, leak=0.1)
    estimates[:, ::2] = 0.0
    matrix = mixing_matrix(mixit(estimates, mixed, search=search).assignment, 2)
    assert matrix.shape == (20, 2, 6)
    assert (matrix.sum(dim=1) == 1).all()


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("silent", ["one mixture", "all mixtures", "all estimates", "everything"])
def test_silence_gives_finite_losses_and_gradients(search, silent):
    estimates, mixed, _ = random_case(2, 2, 3, 200, leak=0.5)
    mixed[:, 0] *= 0.0 if silent in ("one mixture", "all mixtures", "everything") else 1.0
    mixed[:, 1] *= 0.0 if silent in ("all mixtures", "everything") else 1.0
    estimates = (estimates * (0.0 if silent in ("all estimates", "everything") else 1.0)).requires_grad_()
    fit = mixit(estimates, mixed, search=search)
    fit.loss.sum().backward()
    assert fit.loss.isfinite().all()
    assert estimates.grad.isfinite().all()


def test_an_estimate_in_a_silent_mixture_costs_what_it_would_be_heard():
    sound = torch.randn(1, 1, 1000, dtype=torch.float64)
    mixed = torch.cat([sound, 0 * sound], dim=1)
    perfect = mixit(torch.cat([sound, 0 * sound], dim=1), mixed)
    tenth = mixit(torch.cat([0.9 * sound, 0.1 * sound], dim=1), mixed, search="exact")
    assert perfect.loss.item() == pytest.approx(-60, abs=0.01)
    assert tenth.assignment.tolist() == [[0, 0]]


@pytest.mark.parametrize("search", SEARCHES)
def test_a_mixture_of_one_source_is_fitted_by_one_estimate(search):
    truth = torch.randn(1, 2, 500)
    fit = mixit(truth.flip(1), truth, search=search)
    assert fit.assignment.tolist() == [[1, 0]]


@pytest.mark.parametrize("search", SEARCHES)
def test_more_mixtures_than_estimates_are_refused(search):
    with pytest.raises(ValueError, match="at least as many estimates as mixtures"):
        mixit(torch.zeros(1, 2, 10), torch.zeros(1, 3, 10), search=search)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"estimates \(B, M, T\)"):
        mixit(torch.zeros(1, 2, 10), torch.zeros(1, 2, 11))


def test_more_assignments_than_can_be_tried_are_refused_and_auto_goes_on_without_them():
    estimates, mixed = torch.randn(1, 20, 30), torch.randn(1, 3, 30)
    with pytest.raises(ValueError, match="search='efficient'"):
        mixit(estimates, mixed, search="exact")
    assert torch.equal(mixit(estimates, mixed).assignment, assign_efficient(estimates, mixed))


def test_estimates_that_are_not_finite_give_a_loss_that_is_not_and_no_error():
    mixed = torch.randn(1, 2, 50)
    for search in SEARCHES:
        assert not mixit(torch.full((1, 4, 50), torch.nan), mixed, search=search).loss.isfinite().any()


def test_exact_search_gives_the_same_in_small_chunks(monkeypatch):
    estimates, mixed, _ = random_case(3, 2, 9, 60, leak=1.0)
    whole = assign_exact(estimates, mixed)
    monkeypatch.setattr("models.mixit.CHUNK", 64)
    assert torch.equal(assign_exact(estimates, mixed), whole)
