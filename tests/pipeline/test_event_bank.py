"""The bank holds every built-in event and draws it in many variations."""

import numpy as np
import pytest

from data_specs.soundscapes import EVENTS
from pipeline.event_bank import EventBank


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bank")
    return EventBank.render(folder, variants=2, duration_s=1.0, sample_rate_hz=16_000, seed=0)


def test_every_label_is_there_and_audible(bank):
    assert bank.labels == list(EVENTS)
    rng = np.random.default_rng(0)
    for label in bank.labels:
        event = bank.draw(label, rng, 16_000)
        assert event.shape == (16_000,)
        assert event.dtype == np.float32
        assert np.isfinite(event).all()


def test_draws_differ_and_repeat_with_the_seed(bank):
    one, other = (bank.draw("Rain", np.random.default_rng(seed), 8_000) for seed in (1, 2))
    assert np.abs(one - other).max() > 0
    np.testing.assert_array_equal(one, bank.draw("Rain", np.random.default_rng(1), 8_000))


def test_a_second_rendering_uses_what_is_there(bank, tmp_path):
    small = {"variants": 1, "duration_s": 0.5, "sample_rate_hz": 8_000, "seed": 0}
    EventBank.render(tmp_path, **small)
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    EventBank.render(tmp_path, **small)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
