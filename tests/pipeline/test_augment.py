"""Augmentation changes speed and spectrum as told, and nothing when told so."""

import numpy as np
import pytest

from data_specs.config import TrainConfig
from pipeline.augment import augment, change_speed, equalise

RATE_HZ = 32_000


def tone(frequency_hz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ).astype(np.float32)


def pitch_hz(waveform: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(waveform))) * RATE_HZ / len(waveform))


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_a_faster_track_is_shorter_and_higher(speed):
    changed = change_speed(tone(1000), speed)
    assert len(changed) == pytest.approx(RATE_HZ / speed, abs=2)
    assert pitch_hz(changed) == pytest.approx(1000 * speed, rel=0.01)


def test_equal_gains_change_the_level_and_nothing_else():
    track = np.random.default_rng(0).standard_normal(10_001).astype(np.float32)
    track -= track.mean()
    np.testing.assert_allclose(equalise(track, np.full(8, 6.0)), track * 10 ** (6 / 20), atol=0.02)


def test_gains_act_on_their_octave():
    gains_db = np.zeros(8)
    gains_db[-1] = -60.0  # the highest octave only
    low, high = equalise(tone(200), gains_db), equalise(tone(15_900), gains_db)
    assert np.std(low) == pytest.approx(np.std(tone(200)), rel=0.01)
    assert np.std(high) < 0.01


def test_without_a_range_a_track_stays_as_it_is():
    track = tone(440)
    assert augment(track, np.random.default_rng(0), TrainConfig()) is track


def test_the_same_seed_gives_the_same_track():
    config = TrainConfig(speed_range=(0.8, 1.25), eq_db=6.0)
    first, second = (augment(tone(440), np.random.default_rng(7), config) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(first) != RATE_HZ
    assert np.isfinite(first).all()
