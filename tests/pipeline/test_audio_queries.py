"""Samples for audio-only queries: no labels needed, the query is the embedding of what is asked for."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
import torchaudio.functional as AF

from data_specs.config import TrainConfig
from data_specs.errors import UserError
from data_specs.objectives import ManipulationConfig
from models.query_encoders import load_query_encoder
from pipeline.audio_queries import LEVEL_RMS, AudioQuerySampler, collate_audio_queries
from tests.pipeline.sounds import TonePool

LENGTH = 32_000
PLAIN = ManipulationConfig(kind="none")
NO_LABELS = [()] * 6


@pytest.fixture(scope="module")
def encoder():
    return load_query_encoder("embedded")


def seeded(count):
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def sampler(**changes):
    return AudioQuerySampler(TonePool(NO_LABELS), TrainConfig(**changes), length=LENGTH, seed=0)


def test_a_mixture_is_the_sum_of_its_sounds_at_their_levels_and_targets_are_among_them():
    for _ in range(20):
        sample = sampler(silence_rate=0, queries_per_mixture=4).draw()
        present = sample.sounds[:-1]
        gains = np.linalg.lstsq(present.T, sample.mixture, rcond=None)[0]
        np.testing.assert_allclose(sample.mixture, gains @ present, atol=1e-6)
        assert np.all(np.abs(20 * np.log10(gains)) <= 5)
        for target, query in zip(sample.targets, sample.queries, strict=True):
            own = [i for i in range(len(present)) if np.allclose(gains[i] * present[i], target, atol=1e-6)]
            assert len(own) == 1
            assert query.positive in (own[0], None)
            assert set(query.negatives) in (set(), set(range(len(sample.sounds) - 1)) - set(own))
            assert query.positive is not None or query.negatives


def test_a_sound_is_embedded_at_a_common_level_whatever_its_level_in_the_mixture():
    for sample in islice(sampler(silence_rate=0), 8):
        np.testing.assert_allclose(np.sqrt(np.mean(sample.sounds**2, axis=1)), LEVEL_RMS, rtol=1e-4)
        assert not np.isclose(np.sqrt(np.mean(sample.targets**2)), LEVEL_RMS, rtol=1e-4)


def test_an_absent_sound_gives_silence():
    sample = sampler(silence_rate=1.0, neg_only_rate=1.0, pos_only_rate=0.0).draw()
    assert (sample.targets == 0).all()
    assert {query.positive for query in sample.queries} == {len(sample.sounds) - 1}
    assert {query.negatives for query in sample.queries} == {tuple(range(len(sample.sounds) - 1))}


def test_query_modes_have_their_shares():
    one = sampler(silence_rate=0)
    queries = [query for _ in range(100) for query in one.draw().queries]
    assert np.mean([not query.negatives for query in queries]) == pytest.approx(0.25, abs=0.1)
    assert np.mean([query.positive is None for query in queries]) == pytest.approx(0.25, abs=0.1)


def test_queries_are_the_embeddings_of_the_sounds_by_themselves(encoder):
    sample = sampler(silence_rate=0, pos_only_rate=0.0, neg_only_rate=0.0).draw()
    batch = collate_audio_queries([sample], encoder, PLAIN, seeded(1))
    sounds = encoder.embed_audio(torch.from_numpy(sample.sounds))
    for row, query in zip(batch.queries[0], sample.queries, strict=True):
        torch.testing.assert_close(row[: encoder.dim], sounds[query.positive])
        torch.testing.assert_close(row[encoder.dim :], sounds[list(query.negatives)].mean(dim=0))


def test_a_separator_of_another_rate_has_its_sounds_embedded_at_the_encoders_rate(encoder):
    sample = sampler(silence_rate=0, pos_only_rate=0.0, neg_only_rate=0.0).draw()
    at_half_rate = replace(sample, sounds=AF.resample(torch.from_numpy(sample.sounds), 32_000, 16_000).numpy())
    usual = collate_audio_queries([sample], encoder, PLAIN, seeded(1)).queries
    half = collate_audio_queries([at_half_rate], encoder, PLAIN, seeded(1), sample_rate_hz=16_000).queries
    misheard = collate_audio_queries([at_half_rate], encoder, PLAIN, seeded(1)).queries
    right, wrong = (torch.nn.functional.cosine_similarity(usual, other, dim=-1) for other in (half, misheard))
    assert right.min() > 0.9
    assert right.min() > wrong.max()


@pytest.mark.parametrize("kind", ["mixup", "spec_augment", "noise", "dropout"])
def test_manipulations_change_queries_but_not_absent_halves_and_repeat_from_a_seed(encoder, kind):
    config = ManipulationConfig(kind=kind)
    samples = list(islice(sampler(audio_query=config, pos_only_rate=0.5), 4))
    plain = collate_audio_queries(samples, encoder, PLAIN, seeded(4)).queries
    changed = collate_audio_queries(samples, encoder, config, seeded(4)).queries
    alone = [collate_audio_queries([samples[i]], encoder, config, [seeded(4)[i]]).queries for i in range(4)]
    torch.testing.assert_close(changed, torch.cat(alone))
    halves, plain_halves = changed.unflatten(-1, (2, -1)), plain.unflatten(-1, (2, -1))
    absent = (plain_halves == 0).all(dim=-1)
    assert absent.any()
    assert (halves[absent] == 0).all()
    assert (halves[~absent] != plain_halves[~absent]).any(dim=-1).all()


def test_too_few_sounding_recordings_are_an_error():
    with pytest.raises(ValueError, match="audio queries need three recordings"):
        AudioQuerySampler(TonePool(NO_LABELS[:2]), TrainConfig(), length=LENGTH, seed=0)
    silent = AudioQuerySampler(TonePool(NO_LABELS, silent=range(5)), TrainConfig(), length=LENGTH, seed=0)
    with pytest.raises(UserError, match="recordings that sound"):
        silent.draw()


def test_a_pool_of_three_still_leaves_one_to_ask_for_in_vain():
    three = AudioQuerySampler(TonePool(NO_LABELS[:3]), TrainConfig(interferers_max=4), length=LENGTH, seed=0)
    assert len(three.draw().sounds) == 3
