"""Mammals and the rooster: larynx and syrinx voices through tracts of all sizes.

Example::

    ANIMALS["Bark"](np.random.default_rng(0), 5.0, 32_000)     # float64 (160000,)
"""

import numpy as np

from data_specs.soundscapes.dsp import (
    Array,
    Rng,
    fade,
    place,
    repeat,
    seconds,
    smooth_path,
    uniform_log,
    unit_peak,
)
from data_specs.soundscapes.vocal_tract import glottis, tract


def bark(rng: Rng, duration_s: float, rate: int) -> Array:
    """Bark: 60-300 ms larynx burst, pitch rising then falling, chaotic roughness, through a dog's short wide tract."""
    n = seconds(duration_s, rate)
    size = uniform_log(rng, 0.75, 1.9)  # small dogs have high pitch and formants
    pitch = uniform_log(rng, 180, 420) * size**1.3
    length_s = uniform_log(rng, 0.07, 0.28)
    harsh = rng.uniform(0.1, 0.9)
    breath = rng.uniform(0.05, 0.7)
    formants = np.array([rng.uniform(520, 850), rng.uniform(950, 1_500), 2_400, 3_700]) * size
    tilt = rng.uniform(-10, -5)

    def one(scale: float) -> Array:
        length = seconds(length_s * rng.uniform(0.8, 1.25), rate)
        top = pitch * rng.uniform(0.9, 1.12)
        f0 = smooth_path(
            length, [(0, 0.65 * top), (rng.uniform(0.2, 0.4), 1.2 * top), (1, rng.uniform(0.5, 0.85) * top)]
        )
        source = glottis(rng, f0, rate, tilt_db=tilt, breath=breath, jitter=0.03, roughness=harsh)
        loud = smooth_path(length, [(0, 0), (rng.uniform(0.06, 0.2), 1), (0.5, 0.7), (1, 0)])
        opening = smooth_path(length, [(0, 0.7), (0.35, 1.1), (1, 0.75)])
        sound = tract(source * loud, rate, [f * opening for f in formants], widths=0.28, floor=0.01, tilt=0.55)
        return scale * fade(unit_peak(sound), rate, 0.003)

    def group(_: int) -> Array:
        count = int(rng.choice([1, 1, 2, 2, 3, 4]))
        step = length_s + uniform_log(rng, 0.05, 0.3)
        pieces = [(int(k * step * rng.uniform(0.95, 1.05) * rate), one(rng.uniform(0.6, 1))) for k in range(count)]
        return place(pieces[-1][0] + seconds(1.3 * length_s, rate), pieces)

    slow = rng.choice([0.4, 1.5, 4.0])
    return repeat(rng, n, rate, group, gap_s=(0.15, slow), start_s=0.5)


def meow(rng: Rng, duration_s: float, rate: int) -> Array:
    """Meow: 0.4-1.3 s harmonic tone at 350-900 Hz while the mouth opens and closes (formants rise, then fall)."""
    n = seconds(duration_s, rate)
    pitch = uniform_log(rng, 330, 900)
    size = rng.uniform(0.85, 1.3)
    tilt = rng.uniform(-10, -5)

    def one(_: int) -> Array:
        length = seconds(uniform_log(rng, 0.35, 1.3), rate)
        top = pitch * rng.uniform(0.85, 1.15)
        f0 = smooth_path(
            length,
            [(0, 0.8 * top), (rng.uniform(0.2, 0.5), top), (0.75, 0.92 * top), (1, rng.uniform(0.55, 0.8) * top)],
        )
        source = glottis(
            rng, f0, rate, tilt_db=tilt, breath=rng.uniform(0.01, 0.1), jitter=0.01, roughness=rng.choice([0, 0, 0.3])
        )
        loud = smooth_path(length, [(0, 0), (0.12, 0.5), (0.4, 1), (0.8, 0.5), (1, 0)])
        opening = smooth_path(length, [(0, 0), (0.45, 1), (0.7, 0.8), (1, 0.05)])
        formants: list[float | Array] = [
            size * (450 + 800 * opening),
            size * (1_300 + 900 * opening),
            size * (3_300 - 300 * opening),
            5_200 * size,
        ]
        return fade(
            unit_peak(tract(source * loud, rate, formants, widths=0.14, floor=0.008, tilt=0.7)), rate, 0.01
        ) * rng.uniform(0.6, 1)

    return repeat(rng, n, rate, one, gap_s=(0.2, 2.0), start_s=0.4)


