"""Impacts: short contact forces that excite the modes of wood, metal, glass, skin and floors.

Example::

    IMPACTS["Knock"](np.random.default_rng(0), 5.0, 32_000)     # float64 (160000,)
"""

import numpy as np

from data_specs.soundscapes.dsp import (
    Array,
    Rng,
    attack_decay,
    modes,
    place,
    repeat,
    seconds,
    shaped_noise,
    smooth_path,
    uniform_log,
    unit_peak,
)


def body(rng: Rng, low_hz: float, high_hz: float, count: int, decay_s: float, damping: float = 0.7) -> dict[str, Array]:
    """Random modes of one object, for ``modes``: higher ones decay faster by ``damping`` (exponent) and are weaker."""
    freqs = np.sort(np.exp(rng.uniform(np.log(low_hz), np.log(high_hz), count)))
    decays = decay_s * (freqs / freqs[0]) ** -damping * rng.uniform(0.6, 1.4, count)
    gains = rng.uniform(0.3, 1, count) * (freqs / freqs[0]) ** -rng.uniform(0.0, 0.5)
    return {"freqs_hz": freqs, "decays_s": np.maximum(decays, 3e-4), "gains": gains}


def strike(
    rng: Rng, rate: int, parts: dict[str, Array], *, noise: float, contact_s: float, spread: float = 0.15
) -> Array:
    """One hit: the modes with slightly varied gains, and ``noise`` of the contact lasting ``contact_s``; peak 1."""
    varied = parts | {"gains": parts["gains"] * np.exp(spread * rng.standard_normal(len(parts["gains"])))}
    sound = modes(rng, rate, **varied)
    k = seconds(8 * contact_s, rate)
    out = np.zeros(max(len(sound), k))
    out[: len(sound)] = unit_peak(sound)
    out[:k] += noise * rng.standard_normal(k) * attack_decay(k, rate, 0.0004, contact_s) * 0.6
    return unit_peak(out)


def tick_tock(rng: Rng, duration_s: float, rate: int) -> Array:
    """Clock: the escapement's impulses at 1-5 Hz, alternately on two pallets, each a few clicks that ring gears and
    case.
    """
    n = seconds(duration_s, rate)
    interval = float(rng.choice([1.0, 0.5, 0.5, 0.4, 0.333, 0.25, 0.2])) * rng.uniform(0.95, 1.05)
    low = uniform_log(rng, 700, 3_000)
    gear = body(rng, low, 3.5 * low, int(rng.integers(3, 7)), uniform_log(rng, 0.002, 0.02))
    case = body(rng, uniform_log(rng, 180, 500), 1_500, 3, uniform_log(rng, 0.006, 0.035))
    case_gain = rng.uniform(0.05, 0.8)
    offsets = np.sort(np.concatenate([[0.0], rng.uniform(0.006, 0.07, int(rng.integers(1, 4)))]))
    levels = rng.uniform(0.15, 1, len(offsets))
    shift = (1.0, rng.uniform(0.8, 1.25))
    asymmetry = rng.uniform(-0.12, 0.12) * interval

    def beat(k: int) -> Array:
        pallet = gear | {"freqs_hz": gear["freqs_hz"] * shift[k % 2]}
        length = seconds(offsets[-1] + 0.15, rate)
        hits = []
        for offset, level in zip(offsets, levels, strict=True):
            click = level * strike(rng, rate, pallet, noise=0.5, contact_s=0.0006)
            wood = level * case_gain * strike(rng, rate, case, noise=0.1, contact_s=0.001)
            hits += [(seconds(offset, rate), click), (seconds(offset, rate), wood)]
        return place(length, hits) * (1.0 if k % 2 == 0 else levels[0] ** 0.3) * rng.uniform(0.9, 1.05)

    pieces = []
    at = rng.uniform(0, min(interval, 0.3 * duration_s))
    k = 0
    while at < duration_s:
        pieces.append((int((at + (asymmetry if k % 2 else 0)) * rate), beat(k)))
        at += interval
        k += 1
    rumble = shaped_noise(rng, n, rate, [(15, 0), (80, -2), (300, -24), (2_000, -50), (16_000, -65)])
    hiss = shaped_noise(rng, n, rate, [(60, -10), (1_000, 0), (8_000, -8), (16_000, -20)])
    floor = rng.choice([0.0, 0.01, 0.05, 0.15], p=[0.3, 0.3, 0.25, 0.15])
    return place(n, pieces) + floor * rumble + rng.choice([0.0, 0.003, 0.012]) * hiss


