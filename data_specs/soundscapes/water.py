"""Water: ringing bubbles (Minnaert resonators), drops, and the turbulence of falling and breaking water.

Example::

    WATER["Drip"](np.random.default_rng(0), 5.0, 32_000)     # float64 (160000,)
"""

import numpy as np

from data_specs.soundscapes.dsp import (
    Array,
    Rng,
    attack_decay,
    band,
    curve,
    filter_frames,
    grains,
    modes,
    path,
    repeat,
    resonances,
    seconds,
    shaped_noise,
    smooth_path,
    swell,
    uniform_log,
    unit_peak,
    unit_rms,
)


def bubble(rate: int, frequency_hz: float, decay_s: float, rise: float) -> Array:
    """A bubble near the surface: a damped sinusoid that rises in pitch by the factor ``1 + rise`` as it comes up."""
    n = seconds(6 * decay_s, rate)
    t = np.arange(n) / rate
    f = np.minimum(frequency_hz * (1 + rise * t / decay_s / 3), 0.46 * rate)
    return np.sin(2 * np.pi * np.cumsum(f) / rate) * np.exp(-t / decay_s) * np.minimum(1, t * rate / 8)


def rain(rng: Rng, duration_s: float, rate: int) -> Array:
    """Rain: a shower of drops on a surface (clicks and small bubbles), the broad hiss of the far ones, low recording
    rumble.
    """
    n = seconds(duration_s, rate)
    surface = rng.uniform(0, 1)  # soft ground to hard roof
    kernels = []
    for _ in range(5):
        k = seconds(0.02, rate)
        centre = uniform_log(rng, 350, 4_500)
        tick = shaped_noise(rng, k, rate, [(100, -22), (centre, 0), (15_000, rng.uniform(-38, -14))]) * attack_decay(
            k, rate, 0.0002, uniform_log(rng, 0.0006, 0.005)
        )
        kernels.append(unit_peak(tick))
        if surface < 0.6:
            kernels.append(0.6 * bubble(rate, uniform_log(rng, 900, 6_000), uniform_log(rng, 0.002, 0.008), 0.3))
    density = uniform_log(rng, 8, 1_500)
    drops = grains(rng, n, rate=rate, density_hz=density, kernels=kernels, spread=rng.uniform(0.7, 1.2))
    low = uniform_log(rng, 120, 900)
    high = low * uniform_log(rng, 3, 12)
    hiss = shaped_noise(
        rng,
        n,
        rate,
        [(60, -30), (low, rng.uniform(-14, 0)), (high, rng.uniform(-16, 0)), (15_500, rng.uniform(-52, -16))],
    )
    hiss = hiss * swell(rng, n, rate, rng.uniform(0, 5), 0.5)
    rumble = shaped_noise(rng, n, rate, [(15, 0), (70, 0), (250, -24), (2_000, -60), (16_000, -90)])
    near = np.clip(unit_rms(drops), -12, 12)
    return (
        uniform_log(rng, 0.1, 1.5) * near + hiss + rng.choice([0.0, 0.3, 1.0, 3.0], p=[0.35, 0.25, 0.2, 0.2]) * rumble
    )