def crowing(rng: Rng, duration_s: float, rate: int) -> Array:
    """Rooster: four syllables (short, short, high, long falling) of a syrinx rich in harmonics, resonance near 1-2
    kHz.
    """
    n = seconds(duration_s, rate)
    pitch = uniform_log(rng, 480, 820)
    resonance = uniform_log(rng, 1_100, 1_900)
    width, second = rng.uniform(0.2, 0.4), uniform_log(rng, 0.05, 0.4)
    tilt = rng.uniform(-7, -2)
    pace = rng.uniform(0.8, 1.3)
    rough = rng.choice([0.0, 0.2, 0.6])

    def syllable(length_s: float, contour: list[tuple[float, float]], loudness: float) -> Array:
        length = seconds(length_s * pace, rate)
        f0 = smooth_path(length, contour) * pitch
        source = glottis(
            rng, f0, rate, tilt_db=tilt, breath=rng.uniform(0.02, 0.15), jitter=0.012, roughness=rough * rng.random()
        )
        loud = smooth_path(length, [(0, 0), (0.12, 0.8), (0.6, 1), (0.88, 0.7), (1, 0)])
        return loudness * unit_peak(
            tract(source * loud, rate, [resonance, 2.1 * resonance], widths=width, floor=0.003, tilt=second)
        )

    def crow(_: int) -> Array:
        parts = [
            syllable(rng.uniform(0.15, 0.3), [(0, 0.7), (0.5, 0.95), (1, 0.9)], rng.uniform(0.3, 0.7)),
            np.zeros(seconds(rng.uniform(0.03, 0.1), rate)),
            syllable(rng.uniform(0.12, 0.3), [(0, 0.9), (0.5, 1.1), (1, 1.05)], rng.uniform(0.5, 0.9)),
            np.zeros(seconds(rng.uniform(0.02, 0.08), rate)),
            syllable(rng.uniform(0.25, 0.5), [(0, 1.0), (0.3, 1.35), (1, 1.2)], 1.0),
            syllable(
                rng.uniform(0.5, 1.3),
                [(0, 1.15), (0.3, 1.18), (0.7, 1.0), (1, rng.uniform(0.5, 0.8))],
                rng.uniform(0.7, 1),
            ),
        ]
        return np.concatenate(parts[2 * int(rng.random() < 0.25) :] if duration_s > 1.5 else parts[4:])

    return repeat(rng, n, rate, crow, gap_s=(1.0, 4.0), start_s=0.8)


def _bellow(
    rng: Rng,
    n: int,
    rate: int,
    *,
    pitch: tuple[float, float],
    size: tuple[float, float],
    length: tuple[float, float],
    tremor: tuple[float, float, float],
    tilt: tuple[float, float],
    breath: tuple[float, float],
    gap: tuple[float, float],
) -> Array:
    """Long farm-animal calls; ``tremor`` is (lowest Hz, highest Hz, depth) of loudness and pitch."""
    f, scale = uniform_log(rng, *pitch), rng.uniform(*size)
    tremor_hz, air, slope = rng.uniform(*tremor[:2]), rng.uniform(*breath), rng.uniform(*tilt)

    def call(_: int) -> Array:
        k = seconds(uniform_log(rng, *length), rate)
        shake = np.sin(2 * np.pi * tremor_hz * np.arange(k) / rate + 6 * rng.random())
        f0 = (
            f
            * smooth_path(k, [(0, 0.8), (0.2, 1.0), (0.6, rng.uniform(0.95, 1.15)), (1, 0.75)])
            * (1 + 0.3 * tremor[2] * shake)
        )
        source = glottis(rng, f0, rate, tilt_db=slope, breath=air, jitter=0.02, roughness=0.3 * rng.random())
        loud = smooth_path(k, [(0, 0), (0.12, 0.8), (0.6, 1), (0.85, 0.6), (1, 0)]) * (1 + tremor[2] * shake)
        opening = smooth_path(k, [(0, 0.6), (0.3, 1), (0.75, 1), (1, 0.7)])
        formants: list[float | Array] = [620 * scale * opening, 1_450 * scale * opening, 2_500 * scale, 3_600 * scale]
        return unit_peak(tract(source * loud, rate, formants, widths=0.14, floor=0.01)) * rng.uniform(0.6, 1)

    return repeat(rng, n, rate, call, gap_s=gap, start_s=0.6)


def sheep(rng: Rng, duration_s: float, rate: int) -> Array:
    """Sheep: bleats with the strong 6-12 Hz tremor of the larynx at 140-380 Hz."""
    return _bellow(
        rng,
        seconds(duration_s, rate),
        rate,
        pitch=(140, 380),
        size=(0.95, 1.4),
        length=(0.5, 1.4),
        tremor=(6, 12, 0.6),
        tilt=(-9, -5),
        breath=(0.1, 0.4),
        gap=(0.2, 2.0),
    )


def cow(rng: Rng, duration_s: float, rate: int) -> Array:
    """Cattle: 1-2.5 s moos at 60-160 Hz through a long tract, nasal at first."""
    return _bellow(
        rng,
        seconds(duration_s, rate),
        rate,
        pitch=(60, 160),
        size=(0.45, 0.75),
        length=(1.0, 2.5),
        tremor=(1, 3, 0.08),
        tilt=(-9, -5),
        breath=(0.03, 0.2),
        gap=(0.4, 2.5),
    )


ANIMALS = {
    "Bark": bark,
    "Meow": meow,
    "Crowing, cock-a-doodle-doo": crowing,
    "Sheep": sheep,
    "Cattle, bovinae": cow,
}
