"""Involuntary voices of people: cries, coughs, sneezes and snores, from one vocal tract each.

Example::

    VOICES["Cough"](np.random.default_rng(0), 5.0, 32_000)     # float64 (160000,)
"""

import numpy as np

from data_specs.soundscapes.dsp import (
    Array,
    Rng,
    attack_decay,
    curve,
    fade,
    place,
    repeat,
    seconds,
    shaped_noise,
    smooth_path,
    uniform_log,
    unit_peak,
    unit_rms,
)
from data_specs.soundscapes.vocal_tract import glottis, speaker, tract


def baby_cry(rng: Rng, duration_s: float, rate: int) -> Array:
    """Infant cry: 0.5-2 s expirations at f0 300-650 Hz with rise-fall melody through a short tract, inhalations
    between.
    """
    n = seconds(duration_s, rate)
    pitch = uniform_log(rng, 320, 600)
    size = rng.uniform(1.5, 2.1)
    tilt = rng.uniform(-8, -2)
    harshness = rng.choice([0.0, 0.15, 0.5, 0.9])
    unit_s = uniform_log(rng, 0.25, 2.2)
    presence = uniform_log(rng, 2_400, 4_500)

    def cry(_: int) -> Array:
        length = seconds(unit_s * rng.uniform(0.6, 1.5), rate)
        top = pitch * rng.uniform(1.0, 1.25)
        f0 = smooth_path(
            length,
            [
                (0, 0.75 * top),
                (rng.uniform(0.08, 0.25), top),
                (rng.uniform(0.4, 0.8), top * rng.uniform(0.88, 1.02)),
                (1, 0.65 * top),
            ],
        )
        f0 *= 1 + rng.uniform(0, 0.03) * np.sin(2 * np.pi * rng.uniform(5, 9) * np.arange(length) / rate)
        source = glottis(
            rng, f0, rate, tilt_db=tilt, breath=rng.uniform(0.02, 0.3), jitter=0.02, roughness=harshness * rng.random()
        )
        loud = smooth_path(length, [(0, 0), (0.07, 0.8), (rng.uniform(0.3, 0.6), 1), (0.85, 0.6), (1, 0)])
        opening = smooth_path(length, [(0, 0.7), (0.25, 1.0), (0.7, 1.05), (1, 0.75)])
        formants: list[float | Array] = [620 * size * opening, 1_150 * size * opening, presence, 2_900 * size]
        sound = unit_rms(tract(source * loud, rate, formants, widths=0.16, floor=0.04, tilt=rng.uniform(0.75, 1.0)))
        if rng.random() < 0.6:  # inhalation
            pause = seconds(rng.uniform(0.12, 0.35), rate)
            gasp = tract(rng.standard_normal(pause) * np.hanning(pause), rate, [900 * size, 1_900 * size], widths=0.3)
            sound = np.concatenate([sound, np.zeros(seconds(0.05, rate)), rng.uniform(0.05, 0.3) * unit_rms(gasp)])
        return sound * rng.uniform(0.6, 1.1)

    return repeat(rng, n, rate, cry, gap_s=(0.08, 0.45))


def cough(rng: Rng, duration_s: float, rate: int) -> Array:
    """Cough: explosive noise burst through the open tract, a noisy middle part and an optional voiced end, in fits
    of 1-4.
    """
    n = seconds(duration_s, rate)
    pitch, size = speaker(rng)
    voiced = rng.choice([0.0, 0.4, 1.0])
    wet = rng.random() < 0.3

    def single(last: bool) -> Array:
        length = seconds(rng.uniform(0.22, 0.45), rate)
        burst = rng.standard_normal(length) * (
            attack_decay(length, rate, 0.004, rng.uniform(0.02, 0.05)) + 0.3 * attack_decay(length, rate, 0.03, 0.09)
        )
        f0 = smooth_path(length, [(0, 1.3), (0.4, 1.1), (1, 0.7)]) * pitch * 1.3
        tone = glottis(rng, f0, rate, tilt_db=-9, breath=0.6, roughness=0.6) * smooth_path(
            length, [(0, 0), (0.25, 0.15), (0.55, 0.5 if last else 0.2), (1, 0)]
        )
        if wet:
            burst *= 1 + 0.8 * curve(rng, length, rate, 120)
        sound = tract(
            burst + 0.35 * voiced * tone,
            rate,
            [650 * size, 1_350 * size, 2_600 * size, 3_900 * size],
            widths=0.3,
            floor=0.06,
            tilt=0.85,
        )
        return fade(unit_peak(sound), rate, 0.004)

    def fit(_: int) -> Array:
        count = int(rng.integers(1, 5))
        step = rng.uniform(0.28, 0.5)
        pieces = [
            (int(k * step * rng.uniform(0.95, 1.05) * rate), single(k == count - 1) * rng.uniform(0.6, 1))
            for k in range(count)
        ]
        return place(pieces[-1][0] + seconds(0.45, rate), pieces)

    return repeat(rng, n, rate, fit, gap_s=(0.3, 2.0))


