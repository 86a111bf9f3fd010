"""Unconditional training: batches are decided by their seed, every term of the loss counts, and training learns."""

from itertools import islice

import numpy as np
import pytest
import soundfile
import torch

from data_specs.records import Clip
from data_specs.unconditional import TDCNConfig, UnconditionalTrainConfig
from models.checkpoints import load_clap
from models.mixit import mixit
from models.mixit_terms import UNHEARD_LOGIT, covariance_loss, semantic_loss, sparsity_loss
from models.tdcn import TDCN
from pipeline.audio import AudioError
from pipeline.mixit_train import (
    LEVEL_RMS,
    ClapClassifier,
    ClipMixtures,
    batch_loss,
    fit_mixit,
    mixture_batches,
    validate_mixit,
)

RATE = 8000
NETWORK = TDCNConfig(
    outputs=4, sample_rate_hz=RATE, window_length=128, hop_length=64, width=16, hidden=24, blocks=3, repeats=1
)
CONFIG = UnconditionalTrainConfig(
    steps=25, network=NETWORK, batch_size=2, duration_s=0.25, learning_rate=1e-2, sparsity_weight=0, gain_db=(0.0, 0.0)
)


class Tones:
    """Two mixtures, each a tone; ``silent`` gives silence instead of the second."""

    def __init__(self, silent: bool = False):
        self.silent = silent

    def draw(self, rng, length):
        which = int(rng.integers(2))
        tone = np.sin(2 * np.pi * (500, 2100)[which] * np.arange(length) / RATE + rng.uniform(0, 6))
        return (0.3 * tone * (1 - (which * self.silent))).astype(np.float32), (("Bark", "Rain")[which],)


def batches(config=CONFIG, source=None, seed=0):
    return mixture_batches(source or Tones(), config, sample_rate_hz=RATE, batch_size=config.batch_size, seed=seed)


def changed(**fields) -> UnconditionalTrainConfig:
    return CONFIG.model_copy(update=fields)


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


def test_batches_are_decided_by_their_seed():
    first, again, other = (list(islice(batches(seed=seed), 2)) for seed in (1, 1, 2))
    for one, same in zip(first, again, strict=True):
        assert torch.equal(one.mixtures, same.mixtures)
        assert one.labels == same.labels
    assert not torch.equal(first[0].mixtures, other[0].mixtures)


def test_mixtures_come_at_the_drawn_level_with_their_labels_and_silent_ones_stay_silent():
    config = changed(mixtures=3, gain_db=(-6.0, 6.0), batch_size=20)
    batch = next(batches(config, Tones(silent=True)))
    assert batch.mixtures.shape == (20, 3, 2000)
    level_db = 20 * (batch.mixtures.square().mean(dim=2).sqrt() / LEVEL_RMS).log10()
    silent = torch.tensor([[labels == ("Rain",) for labels in row] for row in batch.labels])
    assert silent.any()
    assert level_db[silent].isneginf().all()
    assert (level_db[~silent].abs() <= 6.01).all()
    assert level_db[~silent].std() > 1


def test_clips_are_drawn_with_the_labels_that_are_known(tmp_path):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.ones(RATE), RATE)
    clips = [Clip(clip_id="a", path=str(tmp_path / "a.wav"), duration_s=1.0)]
    rng = np.random.default_rng(0)
    waveform, labels = ClipMixtures(clips, {"a": ("Bark",)}, RATE).draw(rng, 100)
    np.testing.assert_allclose(waveform, 0.1, atol=1e-3)
    assert labels == ("Bark",)
    assert ClipMixtures(clips, {}, RATE).draw(rng, 100)[1] == ()
    (tmp_path / "a.wav").unlink()
    with pytest.raises(AudioError, match="missing"):
        ClipMixtures(clips, {}, RATE).draw(rng, 100)
    with pytest.raises(ValueError, match="no clip"):
        ClipMixtures([], {}, RATE)


@pytest.mark.parametrize("sparsity", ["rms_ratio", "mean_rms"])
def test_the_loss_is_the_weighted_sum_of_its_terms(sparsity):
    config = changed(sparsity=sparsity, sparsity_weight=3.0, covariance_weight=2.0, semantic_weight=1.5)
    model, batch = TDCN(NETWORK), next(batches())
    classifier = ClapClassifier(load_clap("embedded"), ["Rain", "Bark"], RATE)
    loss = batch_loss(model, batch, config, classifier)
    whole = batch.mixtures.sum(dim=1)
    estimates = model(whole)
    fit = mixit(estimates, batch.mixtures)
    quiet = estimates.square().sum(-1) < 1e-3 * whole.square().sum(-1, keepdim=True)
    logits = classifier(estimates).masked_fill(quiet.unsqueeze(-1), UNHEARD_LOGIT)
    expected = (
        fit.loss
        + 3 * sparsity_loss(estimates, whole, sparsity)
        + 2 * covariance_loss(estimates)
        + 1.5 * semantic_loss(logits, fit.assignment, classifier.targets(batch.labels))
    ).mean()
    torch.testing.assert_close(loss, expected)


def test_the_semantic_term_reaches_the_separator_through_a_frozen_classifier_of_another_rate():
    classifier = ClapClassifier(load_clap("embedded"), ["Rain", "Bark", "Siren"], RATE)
    estimates = torch.randn(1, 3, RATE, requires_grad=True)
    logits = classifier(estimates)
    assert logits.shape == (1, 3, 3)
    logits.sum().backward()
    assert estimates.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    assert not classifier.train().training
    assert classifier.targets([[("Bark",), ("Siren", "Rain", "unknown")]]).tolist() == [[[0, 1, 0], [1, 0, 1]]]


def test_training_lowers_the_loss_on_mixtures_that_it_has_not_seen():
    model, held_out = TDCN(NETWORK), list(islice(batches(seed=99), 4))
    before = validate_mixit(model, held_out, CONFIG)
    steps = []
    losses = fit_mixit(model, batches(), CONFIG, on_step=lambda step, loss: steps.append(step))
    assert len(losses) == 25
    assert steps == list(range(1, 26))
    assert validate_mixit(model, held_out, CONFIG) < before - 10
    assert not model.training


def test_silent_mixtures_and_steps_of_zero_do_no_harm():
    model = TDCN(NETWORK)
    assert fit_mixit(model, batches(), changed(steps=0)) == []
    losses = fit_mixit(model, batches(changed(steps=4), Tones(silent=True)), changed(steps=4, sparsity_weight=10.0))
    assert np.isfinite(losses).all()
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_a_semantic_loss_needs_a_classifier():
    with pytest.raises(ValueError, match="needs a classifier"):
        fit_mixit(TDCN(NETWORK), batches(), changed(semantic_weight=1.0))
