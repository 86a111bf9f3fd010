"""Tones: strings, bells, horns and electronic signals, with their partials, attacks and patterns.

Example::

    TONAL["Siren"](np.random.default_rng(0), 5.0, 32_000)     # float64 (160000,)
"""

import numpy as np
import scipy

from data_specs.soundscapes.dsp import (
    Array,
    Rng,
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
    smooth_path,
    uniform_log,
    unit_peak,
    unit_rms,
    wavetable,
)

SCALES = np.array([[0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10], [0, 2, 4, 7, 9, 12, 14]])


def siren(rng: Rng, duration_s: float, rate: int) -> Array:
    """Siren: a horn loudspeaker that sweeps (wail 0.1-0.4 Hz, yelp 2-5 Hz) or alternates two tones (hi-lo), with
    Doppler drift.
    """
    n = seconds(duration_s, rate)
    kind = int(rng.integers(3))
    low = uniform_log(rng, 380, 750)
    high = low * rng.uniform(1.7, 2.6) if kind < 2 else low * rng.uniform(1.25, 1.5)
    speed = uniform_log(rng, *((0.12, 0.45), (2.0, 4.5), (0.6, 1.2))[kind])
    cycle = np.arange(n) / rate * speed + rng.random()
    if kind == 2:
        shape = (cycle % 1 < 0.5).astype(float)
    else:
        shape = 0.5 + 0.5 * scipy.signal.sawtooth(2 * np.pi * cycle, rng.uniform(0.3, 0.7))
        shape = shape * shape * (3 - 2 * shape) if rng.random() < 0.5 else shape
    doppler = smooth_path(n, [(0, rng.uniform(0.98, 1.05)), (1, rng.uniform(0.95, 1.02))])
    f0 = low * (high / low) ** shape * doppler
    count = harmonic_count(f0, rate, 14)
    harmonics = np.arange(1, count + 1) ** rng.uniform(-2.0, -0.5) * rng.uniform(0.3, 1.2, count)
    tone = wavetable(phase_of(f0, rate), harmonics, rng)
    loud = smooth_path(n, [(0, rng.uniform(0.3, 1)), (0.5, rng.uniform(0.7, 1)), (1, rng.uniform(0.3, 1))])
    return band(tone, rate, 300, uniform_log(rng, 1_800, 8_000), 1) * loud


def car_horn(rng: Rng, duration_s: float, rate: int) -> Array:
    """Car horn: two diaphragm horns a major or minor third apart at 300-560 Hz, rich harmonics, in hoots of 0.1-2 s."""
    n = seconds(duration_s, rate)
    base = uniform_log(rng, 290, 480)
    second = base * rng.choice([1.19, 1.25, 1.26, 1.33]) if rng.random() < 0.8 else 0.0
    slope = rng.uniform(-1.1, -0.3)
    centre = uniform_log(rng, 1_200, 3_200)
    short = rng.random() < 0.5

    def hoot(_: int) -> Array:
        length = seconds(rng.uniform(0.1, 0.4) if short else uniform_log(rng, 0.4, 2.2), rate)
        out = np.zeros(length)
        for f in (base, second):
            if f:
                f0 = f * smooth_path(length, [(0, 0.98), (min(0.5, 0.03 * rate / length), 1), (1, 1)])
                count = harmonic_count(f0, rate, 30)
                out += wavetable(phase_of(f0, rate, rng.random()), np.arange(1, count + 1) ** slope, rng)
        flare = filter_frames(
            out, lambda _, freqs: resonances(freqs, [centre, 0.5 * centre], [1_200, 700], [1, 0.5]), rate
        )
        return fade(unit_peak(flare), rate, 0.015)

    return repeat(rng, n, rate, hoot, gap_s=(0.06, 0.3) if short else (0.3, 1.6), start_s=0.5)


