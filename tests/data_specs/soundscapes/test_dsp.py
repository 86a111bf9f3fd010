"""The building blocks do what their names say."""

import numpy as np
import pytest

from data_specs.soundscapes import dsp

RATE = 16_000


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def peak_hz(x):
    return float(np.argmax(np.abs(np.fft.rfft(x))) * RATE / len(x))


def test_shaped_noise_follows_its_points(rng):
    noise = dsp.shaped_noise(rng, RATE, RATE, [(50, -80), (900, -40), (1_000, 0), (1_100, -40), (8_000, -80)])
    power = np.abs(np.fft.rfft(noise)) ** 2
    assert power[900:1_100].sum() > 0.95 * power.sum()
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1.0)


def test_a_mode_rings_at_its_frequency_and_decays(rng):
    ring = dsp.modes(rng, RATE, freqs_hz=[440.0], decays_s=[0.1])
    assert peak_hz(ring) == pytest.approx(440.0, abs=3)
    half = len(ring) // 2
    assert np.mean(ring[half:] ** 2) < 0.01 * np.mean(ring[:half] ** 2)


def test_modes_above_the_nyquist_frequency_are_left_out(rng):
    assert not dsp.modes(rng, RATE, freqs_hz=[9_000.0], decays_s=[0.1]).any()


def test_a_wavetable_holds_the_harmonics_it_is_given():
    wave = dsp.wavetable(dsp.phase_of(np.full(RATE, 200.0), RATE), [0.0, 1.0])
    assert peak_hz(wave) == pytest.approx(400.0)
    assert np.abs(wave).max() == pytest.approx(1.0, abs=0.02)


def test_filter_frames_with_a_flat_response_is_the_identity(rng):
    x = rng.standard_normal(5_000)
    y = dsp.filter_frames(x, lambda times, freqs: np.ones((len(times), freqs.shape[1])), RATE)
    np.testing.assert_allclose(y, x, atol=1e-9)


@pytest.mark.parametrize("kernels", [1, 3])
def test_grains_sound_the_same_added_one_by_one_and_convolved(kernels, monkeypatch):
    shapes = [np.hanning(50 + 10 * k) for k in range(kernels)]
    one_by_one = dsp.grains(np.random.default_rng(2), RATE, rate=RATE, density_hz=200.0, kernels=shapes)
    monkeypatch.setattr(dsp, "LOOP_GRAINS", 0)
    convolved = dsp.grains(np.random.default_rng(2), RATE, rate=RATE, density_hz=200.0, kernels=shapes)
    np.testing.assert_allclose(one_by_one, convolved, atol=1e-9)


def test_repeat_leaves_gaps_and_fills_the_duration(rng):
    x = dsp.repeat(rng, RATE, RATE, lambda _: np.ones(1_000), gap_s=(0.05, 0.06))
    starts = np.flatnonzero(np.diff(x) > 0)
    assert len(starts) >= 7
    assert set(np.unique(x)) == {0.0, 1.0}


def test_smooth_path_goes_through_its_points():
    path = dsp.smooth_path(1_001, [(0, 1.0), (0.5, 3.0), (1, 2.0)])
    np.testing.assert_allclose(path[[0, 500, 1_000]], [1, 3, 2], atol=0.02)
    assert path.min() >= 1
    assert path.max() <= 3
