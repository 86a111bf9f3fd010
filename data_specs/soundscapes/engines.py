"""Machines that turn: firing strokes and blades as pulse trains through exhaust and body resonances.

Example::

    ENGINES["Helicopter"](np.random.default_rng(0), 5.0, 32_000)     # float64 (160000,)
"""

import numpy as np

from data_specs.soundscapes.dsp import (
    Array,
    Rng,
    attack_decay,
    band,
    curve,
    filter_frames,
    harmonic_count,
    modes,
    phase_of,
    place,
    resonances,
    seconds,
    shaped_noise,
    smooth_path,
    swell,
    uniform_log,
    unit_peak,
    unit_rms,
    wavetable,
)


def pulses(rng: Rng, phase: Array, *, sharpness: float, irregularity: float, cylinders: int = 1) -> Array:
    """Pressure pulses, one per cycle of ``phase``: exponential decays of unequal strength, alike every
    ``cylinders``.
    """
    cycle = np.floor(phase).astype(int)
    cycle -= cycle[0]
    strengths = 1 + irregularity * rng.standard_normal(cycle[-1] + 1)
    strengths *= np.resize(1 + 0.5 * irregularity * rng.standard_normal(cylinders), len(strengths))
    return strengths[cycle] * np.exp(-sharpness * (phase % 1.0))


def helicopter(rng: Rng, duration_s: float, rate: int) -> Array:
    """Helicopter: blades pass at 9-28 Hz as thumps of low noise (blade slap), tail rotor tones, turbine whine; a
    fly-by drifts.
    """
    n = seconds(duration_s, rate)
    blade = uniform_log(rng, 9, 28) * (1 + 0.03 * curve(rng, n, rate, 0.4))
    phase = phase_of(blade, rate, rng.random())
    slap = pulses(rng, phase, sharpness=rng.uniform(1.5, 6), irregularity=0.08, cylinders=int(rng.integers(2, 5)))
    cut = uniform_log(rng, 80, 700)
    air = shaped_noise(
        rng,
        n,
        rate,
        [(20, -8), (cut, 0), (4 * cut, rng.uniform(-16, -6)), (16 * cut, rng.uniform(-36, -18)), (16_000, -55)],
    )
    chop = air * (rng.uniform(0.05, 0.4) + slap)
    thump = band(slap - slap.mean(), rate, 20, rng.uniform(90, 400), 2)
    ratio = rng.uniform(3.5, 6.5)
    tail_phase = phase * ratio
    count = harmonic_count(blade * ratio, rate, 24)
    tail = unit_rms(wavetable(tail_phase, np.arange(1, count + 1) ** rng.uniform(-1.4, -0.6), rng)) * swell(
        rng, n, rate, 6, 2
    )
    whine_hz = uniform_log(rng, 700, 3_000) * (1 + 0.01 * curve(rng, n, rate, 0.5))
    whine = np.sin(2 * np.pi * phase_of(np.minimum(whine_hz, 0.45 * rate), rate))
    wash_hz = uniform_log(rng, 250, 1_800)
    wash = shaped_noise(rng, n, rate, [(50, -16), (wash_hz, 0), (5 * wash_hz, -10), (15_000, rng.uniform(-45, -14))])
    total = (
        unit_rms(chop)
        + rng.uniform(0.05, 0.9) * unit_rms(thump)
        + rng.uniform(0.02, 0.5) * tail
        + uniform_log(rng, 0.005, 0.3) * whine
        + uniform_log(rng, 0.15, 2.0) * wash * (0.5 + 0.5 * slap)
    )
    shape = [(0, rng.uniform(0.3, 1)), (0.5, 1.0), (1, rng.uniform(0.3, 1))]
    return band(total, rate, None, uniform_log(rng, 1_500, 15_000), 1) * smooth_path(n, shape)


def chainsaw(rng: Rng, duration_s: float, rate: int) -> Array:
    """Chainsaw: a two-stroke firing at 40-70 Hz idle and 90-220 Hz under throttle, harsh exhaust resonances, chain
    noise.
    """
    n = seconds(duration_s, rate)
    idle, full = uniform_log(rng, 35, 70), uniform_log(rng, 90, 210)
    style = rng.random()
    knots = max(3, int(duration_s * uniform_log(rng, 0.5, 4.0)) + 2)
    throttle = (
        np.full(knots, 1.0) if style < 0.35 else (rng.random(knots) < (0.7 if style < 0.8 else 0.3)).astype(float)
    )
    throttle = np.clip(throttle * rng.uniform(0.75, 1.0, knots), 0, 1)
    throttle = smooth_path(n, [(k / (knots - 1), float(v)) for k, v in enumerate(throttle)])
    load = 1 - 0.12 * np.clip(curve(rng, n, rate, 1.5), 0, 1)
    f = (idle + (full - idle) * throttle) * load * (1 + 0.02 * curve(rng, n, rate, 8))
    phase = phase_of(f, rate, rng.random())
    fire = pulses(rng, phase, sharpness=rng.uniform(3, 9), irregularity=rng.uniform(0.08, 0.3))
    exhaust = [
        uniform_log(rng, 120, 420),
        uniform_log(rng, 450, 1_000),
        uniform_log(rng, 1_100, 2_300),
        uniform_log(rng, 2_600, 5_000),
    ]
    dull = uniform_log(rng, 1_000, 12_000)
    gains = [1.0, rng.uniform(0.4, 1.5), rng.uniform(0.2, 1.5), rng.uniform(0.1, 0.8)]
    noise = rng.standard_normal(n)

    def response(times: Array, freqs: Array) -> Array:
        return (resonances(freqs, exhaust, [180, 300, 600, 1_600], gains) + 0.02) / (1 + freqs / dull)

    edge = rng.uniform(0.6, 1.0)
    drive = (1 - edge) * unit_rms(fire - fire.mean()) + edge * unit_rms(np.diff(fire, prepend=fire[0]))
    exhaust_sound = unit_rms(filter_frames(drive + rng.uniform(0.1, 0.7) * fire * noise, response, rate))
    chain = shaped_noise(
        rng, n, rate, [(200, -30), (1_000, -8), (uniform_log(rng, 1_200, 4_000), 0), (12_000, rng.uniform(-30, -12))]
    )
    total = exhaust_sound + uniform_log(rng, 0.05, 0.6) * chain * (0.1 + throttle) * (0.6 + 0.4 * fire)
    quiet = uniform_log(rng, 0.08, 0.5)
    hum = shaped_noise(rng, n, rate, [(30, -10), (120, 0), (500, -20), (6_000, -60)])
    return (total + rng.uniform(0, 0.3) * hum) * (quiet + (1 - quiet) * throttle)


