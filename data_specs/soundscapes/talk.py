"""Connected voices of people: speech, babble, laughter and whistled tunes.

Example::

    TALK["Speech"](np.random.default_rng(0), 5.0, 32_000)     # float64 (160000,)
"""

import numpy as np

from data_specs.soundscapes.dsp import (
    Array,
    Rng,
    amplitude,
    band,
    curve,
    fade,
    phase_of,
    place,
    repeat,
    seconds,
    shaped_noise,
    smooth_path,
    uniform_log,
    unit_rms,
)
from data_specs.soundscapes.vocal_tract import glottis, speaker, tract

# First three formants in Hz of vowels, a man's vocal tract.
VOWELS = np.array(
    [
        (730, 1090, 2440),
        (530, 1840, 2480),
        (390, 1990, 2550),
        (270, 2290, 3010),
        (570, 840, 2410),
        (440, 1020, 2240),
        (300, 870, 2240),
        (640, 1190, 2390),
        (490, 1350, 1690),
    ],
    float,
)


def _scaled_vowel(rng: Rng, size: float) -> Array:
    return VOWELS[int(rng.integers(len(VOWELS)))] * size * rng.uniform(0.95, 1.05, 3)


def utterance(rng: Rng, rate: int, *, pitch_hz: float, size: float, syllables: int, speed_hz: float) -> Array:
    """Connected syllables: vowels that glide into each other, fricatives and stops between them, falling intonation."""
    lengths = rng.uniform(0.6, 1.5, syllables) / speed_hz
    n = seconds(float(lengths.sum()), rate)
    edges = np.concatenate([[0], np.cumsum(lengths)]) / lengths.sum()
    targets = [_scaled_vowel(rng, size) for _ in range(syllables)]
    f0_points, loud_points, fricatives = [], [], []
    formant_points: list[list[tuple[float, float]]] = [[], [], []]
    fall = rng.uniform(0.75, 1.0)
    for k in range(syllables):
        middle = 0.5 * (edges[k] + edges[k + 1])
        width = edges[k + 1] - edges[k]
        f0_points.append((middle, pitch_hz * (1 + (fall - 1) * middle) * 2 ** (rng.normal(0, 2.5) / 12)))
        closed = rng.choice([0.0, 0.08, 0.35])
        loud_points += [
            (edges[k] + 0.08 * width, closed),
            (edges[k] + 0.3 * width, rng.uniform(0.5, 1)),
            (edges[k + 1] - 0.15 * width, rng.uniform(0.3, 0.8)),
        ]
        for j in range(3):
            formant_points[j] += [(middle - 0.15 * width, targets[k][j]), (middle + 0.2 * width, targets[k][j])]
        if rng.random() < 0.45:
            length = seconds(rng.uniform(0.03, 0.13), rate)
            centre = uniform_log(rng, 2_500, 8_000)
            hiss = shaped_noise(
                rng, length, rate, [(500, -50), (0.6 * centre, -14), (centre, 0), (1.6 * centre, -8), (16_000, -25)]
            )
            fricatives.append((int(edges[k] * n), 0.35 * rng.uniform(0.2, 1) * hiss * np.hanning(length)))
    loud_points = [(-0.01, 0.0), *loud_points, (1.0, 0.0)]
    loud_points[0] = (0.0, 0.0)
    f0 = smooth_path(n, [(0.0, f0_points[0][1] * 1.03), *f0_points, (1.0, f0_points[-1][1] * 0.9)])
    loud = smooth_path(n, loud_points)
    formants: list[float | Array] = [smooth_path(n, [(0.0, p[0][1]), *p, (1.0, p[-1][1])]) for p in formant_points]
    source = glottis(rng, f0, rate, tilt_db=rng.uniform(-13, -8), breath=rng.uniform(0.02, 0.15), jitter=0.015)
    voiced = tract(source * loud, rate, [*formants, 3_500 * size, 4_600 * size], widths=0.09, floor=0.01)
    return fade(unit_rms(voiced) + place(n, fricatives), rate, 0.01)


def speech(rng: Rng, duration_s: float, rate: int) -> Array:
    """Source-filter speech: phrases of 3-12 syllables at 3-6.5 Hz with pauses, one or two speakers."""
    n = seconds(duration_s, rate)
    speakers = [speaker(rng) for _ in range(1 + (rng.random() < 0.2))]
    speed = rng.uniform(3.0, 6.5)

    def phrase(_: int) -> Array:
        pitch, size = speakers[int(rng.integers(len(speakers)))]
        return utterance(
            rng,
            rate,
            pitch_hz=pitch * 2 ** (rng.normal(0, 1.5) / 12),
            size=size,
            syllables=int(rng.integers(3, 13)),
            speed_hz=speed,
        )

    return repeat(rng, n, rate, phrase, gap_s=(0.12, 0.8))


