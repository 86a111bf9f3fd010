"""Wrong partitions add up to the mixture and are wrong; right ones are right."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.metrics import si_sdr_db
from pipeline.partitions import RIGHT, WRONG, leaky_truth


def truth(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8000)).astype(np.float32)


@settings(deadline=None)
@given(name=st.sampled_from(sorted(set(WRONG) - {"one and mixture"})), count=st.integers(2, 4), seed=st.integers(0, 99))
def test_wrong_partitions_add_up_to_the_mixture(name, count, seed):
    sources = truth(count, seed)
    tracks = WRONG[name](sources, np.random.default_rng(seed))
    assert tracks.shape == sources.shape
    np.testing.assert_allclose(tracks.sum(axis=0), sources.sum(axis=0), atol=1e-4)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_no_track_of_a_wrong_partition_is_its_source_but_the_one_that_says_so(name):
    sources = truth(2, 0)
    tracks = np.ascontiguousarray(WRONG[name](sources, np.random.default_rng(0)))
    quality_db = si_sdr_db(torch.from_numpy(tracks), torch.from_numpy(sources))
    assert quality_db[1] < 5
    assert (quality_db[0] < 5) == (name != "one and mixture")


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_right_partitions_are_good(name):
    sources = truth(3, 1)
    tracks = RIGHT[name](sources, np.random.default_rng(0))
    quality_db = si_sdr_db(torch.from_numpy(tracks), torch.from_numpy(sources))
    assert quality_db.min() == pytest.approx(120 if name == "exact truth" else 10, abs=0.3)


def test_leaky_tracks_add_up():
    sources = truth(3, 2)
    tracks = leaky_truth(sources, np.random.default_rng(0))
    np.testing.assert_allclose(tracks.sum(axis=0), sources.sum(axis=0), atol=1e-4)
