"""Noise-like sounds of air, fire and friction: turbulence through slowly moving filters, showers of cracks and claps.

Example::

    NOISES["Wind"](np.random.default_rng(0), 5.0, 32_000)     # float64 (160000,)
"""

import numpy as np

from data_specs.soundscapes.dsp import (
    Array,
    Rng,
    attack_decay,
    band,
    curve,
    fade,
    filter_frames,
    grains,
    modes,
    place,
    repeat,
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


def wind(rng: Rng, duration_s: float, rate: int) -> Array:
    """Wind: turbulent low-frequency noise in gusts, with a whistling resonance (gaps, wires) that follows the speed."""
    n = seconds(duration_s, rate)
    speed = 0.5 + 0.5 * curve(rng, n, rate, rng.uniform(0.25, 1.0))
    cut = uniform_log(rng, 80, 500)
    rumble = shaped_noise(rng, n, rate, [(20, -3), (cut, 0), (4 * cut, -16), (16 * cut, -40), (16_000, -70)])
    howl_hz = uniform_log(rng, 280, 900)
    howl_gain = rng.choice([0.0, 0.5, 1.5])
    hiss_gain = rng.uniform(0.01, 0.12)
    frames = speed[:: max(1, rate // 200)]

    def response(times: Array, freqs: Array) -> Array:
        v = np.interp(times, np.linspace(0, 1, len(frames)), frames)
        howl = resonances(freqs, [howl_hz * (0.75 + 0.6 * v), 1.9 * howl_hz * (0.8 + 0.5 * v)], [90, 200], [1.0, 0.35])
        return howl_gain * v * howl + hiss_gain * v**2 / (1 + (freqs / 2_500) ** 2)

    air = filter_frames(rng.standard_normal(n), response, rate, 1024)
    return rumble * (0.15 + speed) ** 1.5 * swell(rng, n, rate, 6, 3.0) + 0.8 * air


def thunder(rng: Rng, duration_s: float, rate: int) -> Array:
    """Thunder: a crack of the near channel, then seconds of rumble as ever farther parts of the lightning arrive."""
    n = seconds(duration_s, rate)
    distance = rng.random()

    def roll(_: int) -> Array:
        length = seconds(min(duration_s, uniform_log(rng, 2.5, 8.0)), rate)
        cut = uniform_log(rng, 50, 160)
        top = uniform_log(rng, 400, 3_000) * (1.2 - distance)
        rumble = shaped_noise(rng, length, rate, [(20, -8), (cut, 0), (top, -22), (4 * top, -48), (16_000, -75)])
        claps = np.zeros(length)
        for _ in range(int(rng.integers(3, 9))):
            at = int(length * rng.random() ** 1.8 * 0.7)
            claps[at:] += rng.uniform(0.3, 1) * attack_decay(
                length - at, rate, rng.uniform(0.01, 0.25), uniform_log(rng, 0.15, 1.5)
            )
        sound = rumble * claps * smooth_path(length, [(0, 0.3), (0.05, 1), (0.6, 0.5), (1, 0)])
        if distance < 0.5:
            crack = shaped_noise(rng, length, rate, [(80, -6), (500, 0), (3_000, -8), (14_000, -30)])
            sound = sound + rng.uniform(0.3, 1.2) * crack * attack_decay(
                length, rate, 0.004, uniform_log(rng, 0.04, 0.25)
            ) * (1 + 0.9 * curve(rng, length, rate, 45))
        return fade(unit_peak(sound), rate, 0.002)

    return repeat(rng, n, rate, roll, gap_s=(0.2, 3.0), start_s=0.5)


def vacuum_cleaner(rng: Rng, duration_s: float, rate: int) -> Array:
    """Vacuum cleaner: steady broadband suction noise with nozzle resonances and the tones of motor and fan blades."""
    n = seconds(duration_s, rate)
    low, mid = uniform_log(rng, 150, 500), uniform_log(rng, 900, 2_800)
    air = shaped_noise(
        rng,
        n,
        rate,
        [(40, -28), (low, -4), (0.5 * (low + mid), -7), (mid, 0), (3 * mid, -12), (15_000, rng.uniform(-42, -24))],
    )
    run_up = smooth_path(n, [(0, 0.5), (min(0.9, 0.8 / duration_s), 1), (1, 1)]) if rng.random() < 0.2 else np.ones(n)
    motor = uniform_log(rng, 190, 420) * run_up * (1 + 0.01 * curve(rng, n, rate, rng.uniform(0.3, 2)))
    phase = np.cumsum(motor) / rate
    count = max(1, int(0.4 * rate / float(motor.max()) / 1.1))
    harmonics = np.zeros(min(count, 24))
    harmonics[: min(len(harmonics), 6)] = rng.uniform(0, 0.5, min(len(harmonics), 6))
    if len(harmonics) > 9:
        harmonics[int(rng.integers(6, len(harmonics)))] = rng.uniform(0.3, 1)  # blade passing
    tones = wavetable(phase, harmonics + 1e-6, rng)
    stroke = swell(rng, n, rate, rng.uniform(0, 7), rng.uniform(0.4, 1.2))  # the nozzle is moved over the floor
    return (air * stroke + rng.uniform(0.15, 0.9) * unit_rms(tones)) * run_up


def applause(rng: Rng, duration_s: float, rate: int) -> Array:
    """Applause: a shower of 60-4000 claps a second, each a cavity resonance at 0.7-3 kHz of a pair of hands."""
    n = seconds(duration_s, rate)
    hands = []
    for _ in range(6):
        k = seconds(0.03, rate)
        centre = uniform_log(rng, 700, 2_800)
        hand = shaped_noise(rng, k, rate, [(100, -25), (centre, 0), (3 * centre, -9), (15_000, -28)])
        hands.append(hand * attack_decay(k, rate, 0.0008, uniform_log(rng, 0.003, 0.009)))
    density = uniform_log(rng, 60, 2_500) * (0.8 + 0.2 * curve(rng, n, rate, 0.6))
    if rng.random() < 0.35:
        density = density * smooth_path(n, rng.choice([[(0, 0.05), (0.3, 1), (1, 1)], [(0, 1), (0.6, 1), (1, 0.05)]]))
    shower = unit_rms(
        grains(rng, n, rate=rate, density_hz=np.maximum(density, 5), kernels=hands, spread=rng.uniform(0.4, 0.9))
    )
    return shower + rng.uniform(0, 0.12) * shaped_noise(
        rng, n, rate, [(150, -12), (800, 0), (3_000, -10), (12_000, -30)]
    )


def crackle(rng: Rng, duration_s: float, rate: int) -> Array:
    """Fire: heavy-tailed clicks of bursting wood cells (0.3-8 ms), clustered, over hiss and the low roar of the
    flames.
    """
    n = seconds(duration_s, rate)
    kernels = []
    for _ in range(5):
        k = seconds(0.02, rate)
        centre = uniform_log(rng, 900, min(7_000, 0.4 * rate))
        body = shaped_noise(rng, k, rate, [(150, -22), (0.4 * centre, -5), (centre, 0), (15_000, -22)])
        kernels.append(unit_peak(body * attack_decay(k, rate, 0.0001, uniform_log(rng, 0.0003, 0.005))))
    base = uniform_log(rng, 4, 60)
    density = base * np.exp(1.3 * curve(rng, n, rate, 4.0))
    cracks = grains(rng, n, rate=rate, density_hz=density, kernels=kernels, spread=rng.uniform(0.9, 1.5))
    fizz = grains(rng, n, rate=rate, density_hz=uniform_log(rng, 80, 800), kernels=kernels[:2], spread=0.7)
    roar_cut = uniform_log(rng, 50, 180)
    roar = shaped_noise(rng, n, rate, [(15, -2), (roar_cut, 0), (4 * roar_cut, -20), (2_000, -45), (15_000, -70)])
    roar = roar * swell(rng, n, rate, 5, 3)
    hiss = shaped_noise(rng, n, rate, [(200, -22), (2_000, -3), (5_000, 0), (14_000, -14)])
    snaps = 3 * np.clip(unit_peak(cracks), -0.5, 0.5)
    return (
        snaps
        + uniform_log(rng, 0.004, 0.04) * unit_rms(fizz)
        + uniform_log(rng, 0.002, 0.25) * roar
        + uniform_log(rng, 0.001, 0.03) * hiss
    )


def sawing(rng: Rng, duration_s: float, rate: int) -> Array:
    """Hand saw: teeth scrape wood at a rate that follows the stroke's speed; forward and back strokes sound
    different.
    """
    n = seconds(duration_s, rate)
    stroke_s = uniform_log(rng, 0.22, 0.75)
    teeth_hz = uniform_log(rng, 150, 700)
    blade = uniform_log(rng, 1_200, 4_500)
    board = [uniform_log(rng, 180, 900) for _ in range(3)]
    back = rng.uniform(0.15, 0.8)

    def stroke(k: int) -> Array:
        length = seconds(stroke_s * rng.uniform(0.85, 1.15), rate)
        speed = np.sin(np.pi * np.linspace(0, 1, length)) ** 0.7
        phase = np.cumsum(teeth_hz * (0.35 + speed)) / rate
        teeth = (1 - phase % 1.0) ** 3
        scrape = rng.standard_normal(length) * (0.25 + teeth) * speed
        shift = 1.0 if k % 2 == 0 else 0.8

        def response(times: Array, freqs: Array) -> Array:
            v = np.sin(np.pi * times) ** 0.7
            return resonances(
                freqs,
                [shift * blade * (0.7 + 0.5 * v), 2.1 * shift * blade, *board],
                [0.7 * blade, blade, 120, 160, 200],
                [1, 0.5, 0.6, 0.5, 0.4],
            )

        return filter_frames(scrape, response, rate, 512) * (1.0 if k % 2 == 0 else back) * rng.uniform(0.8, 1.1)

    return repeat(rng, n, rate, stroke, gap_s=(0.01, rng.choice([0.04, 0.25])))


def gunshot(rng: Rng, duration_s: float, rate: int) -> Array:
    """Gunshot: a blast wave (sub-millisecond rise), milliseconds of muzzle noise, and the echoes of the
    surroundings.
    """
    n = seconds(duration_s, rate)
    automatic = rng.random() < 0.3
    tail_s = uniform_log(rng, 0.08, 0.25 if automatic else 0.6)
    blast_s = uniform_log(rng, 0.006, 0.03)
    cut = uniform_log(rng, 600, 5_000)
    echoes = [(rng.uniform(0.03, 0.5), rng.uniform(0.05, 0.4)) for _ in range(int(rng.integers(1, 5)))]
    body = uniform_log(rng, 70, 200)

    def shot() -> Array:
        length = seconds(min(6 * tail_s, duration_s), rate)
        blast = shaped_noise(rng, length, rate, [(40, -6), (300, 0), (cut, -2), (5 * cut, -20)]) * attack_decay(
            length, rate, 0.0003, blast_s
        )
        thump = np.sin(2 * np.pi * body * np.arange(length) / rate) * attack_decay(length, rate, 0.0005, 0.025)
        tail = shaped_noise(rng, length, rate, [(60, 0), (500, -2), (2_500, -16), (12_000, -45)]) * attack_decay(
            length, rate, 0.01, tail_s
        )
        sound = 2.5 * blast + 1.5 * thump + rng.uniform(0.1, 0.35) * tail
        dull = band(sound, rate, None, 1_800, 1)
        return sound + place(length, [(seconds(delay, rate), gain * dull) for delay, gain in echoes])

    shots = [shot() for _ in range(3)]
    gap = rng.uniform(0.07, 0.14) if automatic else rng.uniform(0.35, 2.2)
    return repeat(
        rng,
        n,
        rate,
        lambda k: shots[k % 3] * rng.uniform(0.7, 1),
        gap_s=(gap * (0.97 if automatic else 0.5), gap * (1.03 if automatic else 1.5)),
        overlap=True,
        start_s=0.5,
    )


def fireworks(rng: Rng, duration_s: float, rate: int) -> Array:
    """Fireworks: rising whistles, deep far booms with long dull tails, and crackling stars, overlapping at random."""
    n = seconds(duration_s, rate)
    star = modes(rng, rate, freqs_hz=[2_600, 4_300, 6_500], decays_s=[0.0015, 0.001, 0.0007])

    def shell() -> Array:
        length = seconds(rng.uniform(1.0, 2.2), rate)
        out = np.zeros(length + seconds(1.6, rate))
        if rng.random() < 0.55:
            sweep = smooth_path(length, [(0, 0.6), (0.7, 1.0), (1, rng.uniform(0.6, 1.0))]) * uniform_log(
                rng, 1_400, 4_200
            )
            whistle = np.sin(2 * np.pi * np.cumsum(np.minimum(sweep, 0.45 * rate)) / rate) + 0.3 * rng.standard_normal(
                length
            )
            out[:length] += (
                rng.uniform(0.05, 0.25) * whistle * smooth_path(length, [(0, 0), (0.1, 1), (0.8, 0.5), (1, 0)])
            )
            at = seconds(rng.uniform(0.6, 1.0) * length / rate, rate)
        else:
            at = 0
        rest = len(out) - at
        boom = shaped_noise(
            rng, rest, rate, [(30, -4), (90, 0), (500, -9), (3_000, -24), (14_000, -50)]
        ) * attack_decay(rest, rate, 0.003, uniform_log(rng, 0.06, 0.3))
        out[at:] += rng.uniform(0.6, 1) * unit_peak(boom)
        if rng.random() < 0.6:
            late = seconds(0.25, rate)
            density = 260 * smooth_path(rest, [(0, 0), (0.25, 1), (0.6, 0.5), (1, 0)])
            stars = grains(rng, rest, rate=rate, density_hz=density + 1e-3, kernels=[star], spread=0.6)
            out[at + late :] += rng.uniform(0.1, 0.4) * unit_peak(stars)[: rest - late]
        return out

    shells = [shell() for _ in range(4)]
    return repeat(
        rng,
        n,
        rate,
        lambda _: shells[int(rng.integers(4))] * rng.uniform(0.5, 1),
        gap_s=(0.15, rng.choice([0.5, 1.5])),
        overlap=True,
        start_s=0.2,
    )


NOISES = {
    "Wind": wind,
    "Thunder": thunder,
    "Vacuum cleaner": vacuum_cleaner,
    "Applause": applause,
    "Crackle": crackle,
    "Sawing": sawing,
    "Gunshot, gunfire": gunshot,
    "Fireworks": fireworks,
}