def church_bell(rng: Rng, duration_s: float, rate: int) -> Array:
    """Church bell: hum, prime, tierce, quint, nominal (0.5, 1, 1.2, 1.5, 2...) with beating pairs and decays of
    seconds.
    """
    n = seconds(duration_s, rate)
    ratios = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.3])
    bells = []
    for _ in range(int(rng.integers(1, 4))):
        prime = uniform_log(rng, 170, 700)
        own = ratios * (1 + 0.006 * rng.standard_normal(len(ratios)))
        gains = np.array([0.6, 0.7, 0.9, 0.35, 1.0, 0.3, 0.5, 0.35, 0.2]) * rng.uniform(0.4, 1.3, len(ratios))
        decay = uniform_log(rng, 1.2, 5.0)
        decays = decay * np.array([1.6, 1.0, 0.8, 0.5, 0.45, 0.3, 0.25, 0.18, 0.12])
        length = min(n, seconds(2.5 * decay, rate))
        t = np.arange(length) / rate
        sound = np.zeros(length)
        for ratio, gain, tau in zip(own, gains, decays, strict=True):
            f = prime * ratio
            if f < 0.45 * rate:
                k = min(length, seconds(6 * tau, rate))
                beat = 1 + 0.3 * np.sin(2 * np.pi * rng.uniform(0.3, 2.5) * t[:k] + 6 * rng.random())
                sound[:k] += gain * np.exp(-t[:k] / tau) * np.sin(2 * np.pi * f * t[:k] + 6 * rng.random()) * beat
        k = min(length, seconds(0.03, rate))
        sound[:k] += rng.uniform(0.1, 0.8) * rng.standard_normal(k) * attack_decay(k, rate, 0.0005, 0.004)
        bells.append(unit_peak(sound))
    interval = rng.uniform(0.45, 2.5)

    def toll(k: int) -> Array:
        return bells[k % len(bells)] * rng.uniform(0.6, 1)

    return fade(repeat(rng, n, rate, toll, gap_s=(interval * 0.93, interval * 1.07), overlap=True), rate, 0.002)


def alarm_clock(rng: Rng, duration_s: float, rate: int) -> Array:
    """Alarm clock: a piezo buzzer's square tone at 1-4.2 kHz in groups of 2-4 short beeps, or a continuous fast
    pattern.
    """
    n = seconds(duration_s, rate)
    tone_hz = uniform_log(rng, 900, min(4_200, 0.4 * rate))
    on, off = rng.uniform(0.04, 0.2), rng.uniform(0.03, 0.2)
    group = int(rng.choice([1, 2, 3, 4, 4]))
    pause = rng.uniform(0.2, 0.9)
    alternate = rng.choice([1.0, 1.0, 1.25])
    harmonics = np.zeros(9)
    harmonics[::2] = 1 / np.arange(1, 10, 2) ** rng.uniform(1.0, 2.5)
    harmonics[1::2] = rng.uniform(0, 0.2)

    def beeps(_: int) -> Array:
        parts = []
        for k in range(group):
            length = seconds(on, rate)
            f0 = np.full(length, tone_hz * (alternate if k % 2 else 1.0))
            count = harmonic_count(f0, rate, 9)
            parts += [fade(wavetable(phase_of(f0, rate), harmonics[:count]), rate, 0.003), np.zeros(seconds(off, rate))]
        return np.concatenate(parts)

    return repeat(rng, n, rate, beeps, gap_s=(pause * 0.999, pause), start_s=pause)


