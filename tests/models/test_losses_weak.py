"""Losses of weak supervision equal slow, obvious versions of themselves, gradient included, and survive silence."""

import math

import pytest
import torch

from data_specs.objectives import WeakConfig
from models.losses_weak import consistency_loss, contrastive_loss, loudness_weight, unsupervised_loss, weak_loss

B, Q, S, N, F = 2, 5, 2, 3, 4


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def embeddings():
    unit = torch.nn.functional.normalize
    return unit(random(4, 8), dim=1), unit(random(4, 8, seed=1), dim=1)


@pytest.fixture
def magnitudes():
    return random(B, Q, N, F).abs(), random(B, S, N, F, seed=1).abs()


OWNER = torch.tensor([[-1, -1, 0, 0, 1], [-1, 0, 1, 1, -1]])


def slow_contrastive(audio, texts, own, scale):
    losses = []
    for i in range(len(own)):
        fits = [math.exp(scale * sum(a * b for a, b in zip(audio[i], text, strict=True))) for text in texts]
        losses.append(-math.log(fits[own[i]] / sum(fits)))
    return losses


def slow_weight(magnitude):
    return min(10.0, max(1e-3, math.log(1 + magnitude)))


def slow_consistency(estimates, mixtures):
    values = torch.zeros(B, S, dtype=torch.float64)
    for b in range(B):
        for s in range(S):
            for n in range(N):
                for f in range(F):
                    total = sum(float(estimates[b, q, n, f]) for q in range(Q) if OWNER[b, q] == s)
                    mixture = float(mixtures[b, s, n, f])
                    values[b, s] += slow_weight(mixture) * abs(total - mixture) / (N * F)
    return values


def slow_unsupervised(estimates, mixtures, whole):
    values = torch.zeros(B, S, dtype=torch.float64)
    for b in range(B):
        for s in range(S):
            for n in range(N):
                for f in range(F):
                    error = abs(float(estimates[b, s, n, f] - mixtures[b, s, n, f]))
                    values[b, s] += slow_weight(float(whole[b, n, f])) * error / (N * F)
    return values


def test_contrastive_loss_is_the_formula_without_equal_texts(embeddings):
    audio, texts = embeddings
    own = torch.tensor([0, 1, 0, 2])  # two estimates of one text; of the last text there is none
    loss = contrastive_loss(audio, texts, own=own, scale=7.0)
    torch.testing.assert_close(loss, torch.tensor(slow_contrastive(audio, texts, own, 7.0), dtype=torch.float64))


def test_one_text_leaves_nothing_to_tell_apart(embeddings):
    audio, texts = embeddings
    audio.requires_grad_()
    loss = contrastive_loss(audio, texts[:1], own=torch.zeros(4, dtype=torch.long), scale=7.0)
    loss.sum().backward()
    assert (loss == 0).all()
    assert (audio.grad == 0).all()


def test_consistency_loss_is_the_formula(magnitudes):
    estimates, mixtures = magnitudes
    loss = consistency_loss(estimates, mixtures, owner=OWNER)
    torch.testing.assert_close(loss, slow_consistency(estimates, mixtures))


def test_a_mixture_with_one_source_is_that_source(magnitudes):
    _, mixtures = magnitudes
    owner = torch.tensor([[0, 1]] * B)
    assert (consistency_loss(mixtures, mixtures, owner=owner) == 0).all()
    assert (consistency_loss(mixtures.flip(1), mixtures, owner=owner) > 0).all()


def test_a_mixture_that_no_query_asks_about_costs_nothing(magnitudes):
    estimates, mixtures = magnitudes
    assert (consistency_loss(estimates, mixtures, owner=torch.full((B, Q), -1)) == 0).all()


def test_unsupervised_loss_is_the_formula(magnitudes):
    estimates, mixtures = magnitudes
    whole = mixtures.sum(dim=1)
    loss = unsupervised_loss(estimates[:, :S], mixtures, whole=whole)
    torch.testing.assert_close(loss, slow_unsupervised(estimates[:, :S], mixtures, whole))
    assert (unsupervised_loss(mixtures, mixtures, whole=whole) == 0).all()


def test_the_weight_of_loudness_has_a_floor_and_a_ceiling():
    weights = loudness_weight(torch.tensor([0.0, 1.0, 1e9]))
    torch.testing.assert_close(weights, torch.tensor([1e-3, math.log(2), 10.0]))


def test_weights_are_those_of_the_paper():
    assert weak_loss(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0), WeakConfig()) == 0.5 + 5 * (2 + 3)
    config = WeakConfig(contrastive_weight=1, consistency_weight=10, unsupervised_weight=100)
    assert weak_loss(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0), config) == 1 + 20 + 300


def test_gradients_are_those_of_finite_differences(embeddings, magnitudes):
    audio, text = embeddings
    estimates, mixtures = magnitudes
    own = torch.tensor([0, 1, 0, 2])
    audio.requires_grad_()
    estimates.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: contrastive_loss(x, text, own=own, scale=7.0), audio)
    assert torch.autograd.gradcheck(lambda x: consistency_loss(x, mixtures, owner=OWNER), estimates)
    whole = mixtures.sum(dim=1)
    assert torch.autograd.gradcheck(lambda x: unsupervised_loss(x[:, :S], mixtures, whole=whole), estimates)


@pytest.mark.parametrize("level", [0.0, 1e-20])
def test_silence_has_finite_losses_and_gradients(level):
    estimates = torch.full((B, Q, N, F), level, requires_grad=True)
    silence = torch.zeros(B, S, N, F)
    audio = torch.nn.functional.normalize(estimates.flatten(0, 1).flatten(1), dim=1)  # embeddings of silence
    losses = [
        contrastive_loss(audio, audio.detach(), own=torch.arange(B * Q), scale=10.0).sum(),
        consistency_loss(estimates, silence, owner=OWNER).sum(),
        unsupervised_loss(estimates[:, :S], silence, whole=silence[:, 0]).sum(),
    ]
    sum(losses).backward()
    assert all(loss.isfinite() for loss in losses)
    assert estimates.grad.isfinite().all()
