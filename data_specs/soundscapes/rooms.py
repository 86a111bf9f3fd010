"""Rooms: shoebox acoustics by the image-source method (pyroomacoustics), with the direct sound left where it was.

A scene has one room and one microphone; every source has its own place. The wet track is the truth track.

Example::

    room = draw_room(rng)
    wet = add_room(dry, room, place_source(room, rng), sample_rate_hz=32_000)
"""

import numpy as np
import scipy

from data_specs.records import Record

MAX_ORDER = 14
"""Reflections per path: a few tenths of a second, at a cost of some milliseconds."""

WALL_GAP_M = 0.4
SPEED_OF_SOUND_M_S = 343.0
_INTERPOLATION_DELAY = 40  # samples by which the simulator's fractional-delay filter holds every arrival back

Point = tuple[float, float, float]


class Room(Record):
    """A box-shaped room (metres), the share of energy that its walls absorb, and where the microphone stands."""

    size_m: Point
    absorption: float
    microphone_m: Point


def draw_room(rng: np.random.Generator) -> Room:
    """A room between a bathroom and a gym hall; larger ones absorb more, so that all decay within about a second."""
    scale = float(np.exp(rng.uniform(np.log(2.2), np.log(14.0))))
    size = (scale, scale * rng.uniform(0.6, 1.3), float(np.clip(scale * rng.uniform(0.35, 0.7), 2.2, 7.0)))
    size_m = _point(size)
    absorption = round(float(rng.uniform(0.12, 0.5) + 0.015 * scale), 3)
    return Room(size_m=size_m, absorption=absorption, microphone_m=_inside(size_m, rng))


def place_source(room: Room, rng: np.random.Generator) -> Point:
    """A place in the room that is at least 0.3 m from the microphone."""
    while True:
        place = _inside(room.size_m, rng)
        if np.linalg.norm(np.subtract(place, room.microphone_m)) > 0.3:
            return place


def add_room(waveform: np.ndarray, room: Room, source_m: Point, *, sample_rate_hz: int) -> np.ndarray:
    """``waveform`` (T,) as heard in the room, (T,) float32: direct sound in place, same RMS, late tail cut at T."""
    response, direct = _impulse_response(room, source_m, sample_rate_hz)
    wet = scipy.signal.oaconvolve(waveform.astype(np.float64), response)[direct : direct + len(waveform)]
    wet = np.pad(wet, (0, len(waveform) - len(wet)))
    level, wet_level = np.sqrt(np.mean(np.square(waveform, dtype=np.float64))), np.sqrt(np.mean(wet**2))
    return (wet * (level / max(wet_level, 1e-12))).astype(np.float32)


def in_room(waveform: np.ndarray, rng: np.random.Generator, sample_rate_hz: int) -> np.ndarray:
    """``waveform`` (T,) at a random place of a random room, (T,) float32."""
    room = draw_room(rng)
    return add_room(waveform, room, place_source(room, rng), sample_rate_hz=sample_rate_hz)


def _impulse_response(room: Room, source_m: Point, sample_rate_hz: int) -> tuple[np.ndarray, int]:
    """The impulse response and the sample at which the direct sound arrives."""
    import pyroomacoustics  # takes a second, and most who import this module make no room

    pyroomacoustics.constants.set("num_threads", 1)  # sums in one order: the same samples on every machine
    box = pyroomacoustics.ShoeBox(
        room.size_m,
        fs=sample_rate_hz,
        materials=pyroomacoustics.Material(room.absorption),
        max_order=MAX_ORDER,
        air_absorption=False,
    )
    box.add_source(source_m)
    box.add_microphone(room.microphone_m)
    box.compute_rir()
    response = np.asarray(box.rir[0][0], np.float64)
    distance = np.linalg.norm(np.subtract(source_m, room.microphone_m))
    direct = round(distance / SPEED_OF_SOUND_M_S * sample_rate_hz) + _INTERPOLATION_DELAY
    fade = len(response) // 3  # the image sources end at MAX_ORDER; the tail does not end abruptly
    response[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
    return response, direct


def _inside(size_m: Point, rng: np.random.Generator) -> Point:
    return _point([rng.uniform(WALL_GAP_M, side - WALL_GAP_M) for side in size_m])


def _point(values) -> Point:
    x, y, z = (round(float(value), 3) for value in values)
    return x, y, z