def waves(rng: Rng, duration_s: float, rate: int) -> Array:
    """Surf: waves every 3-10 s that swell, break (brighter when louder) and run back over the beach; steady far
    surf.
    """
    n = seconds(duration_s, rate)
    period = uniform_log(rng, 2.5, 9.0)
    t = np.arange(0, n, max(1, rate // 100)) / rate
    swash = np.zeros(len(t))
    at = -rng.uniform(0, period)
    while at < duration_s:
        rise, fall = period * rng.uniform(0.15, 0.45), period * rng.uniform(0.25, 0.6)
        x = t - at
        wave = np.where(x < rise, np.clip(x / rise, 0, 1) ** 2, np.exp(-(x - rise) / fall)) * (x > 0)
        swash = np.maximum(swash, rng.uniform(0.4, 1) * wave)
        at += period * rng.uniform(0.6, 1.4)
    base = uniform_log(rng, 0.1, 0.5)
    low = uniform_log(rng, 180, 520)
    bright = uniform_log(rng, 1_100, 5_500)
    slope = rng.uniform(1.2, 2.2)

    def response(times: Array, freqs: Array) -> Array:
        level = np.interp(times * duration_s, t, swash)
        cut = low + bright * level**1.3
        body = 1 / (1 + (freqs / cut) ** slope) * (freqs / (freqs + 60))
        return (base + level) * body

    noise = rng.standard_normal(n)
    surf = filter_frames(noise, response, rate, 1024)
    k = seconds(0.01, rate)
    foam_kernel = shaped_noise(rng, k, rate, [(500, -20), (3_500, 0), (12_000, -12)]) * attack_decay(
        k, rate, 0.0003, 0.002
    )
    foam_rate = 300 * np.interp(np.arange(n) / rate, t, swash) + 5
    foam = grains(rng, n, rate=rate, density_hz=foam_rate, kernels=[foam_kernel], spread=0.9)
    rumble = shaped_noise(rng, n, rate, [(15, -6), (60, 0), (200, -14), (1_500, -50), (16_000, -80)])
    return unit_rms(surf) + rng.uniform(0, 0.15) * unit_rms(foam) + rng.uniform(0, 0.5) * rumble


def stream(rng: Rng, duration_s: float, rate: int) -> Array:
    """Stream: hundreds of bubbles a second between 0.3 and 4 kHz (gurgling) over the steady noise of small falls."""
    n = seconds(duration_s, rate)
    low, high = uniform_log(rng, 280, 600), uniform_log(rng, 1_200, 3_500)
    kernels = [
        bubble(rate, uniform_log(rng, low, high), uniform_log(rng, 0.008, 0.03), rng.uniform(0, 0.5)) for _ in range(40)
    ]
    density = uniform_log(rng, 60, 500) * np.exp(0.7 * curve(rng, n, rate, 4))
    bubbles = grains(rng, n, rate=rate, density_hz=density, kernels=kernels, spread=0.7)
    centre = uniform_log(rng, 500, 1_800)
    fall = shaped_noise(rng, n, rate, [(60, -30), (0.4 * centre, -8), (centre, 0), (4 * centre, -12), (15_000, -34)])
    return unit_rms(bubbles) + rng.uniform(0.1, 0.7) * fall * swell(rng, n, rate, 4, 2)


def toilet_flush(rng: Rng, duration_s: float, rate: int) -> Array:
    """Flush: a valve's clunk, the rush of water that swells and dies within 3-8 s, gurgling drain, hiss of the
    refill.
    """
    n = seconds(duration_s, rate)
    length_s = min(duration_s, rng.uniform(3.5, 8))
    end = min(0.98, length_s / duration_s)
    rush = smooth_path(n, [(0, 0.05), (0.12 * end, 1), (0.55 * end, 0.8), (end, 0.08), (1, 0.02)])
    drain = smooth_path(n, [(0, 0), (0.45 * end, 0.1), (0.8 * end, 1), (end, 0.3), (1, 0)])
    bowl = [uniform_log(rng, 250, 500), uniform_log(rng, 600, 1_100), uniform_log(rng, 1_400, 2_600)]
    top = uniform_log(rng, 2_000, 6_000)

    def response(times: Array, freqs: Array) -> Array:
        level = np.interp(times, np.linspace(0, 1, n), rush)
        return (
            (resonances(freqs, bowl, [200, 350, 700], [1, 0.8, 0.5]) + 0.35)
            * level
            / (1 + (freqs / (top * (0.3 + level))) ** 2)
        )

    water = unit_rms(filter_frames(rng.standard_normal(n), response, rate))
    kernels = [
        bubble(rate, uniform_log(rng, 150, 900), uniform_log(rng, 0.02, 0.06), rng.uniform(0.2, 0.8)) for _ in range(24)
    ]
    gurgle = grains(rng, n, rate=rate, density_hz=120 * drain + 1e-3, kernels=kernels, spread=0.6) * drain
    refill = shaped_noise(rng, n, rate, [(300, -30), (1_500, -8), (4_500, 0), (12_000, -10)])
    clunk = modes(rng, rate, freqs_hz=[220, 700, 1_900], decays_s=[0.02, 0.012, 0.006])
    total = (
        water
        + rng.uniform(0.5, 1.5) * unit_rms(gurgle)
        + rng.uniform(0.02, 0.12) * refill * path(n, [(0, 0), (0.5, 1), (1, 1)])
    )
    k = min(n, len(clunk))
    total[:k] += rng.uniform(0.5, 2) * clunk[:k]
    return total


def pour(rng: Rng, duration_s: float, rate: int) -> Array:
    """Pouring: bubbles and splash excite the air column of a vessel whose resonance rises as it fills."""
    n = seconds(duration_s, rate)

    def fill(_: int) -> Array:
        length = seconds(min(duration_s, uniform_log(rng, 1.5, 6.0)), rate)
        start = uniform_log(rng, 250, 700)
        end = start * rng.uniform(2.0, 4.5)
        kernels = [bubble(rate, uniform_log(rng, 500, 3_500), uniform_log(rng, 0.004, 0.015), 0.3) for _ in range(30)]
        splash = unit_rms(
            grains(rng, length, rate=rate, density_hz=uniform_log(rng, 80, 400), kernels=kernels, spread=0.6)
        )
        splash += rng.uniform(0.2, 0.7) * shaped_noise(
            rng, length, rate, [(100, -25), (800, -5), (3_000, 0), (12_000, -18)]
        )
        sharpness = rng.uniform(3, 7)

        def response(times: Array, freqs: Array) -> Array:
            column = start * (end / start) ** (times**1.6)
            return (
                0.22
                + resonances(
                    freqs,
                    [column, 3 * column, 5 * column],
                    [120, 200, 300],
                    [sharpness, 0.5 * sharpness, 0.25 * sharpness],
                )
                * 0.35
            )

        level = smooth_path(length, [(0, 0), (0.08, 1), (0.85, 0.8), (1, 0)]) * swell(rng, length, rate, 4, 5)
        return unit_rms(filter_frames(splash, response, rate)) * level

    return repeat(rng, n, rate, fill, gap_s=(0.3, 1.5), start_s=0.4)


def drip(rng: Rng, duration_s: float, rate: int) -> Array:
    """Dripping: single drops, each an impact click and a delayed rising bubble tone, 0.6-6 a second, in a sink or
    cave.
    """
    n = seconds(duration_s, rate)
    tone = uniform_log(rng, 450, 2_800)
    decay = uniform_log(rng, 0.01, 0.05)
    pace = uniform_log(rng, 0.15, 1.4)
    wander = rng.uniform(0.02, 0.35)

    def drop(_: int) -> Array:
        ring = bubble(rate, tone * 2 ** rng.normal(0, wander), decay * rng.uniform(0.7, 1.4), rng.uniform(0.1, 0.7))
        delay = seconds(rng.uniform(0.004, 0.02), rate)
        out = np.zeros(len(ring) + delay + seconds(0.01, rate))
        k = seconds(0.004, rate)
        out[:k] += rng.uniform(0.05, 0.5) * rng.standard_normal(k) * attack_decay(k, rate, 0.0002, 0.0008)
        out[delay : delay + len(ring)] += ring
        if rng.random() < 0.3:
            second = bubble(rate, tone * rng.uniform(1.2, 2.2), decay * 0.5, 0.4)[: len(out) - 2 * delay]
            out[2 * delay : 2 * delay + len(second)] += 0.5 * second
        return out * rng.uniform(0.5, 1)

    drops = repeat(rng, n, rate, drop, gap_s=(pace * 0.7, pace * 1.4), overlap=True)
    return drops + rng.choice([0.0, 0.002, 0.01]) * band(
        shaped_noise(rng, n, rate, [(40, 0), (400, -12), (12_000, -30)]), rate, 30, None
    )


WATER = {
    "Rain": rain,
    "Waves, surf": waves,
    "Stream": stream,
    "Toilet flush": toilet_flush,
    "Pour": pour,
    "Drip": drip,
}
