"""Remix scores against numbers worked out by hand, and their behaviour at the edges."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.remix import energy_share_db, re_sdr, re_si_sdr, score_remix


def noise(seed: int, samples: int = 4000) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=samples).astype(np.float32)


def test_re_sdr_is_the_energy_of_the_mixture_over_that_of_what_is_missing():
    assert re_sdr(0.9 * noise(0), noise(0)) == pytest.approx(20.0, abs=1e-4)


def test_re_si_sdr_does_not_mind_the_level_of_the_remix():
    mixture, error = noise(0), noise(1)
    assert re_si_sdr(0.1 * (mixture + 0.1 * error), mixture) == pytest.approx(
        re_si_sdr(mixture + 0.1 * error, mixture), abs=1e-4
    )
    assert re_si_sdr(mixture + 0.1 * error, mixture) == pytest.approx(20.0, abs=0.5)


def test_numpy_and_torch_give_the_same_scores():
    tracks, mixture = np.stack([noise(0), noise(1)]), noise(0) + noise(1) + 0.1 * noise(2)
    assert score_remix(tracks, mixture) == score_remix(torch.from_numpy(tracks), torch.from_numpy(mixture))


def test_energy_shares_are_relative_to_the_mixture():
    assert energy_share_db(0.1 * noise(0), noise(0)) == pytest.approx(-20.0, abs=1e-4)


@given(level=st.sampled_from([0.0, 1e-30, 1e-8, 1e-3, 1.0, 1e3]), split=st.floats(0, 1))
def test_scores_are_finite_whatever_the_level(level, split):
    mixture = level * noise(3, 200)
    scores = score_remix(np.stack([split * mixture, (1 - split) * mixture]).astype(np.float32), mixture)
    assert np.isfinite([scores.re_sdr_db, scores.re_si_sdr_db, *scores.energy_share_db]).all()


@given(order=st.permutations(range(3)))
def test_the_order_of_tracks_does_not_matter(order):
    tracks = np.stack([noise(seed, 500) for seed in range(3)])
    mixture = tracks.sum(axis=0) + 0.1 * noise(9, 500)
    shuffled = score_remix(tracks[list(order)], mixture)
    assert shuffled.re_sdr_db == pytest.approx(score_remix(tracks, mixture).re_sdr_db, abs=1e-6)
    assert shuffled.energy_share_db == tuple(score_remix(tracks, mixture).energy_share_db[i] for i in order)


def test_what_is_not_finite_or_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="not finite"):
        score_remix(np.full((2, 10), np.nan, np.float32), noise(0, 10))
    with pytest.raises(ValueError, match="do not fit"):
        score_remix(np.zeros((2, 9), np.float32), noise(0, 10))
