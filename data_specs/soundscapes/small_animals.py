"""Small animals: whistling syrinxes, stridulating and beating wings, croaking vocal sacs.

Example::

    SMALL_ANIMALS["Cricket"](np.random.default_rng(0), 5.0, 32_000)     # float64 (160000,)
"""

import numpy as np
import scipy

from data_specs.soundscapes.dsp import (
    Array,
    Rng,
    amplitude,
    band,
    curve,
    harmonic_count,
    modes,
    phase_of,
    repeat,
    seconds,
    shaped_noise,
    smooth_path,
    swell,
    uniform_log,
    unit_rms,
    wavetable,
)


def bird(rng: Rng, duration_s: float, rate: int) -> Array:
    """Songbird: syrinx whistles at 2-8 kHz, swept within 20-250 ms, repeated as motifs and trills."""
    n = seconds(duration_s, rate)
    centre = uniform_log(rng, 2_200, 6_000)

    def note(kind: int, length_s: float, f: float) -> Array:
        length = seconds(length_s, rate)
        t = np.linspace(0, 1, length)
        shape = [
            1 + 0.5 * t,
            1.4 - 0.6 * t,
            1 + 0.3 * np.sin(np.pi * t),
            1.2 - 0.35 * np.sin(np.pi * t),
            1 + 0.08 * np.sin(2 * np.pi * 6 * t),
            1 + 0.0 * t,
        ][kind]
        phase = phase_of(np.minimum(f * shape, 0.45 * rate), rate)
        harmonic = float(amplitude(rng.uniform(-40, -14)))
        second = harmonic * np.sin(4 * np.pi * phase) * (2 * f * 1.5 < 0.45 * rate)
        return (np.sin(2 * np.pi * phase) + second) * np.sin(np.pi * t) ** rng.uniform(0.5, 1.5)

    def phrase(_: int) -> Array:
        motif = [
            (
                int(rng.integers(6)),
                uniform_log(rng, 0.03, 0.22),
                centre * 2 ** rng.normal(0, 0.25),
                rng.uniform(0.02, 0.1),
            )
            for _ in range(int(rng.integers(1, 4)))
        ]
        parts = []
        for _ in range(int(rng.integers(1, 8))):
            for kind, length_s, f, gap in motif:
                parts += [note(kind, length_s, f) * rng.uniform(0.6, 1), np.zeros(seconds(gap, rate))]
        return np.concatenate(parts)

    return repeat(rng, n, rate, phrase, gap_s=(0.15, 1.5))


def cricket(rng: Rng, duration_s: float, rate: int) -> Array:
    """Cricket: wing stridulation, a 2.5-6 kHz tone in pulses at 20-60 Hz, grouped in chirps or an endless trill; a
    few animals.
    """
    n = seconds(duration_s, rate)
    t = np.arange(n) / rate
    total = np.zeros(n)
    for _ in range(int(rng.integers(1, 4))):
        tone = uniform_log(rng, 2_600, min(6_000, 0.4 * rate))
        pulse_hz = rng.uniform(18, 60)
        phase = t * pulse_hz + rng.random()
        pulses = np.maximum(0, np.sin(2 * np.pi * phase)) ** rng.uniform(0.7, 2)
        if rng.random() < 0.65:
            chirp_hz = rng.uniform(0.8, 4.5)
            gate = ((t * chirp_hz + 0.3 * curve(rng, n, rate, 1) + rng.random()) % 1) < rng.uniform(0.25, 0.6)
            pulses = pulses * band(gate.astype(float), rate, None, 60, 1)
        carrier = np.sin(2 * np.pi * phase_of(tone * (1 + 0.01 * curve(rng, n, rate, 3)), rate))
        total += uniform_log(rng, 0.15, 1) * pulses * carrier
    return total + 0.01 * rng.uniform(0, 2) * shaped_noise(rng, n, rate, [(100, -10), (3_000, 0), (9_000, -10)])


def frog(rng: Rng, duration_s: float, rate: int) -> Array:
    """Frog: croaks as trains of vocal-sac pulses at 25-110 Hz, each exciting a resonance at 0.4-2.4 kHz, in calls of
    0.1-0.9 s.
    """
    n = seconds(duration_s, rate)
    total = np.zeros(n)
    for _ in range(int(rng.integers(1, 4))):
        sac = uniform_log(rng, 380, 2_200)
        pulse_hz = uniform_log(rng, 25, 110)
        call_s = uniform_log(rng, 0.1, 0.8)

        def call(_: int, sac: float = sac, pulse_hz: float = pulse_hz, call_s: float = call_s) -> Array:
            length = seconds(call_s * rng.uniform(0.85, 1.15), rate)
            rates = pulse_hz * smooth_path(length, [(0, 0.85), (0.5, 1.1), (1, 1.0)])
            train = np.diff(np.floor(phase_of(rates, rate)), prepend=0.0) * rng.uniform(0.7, 1.0, length)
            kernel = modes(
                rng, rate, freqs_hz=[sac, 1.9 * sac, 3.1 * sac], decays_s=[0.01, 0.006, 0.004], gains=[1, 0.45, 0.2]
            )
            croak = scipy.signal.oaconvolve(train, kernel)[:length]
            return croak * smooth_path(length, [(0, 0), (0.2, 0.7), (0.75, 1), (1, 0)])

        total += uniform_log(rng, 0.25, 1) * repeat(rng, n, rate, call, gap_s=(0.15, 1.2), start_s=0.4)
    return total


def bee(rng: Rng, duration_s: float, rate: int) -> Array:
    """Bee: wing beats at 110-280 Hz as a bright harmonic buzz whose pitch and distance wander as it flies about."""
    n = seconds(duration_s, rate)
    total = np.zeros(n)
    swarm = 1 if rng.random() < 0.6 else int(rng.integers(3, 6))
    base = uniform_log(rng, 110, 280)
    for _ in range(swarm):
        f0 = base * rng.uniform(0.92, 1.08) * (1 + 0.06 * curve(rng, n, rate, 1.2) + 0.012 * curve(rng, n, rate, 15))
        slope = rng.uniform(-1.3, -0.5)
        harmonics = np.arange(1, harmonic_count(f0, rate, 40) + 1) ** slope * rng.uniform(
            0.5, 1.3, harmonic_count(f0, rate, 40)
        )
        buzz = wavetable(phase_of(f0, rate, rng.random()), harmonics, rng)
        near = swell(rng, n, rate, rng.uniform(4, 26), rng.uniform(0.4, 1.5))
        total += unit_rms(buzz) * near * (1 + 0.3 * curve(rng, n, rate, 30))
    return band(total, rate, 100, uniform_log(rng, 3_000, 9_000), 1)


SMALL_ANIMALS = {
    "Bird vocalization, bird call, bird song": bird,
    "Cricket": cricket,
    "Frog": frog,
    "Bee, wasp, etc.": bee,
}