def sneeze(rng: Rng, duration_s: float, rate: int) -> Array:
    """Sneeze: sharp inhalation ('ah'), then one explosive jet of noise that ends in a voiced 'oo'; once or twice."""
    n = seconds(duration_s, rate)
    pitch, size = speaker(rng)
    voice = rng.choice([0.1, 0.5, 1.3])
    centre = uniform_log(rng, 1_000, 6_000)

    def one(_: int) -> Array:
        parts = []
        if rng.random() < 0.45 and duration_s > 0.8:
            length = seconds(rng.uniform(0.2, 0.5), rate)
            f0 = pitch * rng.uniform(1.2, 2.0) * smooth_path(length, [(0, 1), (1, 1.25)])
            source = rng.choice([0.0, 0.5, 1.0]) * glottis(rng, f0, rate, breath=0.4) + 0.3 * rng.standard_normal(
                length
            )
            inhale = tract(
                source * smooth_path(length, [(0, 0), (0.7, 1), (1, 0)]),
                rate,
                [700 * size, 1_250 * size, 2_600 * size],
                widths=0.2,
            )
            parts += [rng.uniform(0.05, 0.3) * unit_peak(inhale), np.zeros(seconds(rng.uniform(0.02, 0.2), rate))]
        length = seconds(rng.uniform(0.35, 0.9), rate)
        jet_s = uniform_log(rng, 0.04, 0.2)
        jet = shaped_noise(
            rng, length, rate, [(150, -18), (0.5 * centre, -5), (centre, 0), (2.2 * centre, -6), (15_500, -20)]
        )
        jet = 0.8 * jet * attack_decay(length, rate, rng.uniform(0.004, 0.03), jet_s)
        f0 = pitch * rng.uniform(1.3, 2.4) * smooth_path(length, [(0, 1.15), (0.3, 1.0), (1, 0.55)])
        tone = glottis(rng, f0, rate, tilt_db=-9, breath=0.35, jitter=0.03, roughness=rng.choice([0, 0.5]))
        tone = tone * smooth_path(length, [(0, 0.1), (0.12, 1), (0.35, 0.6), (1, 0)])
        opening = smooth_path(length, [(0, 0.75), (0.2, 1), (1, 0.7)])
        tone = unit_rms(
            tract(tone, rate, [620 * size * opening, 1_150 * size * opening, 2_500 * size], widths=0.2, floor=0.03)
        )
        parts.append(jet + voice * tone)
        return fade(unit_peak(np.concatenate(parts)), rate, 0.004)

    count = 1 if rng.random() < 0.65 else int(rng.integers(2, 4))
    return repeat(rng, n, rate, one, gap_s=(0.25, 1.5), count=count, start_s=1.0)


def snoring(rng: Rng, duration_s: float, rate: int) -> Array:
    """Snoring: a flapping soft palate (rough pulses at 25-90 Hz) through the tract on every inhalation, breath
    between.
    """
    n = seconds(duration_s, rate)
    flutter = uniform_log(rng, 25, 90)
    size = rng.uniform(0.7, 1.2)
    inhale_s = rng.uniform(0.8, 1.8)
    noise = rng.uniform(0.1, 0.6)

    def breath(k: int) -> Array:
        length = seconds(inhale_s * rng.uniform(0.85, 1.15), rate)
        f0 = flutter * smooth_path(length, [(0, 0.8), (0.4, 1.1), (1, 0.9)]) * (1 + 0.12 * curve(rng, length, rate, 9))
        source = glottis(rng, f0, rate, tilt_db=-5, breath=noise, jitter=0.12, roughness=0.6)
        loud = smooth_path(length, [(0, 0), (0.25, 0.7), (0.75, 1), (0.95, 0.4), (1, 0)])
        snore = unit_rms(
            tract(source * loud, rate, [350 * size, 900 * size, 1_900 * size], widths=0.3, floor=0.03, tilt=0.6)
        )
        exhale = seconds(rng.uniform(0.6, 1.2), rate)
        puff = shaped_noise(rng, exhale, rate, [(100, -20), (500, 0), (1_500, -4), (8_000, -30)]) * smooth_path(
            exhale, [(0, 0), (0.2, 1), (1, 0)]
        )
        return np.concatenate([snore, np.zeros(seconds(0.1, rate)), rng.uniform(0.02, 0.3) * puff])

    return repeat(rng, n, rate, breath, gap_s=(0.2, 1.0))


VOICES = {
    "Baby cry, infant cry": baby_cry,
    "Cough": cough,
    "Sneeze": sneeze,
    "Snoring": snoring,
}