def hubbub(rng: Rng, duration_s: float, rate: int) -> Array:
    """Speech babble of a room: many far source-filter talkers at once, diffuse and without their high frequencies."""
    n = seconds(duration_s, rate)
    total = np.zeros(n)
    length = max(n, seconds(1.5, rate))
    for _ in range(2):
        pitch, size = speaker(rng)
        speed = rng.uniform(3.5, 6.0)
        talk = utterance(
            rng, rate, pitch_hz=pitch, size=size, syllables=max(3, int(length / rate * speed)), speed_hz=speed
        )
        for _ in range(int(rng.integers(4, 8))):  # at other speeds and times, one talker stands for several
            at = np.arange(len(talk)) * rng.uniform(0.8, 1.25) + rng.integers(len(talk))
            shifted = np.interp(at % (len(talk) - 1), np.arange(len(talk)), talk)
            if rng.random() < 0.4:
                shifted = shifted[::-1]
            total += rng.uniform(0.3, 1) * np.resize(shifted, n)
    total = unit_rms(band(total, rate, 120, uniform_log(rng, 1_500, 4_500), 1))
    return total + rng.uniform(0.02, 0.2) * shaped_noise(
        rng, n, rate, [(50, -10), (300, 0), (2_000, -14), (9_000, -40)]
    )


def laughter(rng: Rng, duration_s: float, rate: int) -> Array:
    """Laughter: bursts of breathy 'ha' syllables at 3.5-6.5 Hz whose pitch and loudness fall along the bout."""
    n = seconds(duration_s, rate)
    pitch, size = speaker(rng)
    pitch *= rng.uniform(1.2, 2.2)
    vowel = np.array(rng.choice([[730, 1090, 2440], [640, 1190, 2390], [530, 1840, 2480], [390, 1990, 2550]])) * size
    speed = rng.uniform(3.5, 6.5)
    voicing = rng.uniform(0.3, 1.0)

    def bout(_: int) -> Array:
        count = int(rng.integers(3, 11))
        pieces = []
        for k in range(count):
            length = seconds(rng.uniform(0.75, 0.95) / speed, rate)
            along = k / count
            f0 = (
                smooth_path(length, [(0, 1.05), (0.35, 1.12), (1, 0.85)])
                * pitch
                * (1.1 - 0.3 * along)
                * 2 ** (rng.normal(0, 1) / 12)
            )
            source = voicing * glottis(rng, f0, rate, tilt_db=-9, breath=0.3, jitter=0.02)
            loud = smooth_path(length, [(0, 0.0), (0.2, 0.25), (0.4, 1.0), (0.6, 0.7), (1, 0.0)])
            breath = rng.standard_normal(length) * smooth_path(
                length, [(0, 0.0), (0.15, 0.6), (0.45, 0.15), (0.8, 0.3), (1, 0.0)]
            )
            sound = tract(source * loud + 0.6 * breath, rate, [*vowel, 3_600 * size], widths=0.11)
            pieces.append((int(k / speed * rate), sound * (1 - 0.6 * along) * rng.uniform(0.7, 1.1)))
        return place(pieces[-1][0] + length, pieces)

    return repeat(rng, n, rate, bout, gap_s=(0.15, 0.9))


def whistling(rng: Rng, duration_s: float, rate: int) -> Array:
    """Whistling: an almost pure tone at the Helmholtz resonance of the mouth (0.6-2.8 kHz) in a gliding melody,
    breath noise.
    """
    n = seconds(duration_s, rate)
    key = uniform_log(rng, 700, 1_800)
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, -3, -5])
    tempo = uniform_log(rng, 0.12, 0.45)
    vibrato = rng.uniform(0, 0.02)
    note = [0.0]

    def tone(_: int) -> Array:
        count = int(rng.integers(2, 9))
        length_s = tempo * rng.choice([1, 1, 2, 3], count)
        edges = np.concatenate([[0], np.cumsum(length_s)])
        n_phrase = seconds(float(edges[-1]), rate)
        points = []
        for k in range(count):
            start = note[0]
            note[0] = float(scale[int(rng.integers(len(scale)))])
            glide = min(rng.uniform(0.03, 0.2), 0.6 * length_s[k])
            points += [((edges[k] + 0.0) / edges[-1], start), ((edges[k] + glide) / edges[-1], note[0])]
        f0 = key * 2 ** (smooth_path(n_phrase, [*points, (1.0, note[0] + 1e-6)]) / 12)
        f0 *= 1 + vibrato * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * np.arange(n_phrase) / rate)
        phase = phase_of(f0, rate)
        loud = smooth_path(n_phrase, [(0, 0), (min(0.3, 0.04 / edges[-1]), 1), (0.8, rng.uniform(0.6, 1)), (1, 0)])
        loud = loud * (1 + 0.25 * curve(rng, n_phrase, rate, 1 / tempo))
        air = 0.05 * band(rng.standard_normal(n_phrase), rate, key * 0.8, key * 3, 1)
        return (
            np.sin(2 * np.pi * phase) + float(amplitude(rng.uniform(-45, -22))) * np.sin(4 * np.pi * phase) + air
        ) * loud

    return repeat(rng, n, rate, tone, gap_s=(0.1, 0.7))


TALK = {
    "Speech": speech,
    "Hubbub, speech noise, speech babble": hubbub,
    "Laughter": laughter,
    "Whistling": whistling,
}
