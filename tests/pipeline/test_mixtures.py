"""Training samples are what they claim: mixtures sum, queries fit targets, shares are kept."""

from collections import Counter

import numpy as np
import pytest
import torch

from data_specs.config import TrainConfig
from data_specs.labels import label_table
from pipeline.mixtures import Sampler, collate, crop

LABELS = ["Bark", "Rain", "Dog", "Siren", "Tick-tock"]


class TonePool:
    """One tone per label, so that a target can be recognised."""

    def __init__(self, labels):
        self.labels = labels

    def draw(self, label, rng, length):
        frequency = 200 * (1 + LABELS.index(label))
        return np.sin(2 * np.pi * frequency * np.arange(length) / 32_000).astype(np.float32)


class OneClip:
    """A natural clip of two tracks and some background."""

    def draw(self, rng, length):
        tracks = {"Bark": np.full(length, 0.1, np.float32), "Rain": np.full(length, 0.2, np.float32)}
        return np.full(length, 0.31, np.float32), tracks


class NamesEncoder:
    """Embeds a text by its position in ``LABELS``."""

    dim = len(LABELS)

    def embed_text(self, texts):
        return torch.eye(self.dim)[[LABELS.index(text) for text in texts]]


def draws(count=300, pools=None, natural=None, **changes):
    config = TrainConfig(**{"silence_rate": 0.0, "sst_share": 0.0, **changes})
    sampler = Sampler(pools or [TonePool(LABELS)], natural, config, length=3200, seed=1)
    return [sampler.draw() for _ in range(count)]


def test_the_same_seed_gives_the_same_samples():
    for one, other in zip(draws(5), draws(5), strict=True):
        assert one.queries == other.queries
        np.testing.assert_array_equal(one.mixture, other.mixture)


def test_labels_of_a_mixture_are_unrelated():
    for sample in draws():
        for query in sample.queries:
            names = [name for name in (query.positive, *query.negatives) if name]
            assert not any(label_table().related(a, b) for a in names for b in names if a != b), names


def test_the_target_is_the_part_that_the_query_asks_for():
    for sample in draws(pos_only_rate=0.0, neg_only_rate=0.0, interferers_max=1):
        for query, target in zip(sample.queries, sample.targets, strict=True):
            rate = np.abs(np.fft.rfft(target)).argmax() * 32_000 / 3200
            assert rate == 200 * (1 + LABELS.index(query.positive))
            (other,) = query.negatives
            rest = np.abs(np.fft.rfft(sample.mixture - target)).argmax() * 32_000 / 3200
            assert rest == 200 * (1 + LABELS.index(other))


def test_query_modes_come_in_the_shares_of_the_paper():
    modes = Counter(
        (query.positive is not None, bool(query.negatives)) for sample in draws(1000) for query in sample.queries
    )
    total = sum(modes.values())
    assert modes[True, False] / total == pytest.approx(0.25, abs=0.04)
    assert modes[False, True] / total == pytest.approx(0.25, abs=0.04)
    assert modes[True, True] / total == pytest.approx(0.5, abs=0.04)


def test_silence_samples_ask_for_a_label_that_is_absent():
    silent = [
        (query, sample)
        for sample in draws(600, silence_rate=0.3, pos_only_rate=0.0, neg_only_rate=0.0)
        for query, target in zip(sample.queries, sample.targets, strict=True)
        if not target.any()
    ]
    assert len(silent) / 1200 == pytest.approx(0.3, abs=0.05)
    for query, _ in silent:
        assert not any(label_table().related(query.positive, present) for present in query.negatives)


def test_natural_clips_are_taken_as_they_are():
    for sample in draws(20, natural=OneClip(), sst_share=1.0, pos_only_rate=0, neg_only_rate=0):
        assert sample.mixture[0] == np.float32(0.31)
        levels = {query.positive: target[0] for query, target in zip(sample.queries, sample.targets, strict=True)}
        assert levels == {"Bark": np.float32(0.1), "Rain": np.float32(0.2)}


def test_kept_tracks_are_drawn_with_their_share():
    class Loud(TonePool):
        drawn = 0

        def draw(self, label, rng, length):
            Loud.drawn += 1
            return super().draw(label, rng, length)

    samples = draws(500, pools=[TonePool(LABELS), Loud(LABELS)], itt_share=0.4, interferers_max=1)
    assert Loud.drawn / (2 * len(samples)) == pytest.approx(0.4, abs=0.05)


def test_a_label_that_only_kept_tracks_have_is_still_used():
    samples = draws(200, pools=[TonePool(["Rain", "Siren"]), TonePool(["Bark"])], itt_share=0.0, interferers_max=1)
    assert any(query.positive == "Bark" for sample in samples for query in sample.queries)


def test_without_any_track_there_is_a_clear_error():
    with pytest.raises(ValueError, match="no pool holds a track"):
        Sampler([TonePool([])], None, TrainConfig(), length=100, seed=0)


def test_a_batch_holds_positive_and_negative_halves_and_zeros_where_absent():
    samples = draws(50, pos_only_rate=1.0, neg_only_rate=0.0)
    batch = collate(samples, NamesEncoder())
    assert batch.mixtures.shape == (50, 3200)
    assert batch.targets.shape == (50, 2, 3200)
    assert batch.queries.shape == (50, 2, 10)
    assert (batch.queries[..., :5].sum(-1) == 1).all()
    assert (batch.queries[..., 5:] == 0).all()


@pytest.mark.parametrize(("have", "want"), [(100, 100), (100, 30), (30, 100)])
def test_a_crop_has_the_wanted_length_and_keeps_what_fits(have, want):
    rng = np.random.default_rng(0)
    wave = np.arange(1, have + 1, dtype=np.float32)
    part = crop(wave, rng, want)
    assert len(part) == want
    assert np.count_nonzero(part) == min(have, want)
