"""Voices of people: a glottal source (pulses and breath noise) through the moving resonances of a vocal tract.

Example::

    VOICES["Cough"](np.random.default_rng(0), 5.0, 32_000)     # float64 (160000,)
"""

import numpy as np

from data_specs.soundscapes.dsp import (
    Array,
    Rng,
    amplitude,
    attack_decay,
    band,
    curve,
    fade,
    filter_frames,
    harmonic_count,
    phase_of,
    place,
    repeat,
    resonances,
    seconds,
    shaped_noise,
    smooth_path,
    uniform_log,
    unit_peak,
    unit_rms,
    wavetable,
)

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


def glottis(
    rng: Rng,
    f0_hz: Array,
    rate: int,
    *,
    tilt_db: float = -12.0,
    breath: float = 0.1,
    jitter: float = 0.01,
    roughness: float = 0.0,
) -> Array:
    """Glottal source: harmonics that fall by ``tilt_db`` per octave, jitter, subharmonic roughness, pulsed breath noise."""
    n = len(f0_hz)
    f0 = f0_hz * (1 + jitter * curve(rng, n, rate, 60.0))
    phase = phase_of(f0, rate, rng.random())
    count = harmonic_count(f0, rate, 120)
    voiced = unit_rms(wavetable(phase, np.arange(1, count + 1) ** (tilt_db / 6.02), rng))
    if roughness:
        voiced = voiced * (1 + roughness * np.sin(np.pi * phase) + 0.7 * roughness * curve(rng, n, rate, 90.0))
    noise = rng.standard_normal(n) * (0.5 + 0.5 * np.cos(2 * np.pi * phase))
    return voiced + breath * noise


def tract(
    x: Array,
    rate: int,
    formants_hz: list[float | Array],
    *,
    widths: float = 0.1,
    floor: float = 0.02,
    tilt: float = 0.75,
) -> Array:
    """Vocal tract: parallel resonances (Hz, constant or (T,) like ``x``) with radiation at the lips."""
    n = len(x)

    def response(times: Array, freqs: Array) -> Array:
        at = np.minimum((times * n).astype(int), n - 1)
        centres = [f if np.isscalar(f) else np.asarray(f)[at] for f in formants_hz]
        bandwidths = [max(50.0, widths * float(np.mean(c))) for c in centres]
        gains = [tilt**i for i in range(len(centres))]
        lips = freqs / (freqs + 150.0)
        return (resonances(freqs, centres, bandwidths, gains) + floor) * lips

    return filter_frames(x, response, rate)


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
        loud_points += [(edges[k] + 0.08 * width, closed), (edges[k] + 0.3 * width, rng.uniform(0.5, 1)), (edges[k + 1] - 0.15 * width, rng.uniform(0.3, 0.8))]
        for j in range(3):
            formant_points[j] += [(middle - 0.15 * width, targets[k][j]), (middle + 0.2 * width, targets[k][j])]
        if rng.random() < 0.45:
            length = seconds(rng.uniform(0.03, 0.13), rate)
            centre = uniform_log(rng, 2_500, 8_000)
            hiss = shaped_noise(rng, length, rate, [(500, -50), (0.6 * centre, -14), (centre, 0), (1.6 * centre, -8), (16_000, -25)])
            fricatives.append((int(edges[k] * n), 0.35 * rng.uniform(0.2, 1) * hiss * np.hanning(length)))
    loud_points = [(-0.01, 0.0), *loud_points, (1.0, 0.0)]
    loud_points[0] = (0.0, 0.0)
    f0 = smooth_path(n, [(0.0, f0_points[0][1] * 1.03), *f0_points, (1.0, f0_points[-1][1] * 0.9)])
    loud = smooth_path(n, loud_points)
    formants: list[float | Array] = [smooth_path(n, [(0.0, p[0][1]), *p, (1.0, p[-1][1])]) for p in formant_points]
    source = glottis(rng, f0, rate, tilt_db=rng.uniform(-13, -8), breath=rng.uniform(0.02, 0.15), jitter=0.015)
    voiced = tract(source * loud, rate, [*formants, 3_500 * size, 4_600 * size], widths=0.09, floor=0.01)
    return fade(unit_rms(voiced) + place(n, fricatives), rate, 0.01)


def _speaker(rng: Rng) -> tuple[float, float]:
    """Pitch in Hz and size factor of the formants of a man, a woman or a child."""
    kind = rng.integers(5)
    if kind < 2:
        return uniform_log(rng, 85, 150), rng.uniform(0.93, 1.05)
    if kind < 4:
        return uniform_log(rng, 165, 250), rng.uniform(1.08, 1.22)
    return uniform_log(rng, 250, 340), rng.uniform(1.25, 1.4)


