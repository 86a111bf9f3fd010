"""Spectrograms of recordings that come in pieces."""

import numpy as np
import pytest
from PIL import Image

from pipeline.stem_picture import BANDS, COLUMNS_MAX, Strip, draw

RATE_HZ = 16_000


def tone(hz: float, duration_s: float) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(duration_s * RATE_HZ)) / RATE_HZ).astype(np.float32)


def strip_of(waveform: np.ndarray, *, piece: int) -> Strip:
    strip = Strip(len(waveform), RATE_HZ)
    for start in range(0, len(waveform), piece):
        strip.add(waveform[start : start + piece])
    return strip


def test_pieces_give_the_same_picture_as_the_whole():
    waveform = tone(440.0, 3.0) + tone(3_000.0, 3.0)
    whole, pieces = strip_of(waveform, piece=len(waveform)), strip_of(waveform, piece=7_001)
    np.testing.assert_allclose(pieces.decibels, whole.decibels, atol=1e-3)
    assert whole.duration_s == 3.0


def test_a_tone_is_where_its_frequency_is_and_when_it_sounds():
    strip = strip_of(np.concatenate([np.zeros(RATE_HZ, np.float32), tone(1_000.0, 1.0)]), piece=5_000)
    decibels = strip.decibels
    loudest = np.unravel_index(decibels.argmax(), decibels.shape)
    assert loudest[0] == pytest.approx(BANDS * np.log10(1 + 1_000 / 700) / np.log10(1 + 8_000 / 700), abs=1.5)
    half = decibels.shape[1] // 2
    assert decibels[:, : half - 3].max() < decibels[:, half + 3 :].max() - 60


def test_a_long_recording_has_no_more_columns_than_the_picture():
    assert strip_of(tone(200.0, 60.0), piece=RATE_HZ).decibels.shape == (BANDS, COLUMNS_MAX)


def test_any_name_length_and_level_can_be_drawn(tmp_path):
    for waveform in (np.zeros(3, np.float32), np.zeros(RATE_HZ, np.float32), tone(100.0, 0.1)):
        strip = strip_of(waveform, piece=1_000)
        draw([("a $x_{$ 犬", strip), ("<b>", strip)], title="50 % $ \\frac", path=tmp_path / "picture")
        with Image.open(tmp_path / "picture") as picture:
            assert picture.format == "PNG"