def footsteps(rng: Rng, duration_s: float, rate: int) -> Array:
    """Walking: heel, then sole, at 1.4-2.6 steps a second on wood, stone, gravel or leaves."""
    n = seconds(duration_s, rate)
    pace = 1 / rng.uniform(1.4, 2.6)
    ground = int(rng.integers(4))
    heel = body(
        rng, uniform_log(rng, 70, 220), (900, 2_600, 1_000, 700)[ground], 6, (0.035, 0.012, 0.012, 0.01)[ground]
    )
    grit = (0.1, 0.25, 2.5, 1.6)[ground] * rng.uniform(0.5, 1.5)
    centre = uniform_log(rng, 1_200, 5_000)

    def step(k: int) -> Array:
        length = seconds(0.32, rate)
        out = np.zeros(length)
        hit = strike(rng, rate, heel, noise=0.4, contact_s=0.004)[:length]
        out[: len(hit)] += hit * (1.0 if ground < 2 else 0.4)
        at = seconds(rng.uniform(0.06, 0.13), rate)
        sole = strike(rng, rate, heel, noise=0.8, contact_s=0.006)[: length - at]
        out[at : at + len(sole)] += 0.35 * sole
        crunch = shaped_noise(rng, length, rate, [(150, -25), (centre, 0), (3 * centre, -10), (16_000, -24)])
        lumps = np.maximum(0, rng.standard_normal(length // max(1, rate // 300) + 2))
        texture = np.interp(np.arange(length) * len(lumps) / length, np.arange(len(lumps)), lumps)
        out += 0.12 * grit * crunch * texture * smooth_path(length, [(0, 0), (0.12, 1), (0.45, 0.7), (1, 0)])
        return out * rng.uniform(0.7, 1) * (1.0 if k % 2 else 0.88)

    return repeat(rng, n, rate, step, gap_s=(pace * 0.94, pace * 1.06), overlap=True)


def knock(rng: Rng, duration_s: float, rate: int) -> Array:
    """Knocking on a door: groups of 2-6 raps 0.1-0.35 s apart that ring the panel's modes at 90-900 Hz."""
    n = seconds(duration_s, rate)
    panel = body(rng, uniform_log(rng, 90, 260), uniform_log(rng, 700, 1_600), 7, uniform_log(rng, 0.012, 0.05))
    noise, contact = rng.uniform(0.05, 0.5), uniform_log(rng, 0.001, 0.004)
    step = rng.uniform(0.11, 0.35)

    def group(_: int) -> Array:
        count = int(rng.integers(2, 7))
        raps = [
            (
                int(k * step * rng.uniform(0.97, 1.03) * rate),
                strike(rng, rate, panel, noise=noise, contact_s=contact) * rng.uniform(0.6, 1),
            )
            for k in range(count)
        ]
        return place(raps[-1][0] + seconds(0.25, rate), raps)

    return repeat(rng, n, rate, group, gap_s=(0.4, 2.2), start_s=0.5)


def keyboard(rng: Rng, duration_s: float, rate: int) -> Array:
    """Computer keyboard: key down (plastic click and bottoming thud) and softer release, 3-11 keys a second in
    bursts.
    """
    n = seconds(duration_s, rate)
    low = uniform_log(rng, 1_000, 2_600)
    cap = body(rng, low, 3.5 * low, 6, uniform_log(rng, 0.0015, 0.006))
    desk = body(rng, uniform_log(rng, 130, 300), 800, 4, 0.01)
    thud = rng.uniform(0.05, 0.5)
    speed = rng.uniform(3, 11)

    def key(_: int) -> Array:
        shifted = cap | {"freqs_hz": cap["freqs_hz"] * rng.uniform(0.85, 1.2)}
        release = seconds(rng.uniform(0.05, 0.11), rate)
        down = strike(rng, rate, shifted, noise=0.9, contact_s=0.0015)
        bottom = thud * strike(rng, rate, desk, noise=0.2, contact_s=0.002)
        up = rng.uniform(0.1, 0.4) * strike(rng, rate, shifted, noise=0.8, contact_s=0.001)
        return place(
            release + seconds(0.06, rate), [(0, down), (seconds(0.004, rate), bottom), (release, up)]
        ) * rng.uniform(0.4, 1)

    def burst(_: int) -> Array:
        count = int(rng.integers(2, 16))
        times = np.cumsum(rng.exponential(0.6 / speed, count) + 0.4 / speed)
        return place(seconds(float(times[-1]) + 0.2, rate), [(int((t - times[0]) * rate), key(0)) for t in times])

    return repeat(rng, n, rate, burst, gap_s=(0.05, 0.8))


def shatter(rng: Rng, duration_s: float, rate: int) -> Array:
    """Breaking glass: a bright impact, then shards whose high modes (2-12 kHz) ring as they fall and bounce."""
    n = seconds(duration_s, rate)

    def crash(_: int) -> Array:
        length = seconds(rng.uniform(0.8, 1.9), rate)
        out = np.zeros(length)
        hit = shaped_noise(rng, length, rate, [(200, -16), (1_500, -4), (5_000, 0), (14_000, -6)]) * attack_decay(
            length, rate, 0.001, uniform_log(rng, 0.02, 0.09)
        )
        out += hit
        top = min(13_000.0, 0.42 * rate)
        low = min(uniform_log(rng, 1_800, 3_500), 0.5 * top)
        pieces = []
        for _ in range(int(rng.integers(18, 50))):
            f = uniform_log(rng, low, top)
            shard = modes(
                rng, rate, freqs_hz=[f, f * rng.uniform(1.2, 1.9)], decays_s=[uniform_log(rng, 0.004, 0.04)] * 2
            )
            at = rng.exponential(0.25)
            pieces.append((seconds(at, rate), shard * rng.uniform(0.1, 1) * np.exp(-1.2 * at)))
        return out * rng.uniform(0.2, 0.6) + 0.5 * place(length, pieces)

    return repeat(rng, n, rate, crash, gap_s=(0.5, 2.5), start_s=0.6, count=int(rng.integers(1, 4)))


def drum(rng: Rng, duration_s: float, rate: int) -> Array:
    """Drum: circular-membrane modes (1, 1.59, 2.14, 2.30...) with a pitch drop, stick noise, in a repeated pattern."""
    n = seconds(duration_s, rate)
    ratios = np.array([1.0, 1.59, 2.14, 2.30, 2.65, 2.92])
    beat = 60 / rng.uniform(70, 170) / 2
    kit = []
    for _ in range(int(rng.integers(1, 4))):
        f = uniform_log(rng, 55, 320)
        decay = uniform_log(rng, 0.06, 0.35)
        length = seconds(5 * decay, rate)
        t = np.arange(length) / rate
        sweep = np.cumsum(1 + rng.uniform(0.1, 0.9) * np.exp(-t / 0.03)) / rate
        gains = np.array([1, 0.5, 0.35, 0.25, 0.2, 0.15]) * rng.uniform(0.4, 1.2, 6)
        tone = sum(
            g * np.sin(2 * np.pi * f * r * sweep) * np.exp(-t / (decay / r)) for g, r in zip(gains, ratios, strict=True)
        )
        wires = rng.choice([0.02, 0.1, 0.7])
        stick = shaped_noise(rng, length, rate, [(300, -12), (2_500, 0), (9_000, -6), (15_500, -14)]) * attack_decay(
            length, rate, 0.0008, 0.004 if wires < 0.5 else 0.08
        )
        kit.append(unit_peak(np.asarray(tone) * np.minimum(1, t / 0.001) + wires * stick))
    steps = 16
    pattern = rng.random((len(kit), steps)) < rng.uniform(0.2, 0.45, (len(kit), 1))
    pattern[0, :: int(rng.choice([2, 4]))] = True
    levels = np.where(pattern, rng.uniform(0.35, 1, pattern.shape), 0)
    pieces = []
    for k in range(int(np.ceil(duration_s / beat))):
        for voice, sound in enumerate(kit):
            if levels[voice, k % steps]:
                pieces.append(
                    (
                        max(0, int((k * beat + rng.normal(0, 0.004)) * rate)),
                        sound * levels[voice, k % steps] * rng.uniform(0.85, 1),
                    )
                )
    return place(n, pieces)


IMPACTS = {
    "Tick-tock": tick_tock,
    "Walk, footsteps": footsteps,
    "Knock": knock,
    "Computer keyboard": keyboard,
    "Shatter": shatter,
    "Drum": drum,
}
