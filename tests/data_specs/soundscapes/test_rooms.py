"""Rooms keep level, length and the place of the direct sound."""

import numpy as np
import pytest

from data_specs.soundscapes.rooms import add_room, draw_room, in_room, place_source

RATE = 16_000


@pytest.mark.parametrize("seed", range(8))
def test_the_direct_sound_stays_where_it_was(seed):
    rng = np.random.default_rng(seed)
    room = draw_room(rng)
    click = np.zeros(RATE, np.float32)
    click[2_000] = 1.0
    wet = add_room(click, room, place_source(room, rng), sample_rate_hz=RATE)
    loud = np.flatnonzero(np.abs(wet) > 0.3 * np.abs(wet).max())
    assert abs(int(loud[0]) - 2_000) <= 2


def test_a_room_keeps_length_and_level_and_adds_reverberation():
    rng = np.random.default_rng(0)
    burst = np.zeros(RATE, np.float32)
    burst[1_000:3_000] = rng.standard_normal(2_000).astype(np.float32)
    wet = in_room(burst, rng, RATE)
    assert wet.shape == burst.shape
    assert wet.dtype == np.float32
    assert np.sqrt(np.mean(wet**2)) == pytest.approx(np.sqrt(np.mean(burst**2)), rel=1e-4)
    assert np.abs(wet[3_200:5_000]).max() > 1e-4


def test_the_same_draw_gives_the_same_room():
    burst = np.random.default_rng(1).standard_normal(4_000).astype(np.float32)
    first, again = (in_room(burst, np.random.default_rng(9), RATE) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("seed", range(20))
def test_microphone_and_source_stand_inside_and_apart(seed):
    rng = np.random.default_rng(seed)
    room = draw_room(rng)
    source = place_source(room, rng)
    for place in (source, room.microphone_m):
        assert all(0 < at < side for at, side in zip(place, room.size_m, strict=True))
    assert np.linalg.norm(np.subtract(source, room.microphone_m)) > 0.3
    assert 0 < room.absorption < 1