def speech(rng: Rng, duration_s: float, rate: int) -> Array:
    """Source-filter speech: phrases of 3-12 syllables at 3-6.5 Hz with pauses, one or two speakers."""
    n = seconds(duration_s, rate)
    speakers = [_speaker(rng) for _ in range(1 + (rng.random() < 0.2))]
    speed = rng.uniform(3.0, 6.5)

    def phrase(_: int) -> Array:
        pitch, size = speakers[int(rng.integers(len(speakers)))]
        return utterance(rng, rate, pitch_hz=pitch * 2 ** (rng.normal(0, 1.5) / 12), size=size, syllables=int(rng.integers(3, 13)), speed_hz=speed)

    return repeat(rng, n, rate, phrase, gap_s=(0.12, 0.8))


def hubbub(rng: Rng, duration_s: float, rate: int) -> Array:
    """Speech babble of a room: many far source-filter talkers at once, diffuse and without their high frequencies."""
    n = seconds(duration_s, rate)
    total = np.zeros(n)
    length = max(n, seconds(1.5, rate))
    for _ in range(2):
        pitch, size = _speaker(rng)
        speed = rng.uniform(3.5, 6.0)
        talk = utterance(rng, rate, pitch_hz=pitch, size=size, syllables=max(3, int(length / rate * speed)), speed_hz=speed)
        for _ in range(int(rng.integers(4, 8))):  # at other speeds and times, one talker stands for several
            at = np.arange(len(talk)) * rng.uniform(0.8, 1.25) + rng.integers(len(talk))
            shifted = np.interp(at % (len(talk) - 1), np.arange(len(talk)), talk)
            if rng.random() < 0.4:
                shifted = shifted[::-1]
            total += rng.uniform(0.3, 1) * np.resize(shifted, n)
    total = unit_rms(band(total, rate, 120, uniform_log(rng, 1_500, 4_500), 1))
    return total + rng.uniform(0.02, 0.2) * shaped_noise(rng, n, rate, [(50, -10), (300, 0), (2_000, -14), (9_000, -40)])


def laughter(rng: Rng, duration_s: float, rate: int) -> Array:
    """Laughter: bursts of breathy 'ha' syllables at 3.5-6.5 Hz whose pitch and loudness fall along the bout."""
    n = seconds(duration_s, rate)
    pitch, size = _speaker(rng)
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
            f0 = smooth_path(length, [(0, 1.05), (0.35, 1.12), (1, 0.85)]) * pitch * (1.1 - 0.3 * along) * 2 ** (rng.normal(0, 1) / 12)
            source = voicing * glottis(rng, f0, rate, tilt_db=-9, breath=0.3, jitter=0.02)
            loud = smooth_path(length, [(0, 0.0), (0.2, 0.25), (0.4, 1.0), (0.6, 0.7), (1, 0.0)])
            breath = rng.standard_normal(length) * smooth_path(length, [(0, 0.0), (0.15, 0.6), (0.45, 0.15), (0.8, 0.3), (1, 0.0)])
            sound = tract(source * loud + 0.6 * breath, rate, [*vowel, 3_600 * size], widths=0.11)
            pieces.append((int(k / speed * rate), sound * (1 - 0.6 * along) * rng.uniform(0.7, 1.1)))
        return place(pieces[-1][0] + length, pieces)

    return repeat(rng, n, rate, bout, gap_s=(0.15, 0.9))


def baby_cry(rng: Rng, duration_s: float, rate: int) -> Array:
    """Infant cry: 0.5-2 s expirations at f0 300-650 Hz with rise-fall melody through a short tract, inhalations between."""
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
        f0 = smooth_path(length, [(0, 0.75 * top), (rng.uniform(0.08, 0.25), top), (rng.uniform(0.4, 0.8), top * rng.uniform(0.88, 1.02)), (1, 0.65 * top)])
        f0 *= 1 + rng.uniform(0, 0.03) * np.sin(2 * np.pi * rng.uniform(5, 9) * np.arange(length) / rate)
        source = glottis(rng, f0, rate, tilt_db=tilt, breath=rng.uniform(0.02, 0.3), jitter=0.02, roughness=harshness * rng.random())
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
    """Cough: explosive noise burst through the open tract, a noisy middle part and an optional voiced end, in fits of 1-4."""
    n = seconds(duration_s, rate)
    pitch, size = _speaker(rng)
    voiced = rng.choice([0.0, 0.4, 1.0])
    wet = rng.random() < 0.3

    def single(last: bool) -> Array:
        length = seconds(rng.uniform(0.22, 0.45), rate)
        burst = rng.standard_normal(length) * (attack_decay(length, rate, 0.004, rng.uniform(0.02, 0.05)) + 0.3 * attack_decay(length, rate, 0.03, 0.09))
        f0 = smooth_path(length, [(0, 1.3), (0.4, 1.1), (1, 0.7)]) * pitch * 1.3
        tone = glottis(rng, f0, rate, tilt_db=-9, breath=0.6, roughness=0.6) * smooth_path(length, [(0, 0), (0.25, 0.15), (0.55, 0.5 if last else 0.2), (1, 0)])
        if wet:
            burst *= 1 + 0.8 * curve(rng, length, rate, 120)
        sound = tract(burst + 0.35 * voiced * tone, rate, [650 * size, 1_350 * size, 2_600 * size, 3_900 * size], widths=0.3, floor=0.06, tilt=0.85)
        return fade(unit_peak(sound), rate, 0.004)

    def fit(_: int) -> Array:
        count = int(rng.integers(1, 5))
        step = rng.uniform(0.28, 0.5)
        pieces = [(int(k * step * rng.uniform(0.95, 1.05) * rate), single(k == count - 1) * rng.uniform(0.6, 1)) for k in range(count)]
        return place(pieces[-1][0] + seconds(0.45, rate), pieces)

    return repeat(rng, n, rate, fit, gap_s=(0.3, 2.0))


