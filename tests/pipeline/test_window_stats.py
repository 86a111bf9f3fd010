"""Figures of a window: the same however it is read, and what they say about it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import Block
from pipeline.window_stats import WindowStats


def blocks(channels, sizes):
    """Channels (T, C) in blocks of the given sizes, the rest in one more."""
    for part in np.split(channels, [edge for edge in np.cumsum(sizes) if edge < len(channels)]):
        yield Block(part, part.mean(axis=1, dtype=np.float32))


def random_channels(frames, channels, level=0.1):
    return (np.random.default_rng(frames).standard_normal((frames, channels)) * level).astype(np.float32)


@given(st.integers(1, 400), st.integers(1, 6), st.lists(st.integers(1, 100), max_size=5))
@settings(deadline=None)
def test_figures_do_not_depend_on_how_the_window_is_read(frames, channels, sizes):
    samples = random_channels(frames, channels)
    whole, parts = WindowStats.of(blocks(samples, []), 8_000), WindowStats.of(blocks(samples, sizes), 8_000)
    assert (parts.sha256, parts.frames, parts.peak, parts.finite) == (whole.sha256, frames, whole.peak, True)
    assert parts.level_db == pytest.approx(whole.level_db, abs=1e-6)
    assert parts.channel_db == pytest.approx(whole.channel_db, abs=1e-6)


def test_levels_are_rms_about_the_mean_in_db():
    samples = random_channels(100_000, 1) + np.float32(0.5)
    stats = WindowStats.of(blocks(samples, []), 8_000)
    assert stats.level_db == pytest.approx(-20, abs=0.1)
    assert stats.peak == np.abs(samples).max()


def test_the_checksum_tells_rates_and_samples_apart():
    samples = random_channels(100, 1)
    sums = {WindowStats.of(blocks(samples, []), rate).sha256 for rate in (8_000, 16_000)}
    sums.add(WindowStats.of(blocks(-samples, []), 8_000).sha256)
    assert len(sums) == 3


@pytest.mark.parametrize(
    ("samples", "trouble"),
    [
        (random_channels(8_000, 2), ""),
        (random_channels(3_999, 1), "shorter than 0.5 s"),
        (random_channels(8_000, 1, level=1e-4), "silent"),
        (random_channels(8_000, 1, level=1e-3), ""),
        (np.full((8_000, 1), np.nan, np.float32), "NaN or infinite samples"),
        (np.full((8_000, 1), 0.3, np.float32), "silent"),
        (random_channels(8_000, 1) * np.float32([[1, -1]]), "silent after downmix"),
    ],
)
def test_what_is_wrong_with_a_window_is_said_in_a_few_words(samples, trouble):
    stats = WindowStats.of(blocks(samples, [1000, 1]), 8_000)
    assert stats.trouble(min_duration_s=0.5, silence_db=-70.0) == trouble


def test_no_blocks_are_no_frames():
    stats = WindowStats.of(iter(()), 8_000)
    assert (stats.frames, stats.peak, stats.finite) == (0, 0.0, True)