def idling(rng: Rng, duration_s: float, rate: int) -> Array:
    """Idling car or truck: four or more cylinders fire at 14-45 Hz, unequal strengths, muffled exhaust, valve
    clatter.
    """
    n = seconds(duration_s, rate)
    f = uniform_log(rng, 14, 45) * (1 + 0.02 * curve(rng, n, rate, 2))
    phase = phase_of(f, rate, rng.random())
    cylinders = int(rng.choice([3, 4, 4, 6]))
    fire = pulses(rng, phase, sharpness=rng.uniform(2, 6), irregularity=rng.uniform(0.05, 0.25), cylinders=cylinders)
    pipe = [uniform_log(rng, 45, 110), uniform_log(rng, 120, 260), uniform_log(rng, 300, 650)]
    gains = [1.0, rng.uniform(0.4, 1), rng.uniform(0.1, 0.4)]

    def response(times: Array, freqs: Array) -> Array:
        return (resonances(freqs, pipe, [50, 90, 200], gains) + 0.01) * freqs / (freqs + 40)

    muffled = unit_rms(filter_frames((fire - fire.mean()) * (1 + 0.3 * rng.standard_normal(n)), response, rate, 1024))
    tick = np.exp(-rng.uniform(15, 50) * ((phase * rng.choice([0.5, 1, 2])) % 1.0))
    diesel = rng.choice([0.03, 0.15, 0.5])
    clatter = (
        shaped_noise(rng, n, rate, [(300, -20), (uniform_log(rng, 1_200, 3_000), 0), (9_000, -18), (16_000, -35)])
        * tick
    )
    fan = shaped_noise(rng, n, rate, [(50, -12), (300, 0), (2_000, -16), (10_000, -40)])
    return muffled + diesel * unit_rms(clatter) + rng.uniform(0.02, 0.2) * fan


def railroad_car(rng: Rng, duration_s: float, rate: int) -> Array:
    """Train on jointed track: wheel sets hit the joints in pairs (da-dum da-dum), rolling rumble, now and then a
    flange squeal.
    """
    n = seconds(duration_s, rate)
    period = uniform_log(rng, 0.45, 1.4)
    axle = rng.uniform(0.12, 0.22) * period
    cut = uniform_log(rng, 80, 350)
    rumble = shaped_noise(rng, n, rate, [(20, -6), (cut, 0), (4 * cut, -12), (16 * cut, -30), (16_000, -55)]) * swell(
        rng, n, rate, 4, 1
    )
    rail = modes(
        rng,
        rate,
        freqs_hz=[rng.uniform(90, 180), rng.uniform(350, 700), uniform_log(rng, 900, 2_200)],
        decays_s=[0.05, 0.025, 0.01],
        gains=[1, 0.7, 0.5],
    )
    clicks = []
    at = -rng.random() * period
    bogies = 0.36 * period
    while at < duration_s:
        for offset in (0.0, axle, bogies, bogies + axle):
            k = seconds(0.03, rate)
            knock = np.concatenate([rail, np.zeros(max(0, k - len(rail)))])
            knock[:k] += 0.6 * rng.standard_normal(k) * attack_decay(k, rate, 0.001, 0.006)
            if at + offset >= 0:
                clicks.append((int((at + offset) * rate), knock * rng.uniform(0.6, 1)))
        at += period * rng.uniform(0.99, 1.01)
    total = rng.uniform(0.25, 0.9) * rumble + rng.uniform(4, 10) * unit_peak(place(n, clicks))
    if rng.random() < 0.3:
        squeal_hz = uniform_log(rng, 1_800, 5_000) * (1 + 0.02 * curve(rng, n, rate, 2))
        gate = np.clip(curve(rng, n, rate, 0.8) - 0.2, 0, 1)
        total += rng.uniform(0.1, 0.6) * gate * np.sin(2 * np.pi * phase_of(np.minimum(squeal_hz, 0.45 * rate), rate))
    return total


ENGINES = {
    "Helicopter": helicopter,
    "Chainsaw": chainsaw,
    "Idling": idling,
    "Railroad car, train wagon": railroad_car,
}