def pluck(rng: Rng, rate: int, frequency_hz: float, length: int, *, brightness: float, decay_s: float) -> Array:
    """Karplus-Strong string: a noise burst in a delay line of one period with a two-point average and loss,
    (length,).
    """
    exact = rate / frequency_hz - 0.5
    period = max(3, int(exact))
    loss = 10 ** (-3 * period / (rate * decay_s))
    burst = band(rng.standard_normal(period), rate, None, brightness * frequency_hz, 1)
    rows = np.zeros((length // period + 3, period + 1))  # one period each, after the last sample of the one before
    rows[0, 1:] = burst
    for k in range(1, len(rows)):
        rows[k, 1:] = 0.5 * loss * (rows[k - 1, 1:] + rows[k - 1, :-1])
        rows[k, 0] = rows[k - 1, -1]
    string = rows[:, 1:].ravel()
    return unit_peak(np.interp(np.arange(length) * (period / exact), np.arange(len(string)), string))


def _melody(rng: Rng, low: int, high: int) -> Array:
    """MIDI-like note numbers of a random walk on a scale, (64,)."""
    scale = SCALES[int(rng.integers(len(SCALES)))]
    notes = np.array([octave * 12 + step for octave in range(0, 10) for step in scale])
    notes = np.unique(notes[(notes >= low) & (notes <= high)]) + int(rng.integers(3))
    walk = np.cumsum(rng.integers(-3, 4, 64)) + rng.integers(len(notes))
    return notes[np.abs((walk + len(notes)) % (2 * len(notes)) - len(notes)) % len(notes)]


def _hertz(note: float) -> float:
    return 440.0 * 2 ** ((note - 69) / 12)


def guitar(rng: Rng, duration_s: float, rate: int) -> Array:
    """Guitar: plucked strings (Karplus-Strong), picked one by one or strummed as chords, through the body's air
    resonance.
    """
    n = seconds(duration_s, rate)
    notes = _melody(rng, 42, 76)
    brightness, decay = uniform_log(rng, 4, 30), uniform_log(rng, 0.8, 4)
    step = uniform_log(rng, 0.12, 0.6)
    chords = rng.random() < 0.45
    ring = seconds(min(1.6, decay), rate)
    pieces, at, k = [], rng.uniform(0, 0.1 * duration_s), 0
    while at < duration_s:
        if chords:
            shape = rng.choice([[0, 7, 12, 16, 19], [0, 7, 12, 15, 19]])
            delay = rng.uniform(0.006, 0.03)
            strings = [(delay * j, float(notes[(k // 4) % 64] % 12 + 40 + s)) for j, s in enumerate(shape)]
        else:
            strings = [(0.0, float(notes[k % 64]))]
        for delay, note in strings:
            tone = pluck(rng, rate, _hertz(note), ring, brightness=brightness, decay_s=decay)
            pieces.append((int((at + delay) * rate), fade(tone, rate, 0.001) * rng.uniform(0.5, 1)))
        at += step * rng.choice([1, 1, 2] if not chords else [1, 2, 2])
        k += 1
    strings_sum = place(n, pieces)
    body = band(strings_sum, rate, 85, 130, 1) + 0.7 * band(strings_sum, rate, 170, 260, 1)
    return strings_sum + 1.2 * body


def piano(rng: Rng, duration_s: float, rate: int) -> Array:
    """Piano: hammered stiff strings (inharmonic partials f_k = k f √(1 + B k²)), two-stage decay, hammer thump;
    notes and chords.
    """
    n = seconds(duration_s, rate)
    notes = _melody(rng, 38, 86)
    step = uniform_log(rng, 0.11, 0.6)
    soft, sustain = rng.uniform(0.5, 1.5), uniform_log(rng, 0.25, 1.6)

    def tone(note: float) -> Array:
        f = _hertz(note)
        decay = 2.2 * 2 ** (-(note - 60) / 18)
        length = seconds(min(sustain, 2 * decay, duration_s), rate)
        t = np.arange(length, dtype=np.float32) / rate
        count = min(14, max(1, int(0.42 * rate / f)))
        k = np.arange(1, count + 1)
        freqs = f * k * np.sqrt(1 + 4e-4 * 2 ** ((note - 60) / 12) * k**2)
        freqs, k = freqs[freqs < 0.46 * rate], k[freqs < 0.46 * rate]
        gains = k**-soft * np.abs(np.sin(np.pi * k / 7.3))
        sound = np.zeros(length)
        for frequency, gain, number in zip(freqs, gains, k, strict=True):
            own = decay / (1 + 0.25 * number)
            m = min(length, seconds(5 * own, rate))
            sound[:m] += gain * np.sin(np.float32(2 * np.pi * frequency) * t[:m]) * np.exp(-t[:m] / np.float32(own))
        m = min(length, seconds(0.02, rate))
        sound[:m] += 0.08 * rng.standard_normal(m) * attack_decay(m, rate, 0.001, 0.004)
        sound *= smooth_path(length, [(0, 1), (0.8, 1), (1, 0)])
        return fade(unit_peak(sound), rate, 0.002)

    pieces, at, k = [], rng.uniform(0, 0.1 * duration_s), 0
    cache: dict[float, Array] = {}
    while at < duration_s:
        chord = (
            [0] if rng.random() < 0.65 else [0, *rng.choice([3, 4, 5, 7, -12], int(rng.integers(1, 3)), replace=False)]
        )
        for interval in chord:
            note = float(notes[k % 64] + interval)
            if note not in cache:
                cache[note] = tone(note)
            pieces.append((int(at * rate), cache[note] * rng.uniform(0.4, 1)))
        at += step * rng.choice([1, 1, 2])
        k += 1
    return place(n, pieces)


def violin(rng: Rng, duration_s: float, rate: int) -> Array:
    """Violin: a bowed string's sawtooth (Helmholtz motion) with vibrato and bow noise through the body's resonances,
    legato.
    """
    n = seconds(duration_s, rate)
    notes = _melody(rng, 55, 90)
    step = uniform_log(rng, 0.15, 1.2)
    edges: list[float] = [0.0]
    pitches: list[float] = []
    while edges[-1] < duration_s:
        edges.append(edges[-1] + step * rng.choice([1, 1, 2]))
        pitches.append(float(notes[len(pitches) % 64]))
    at = np.arange(n) / rate
    k = np.clip(np.searchsorted(edges, at, "right") - 1, 0, len(pitches) - 1)
    glide = (
        scipy.signal.lfilter(
            [1 - 0.5 ** (1 / (0.012 * rate))], [1, -(0.5 ** (1 / (0.012 * rate)))], np.array(pitches)[k] - pitches[0]
        )
        + pitches[0]
    )
    since = at - np.array(edges)[k]
    vibrato = rng.uniform(0.1, 0.35) * np.minimum(1, since / 0.25) * np.sin(2 * np.pi * rng.uniform(4.8, 6.8) * at)
    f0 = 440.0 * 2 ** ((glide + vibrato - 69) / 12)
    count = harmonic_count(f0, rate, 40)
    saw = wavetable(phase_of(f0, rate), 1 / np.arange(1, count + 1), None)
    bow = 0.06 * rng.standard_normal(n)
    loud = np.minimum(1, 0.35 + since / rng.uniform(0.04, 0.2)) * (0.8 + 0.2 * curve(rng, n, rate, 2))
    centres = [
        280 * rng.uniform(0.9, 1.1),
        460 * rng.uniform(0.9, 1.1),
        1_000 * rng.uniform(0.85, 1.2),
        2_600 * rng.uniform(0.85, 1.2),
    ]

    def response(_: Array, freqs: Array) -> Array:
        return (resonances(freqs, centres, [90, 110, 500, 1_400], [1, 1, 0.7, 0.7]) + 0.12) * (freqs > 150)

    return fade(unit_rms(filter_frames((saw + bow) * loud, response, rate)), rate, 0.02)


TONAL = {
    "Siren": siren,
    "Vehicle horn, car horn, honking": car_horn,
    "Church bell": church_bell,
    "Alarm clock": alarm_clock,
    "Guitar": guitar,
    "Piano": piano,
    "Violin, fiddle": violin,
}