def sneeze(rng: Rng, duration_s: float, rate: int) -> Array:
    """Sneeze: sharp inhalation ('ah'), then one explosive jet of noise that ends in a voiced 'oo'; once or twice."""
    n = seconds(duration_s, rate)
    pitch, size = _speaker(rng)
    voice = rng.choice([0.1, 0.5, 1.3])
    centre = uniform_log(rng, 1_000, 6_000)

    def one(_: int) -> Array:
        parts = []
        if rng.random() < 0.45 and duration_s > 0.8:
            length = seconds(rng.uniform(0.2, 0.5), rate)
            f0 = pitch * rng.uniform(1.2, 2.0) * smooth_path(length, [(0, 1), (1, 1.25)])
            source = rng.choice([0.0, 0.5, 1.0]) * glottis(rng, f0, rate, breath=0.4) + 0.3 * rng.standard_normal(length)
            inhale = tract(source * smooth_path(length, [(0, 0), (0.7, 1), (1, 0)]), rate, [700 * size, 1_250 * size, 2_600 * size], widths=0.2)
            parts += [rng.uniform(0.05, 0.3) * unit_peak(inhale), np.zeros(seconds(rng.uniform(0.02, 0.2), rate))]
        length = seconds(rng.uniform(0.35, 0.9), rate)
        jet_s = uniform_log(rng, 0.04, 0.2)
        jet = shaped_noise(rng, length, rate, [(150, -18), (0.5 * centre, -5), (centre, 0), (2.2 * centre, -6), (15_500, -20)])
        jet = 0.8 * jet * attack_decay(length, rate, rng.uniform(0.004, 0.03), jet_s)
        f0 = pitch * rng.uniform(1.3, 2.4) * smooth_path(length, [(0, 1.15), (0.3, 1.0), (1, 0.55)])
        tone = glottis(rng, f0, rate, tilt_db=-9, breath=0.35, jitter=0.03, roughness=rng.choice([0, 0.5]))
        tone = tone * smooth_path(length, [(0, 0.1), (0.12, 1), (0.35, 0.6), (1, 0)])
        opening = smooth_path(length, [(0, 0.75), (0.2, 1), (1, 0.7)])
        tone = unit_rms(tract(tone, rate, [620 * size * opening, 1_150 * size * opening, 2_500 * size], widths=0.2, floor=0.03))
        parts.append(jet + voice * tone)
        return fade(unit_peak(np.concatenate(parts)), rate, 0.004)

    count = 1 if rng.random() < 0.65 else int(rng.integers(2, 4))
    return repeat(rng, n, rate, one, gap_s=(0.25, 1.5), count=count, start_s=1.0)


def snoring(rng: Rng, duration_s: float, rate: int) -> Array:
    """Snoring: a flapping soft palate (rough pulses at 25-90 Hz) through the tract on every inhalation, breath between."""
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
        snore = unit_rms(tract(source * loud, rate, [350 * size, 900 * size, 1_900 * size], widths=0.3, floor=0.03, tilt=0.6))
        exhale = seconds(rng.uniform(0.6, 1.2), rate)
        puff = shaped_noise(rng, exhale, rate, [(100, -20), (500, 0), (1_500, -4), (8_000, -30)]) * smooth_path(exhale, [(0, 0), (0.2, 1), (1, 0)])
        return np.concatenate([snore, np.zeros(seconds(0.1, rate)), rng.uniform(0.02, 0.3) * puff])

    return repeat(rng, n, rate, breath, gap_s=(0.2, 1.0))


def whistling(rng: Rng, duration_s: float, rate: int) -> Array:
    """Whistling: an almost pure tone at the Helmholtz resonance of the mouth (0.6-2.8 kHz) in a gliding melody, breath noise."""
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
        return (np.sin(2 * np.pi * phase) + float(amplitude(rng.uniform(-45, -22))) * np.sin(4 * np.pi * phase) + air) * loud

    return repeat(rng, n, rate, tone, gap_s=(0.1, 0.7))


VOICES = {
    "Speech": speech,
    "Hubbub, speech noise, speech babble": hubbub,
    "Laughter": laughter,
    "Baby cry, infant cry": baby_cry,
    "Cough": cough,
    "Sneeze": sneeze,
    "Snoring": snoring,
    "Whistling": whistling,
}
