"""Building blocks of the event models: noises, envelopes, resonators, oscillators, and placing pieces in time.

Every block is vectorised and takes its randomness from the generator it is given. Waveforms are float64 (T,) arrays
inside the models; the registry (``events``) makes float32 of them.

Example::

    hiss = shaped_noise(rng, n, rate, [(100, -60), (2_000, 0), (9_000, -20)])
    click = modes(rng, rate, freqs_hz=[900, 2_300], decays_s=[0.02, 0.01])
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy
from scipy import fft

Array = np.ndarray
Rng = np.random.Generator

LOOP_GRAINS = 1_500
"""Up to so many grains per kernel, adding them one by one is faster than a convolution."""


def uniform_log(rng: Rng, low: float, high: float) -> float:
    """A draw that is uniform in the logarithm: for frequencies, rates and decay times."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def seconds(duration_s: float, rate: int) -> int:
    """Samples of a duration; at least one."""
    return max(1, round(duration_s * rate))


def amplitude(level_db: float | Array) -> float | Array:
    """Amplitude factor of a level in dB."""
    return 10 ** (np.asarray(level_db, float) / 20)


def unit_rms(x: Array) -> Array:
    """``x`` scaled to an RMS of 1; silence stays silence."""
    return x / max(1e-9, float(np.sqrt(np.mean(x * x))))


def unit_peak(x: Array) -> Array:
    """``x`` scaled to a peak of 1; silence stays silence."""
    return x / max(1e-9, float(np.max(np.abs(x))))


def shaped_noise(rng: Rng, n: int, rate: int, points: Sequence[tuple[float, float]]) -> Array:
    """Gaussian noise with a spectrum through ``points`` (Hz, dB), linear in log frequency, at unit RMS, (n,)."""
    size = fft.next_fast_len(max(n, 64), real=True)
    freqs = fft.rfftfreq(size, 1 / rate)
    hz, level_db = np.array(sorted(points)).T
    gain = 10 ** (np.interp(np.log(np.maximum(freqs, 5.0)), np.log(hz), level_db) / 20)
    gain *= freqs > 12
    spectrum = gain * np.exp(2j * np.pi * rng.random(len(freqs), dtype=np.float32))
    return unit_rms(fft.irfft(spectrum * rng.rayleigh(1.0, len(freqs)), size)[:n])


def band(x: Array, rate: int, low_hz: float | None, high_hz: float | None, order: int = 2) -> Array:
    """Butterworth low-, high- or band-pass; corners are kept below the Nyquist frequency."""
    nyquist = rate / 2
    low = None if low_hz is None else min(low_hz, 0.8 * nyquist)
    high = None if high_hz is None or high_hz >= 0.95 * nyquist else high_hz
    if low is None and high is None:
        return x
    if low is not None and high is not None:
        sos = scipy.signal.butter(order, [min(low, 0.7 * high), high], "bandpass", fs=rate, output="sos")
    else:
        sos = scipy.signal.butter(
            order, low or high, "highpass" if low is not None else "lowpass", fs=rate, output="sos"
        )
    return scipy.signal.sosfilt(sos, x)


def curve(rng: Rng, n: int, rate: int, changes_hz: float) -> Array:
    """A smooth random control signal in about [-1, 1] that changes ``changes_hz`` times a second, (n,)."""
    knots = int(np.ceil(n / rate * changes_hz)) + 3
    values = rng.uniform(-1, 1, knots)
    position = np.arange(n) * (changes_hz / rate) + rng.random()
    index = position.astype(int)
    t = position - index
    t = t * t * (3 - 2 * t)
    return values[index] * (1 - t) + values[np.minimum(index + 1, knots - 1)] * t


def path(n: int, points: Sequence[tuple[float, float]]) -> Array:
    """Piecewise linear path through ``points`` (position in [0, 1], value), (n,)."""
    x, y = np.array(points, float).T
    return np.interp(np.linspace(0, 1, n), x, y)


def smooth_path(n: int, points: Sequence[tuple[float, float]]) -> Array:
    """As ``path`` with rounded corners (monotone cubic between the points), (n,)."""
    from_x = [p[0] for p in points]
    frame = np.linspace(0, 1, max(8, min(n, 400)))
    t = np.interp(frame, from_x, np.arange(len(points)))
    k = np.minimum(t.astype(int), len(points) - 2)
    s = t - k
    s = s * s * (3 - 2 * s)
    y = np.array([p[1] for p in points], float)
    return np.interp(np.linspace(0, 1, n), frame, y[k] * (1 - s) + y[k + 1] * s)


def attack_decay(n: int, rate: int, attack_s: float, decay_s: float) -> Array:
    """Linear rise, then exponential decay with time constant ``decay_s``, (n,)."""
    t = np.arange(n) / rate
    return np.minimum(1, t / max(attack_s, 1e-5)) * np.exp(-np.maximum(0, t - attack_s) / decay_s)


def fade(x: Array, rate: int, fade_s: float = 0.005) -> Array:
    """``x`` without clicks at its ends."""
    k = min(len(x) // 2, seconds(fade_s, rate))
    ramp = np.linspace(0, 1, k, endpoint=False) if k else np.zeros(0)
    y = x.copy()
    y[:k] *= ramp
    y[len(y) - k :] *= ramp[::-1]
    return y


def modes(
    rng: Rng,
    rate: int,
    *,
    freqs_hz: Sequence[float] | Array,
    decays_s: Sequence[float] | Array,
    gains: Sequence[float] | Array | None = None,
) -> Array:
    """Impulse response of a struck body: damped sinusoids with random phases, cut 7 time constants in, (n,)."""
    f, d = np.asarray(freqs_hz, float), np.asarray(decays_s, float)
    g = np.ones(len(f)) if gains is None else np.asarray(gains, float)
    n = seconds(7 * float(d.max()), rate)
    out = np.zeros(n)
    for frequency, decay, gain in zip(f, d, g, strict=True):
        if frequency < 0.46 * rate:
            t = np.arange(seconds(7 * decay, rate)) / rate
            phase = 2 * np.pi * rng.random()
            out[: len(t)] += gain * np.exp(-t / decay) * np.sin(2 * np.pi * frequency * t + phase)
    return out


def wavetable(phase: Array, harmonics: Sequence[float] | Array, rng: Rng | None = None) -> Array:
    """A periodic waveform with the given harmonic amplitudes, read along ``phase`` (in cycles), (n,)."""
    amplitudes = np.asarray(harmonics, float)
    size = 1 << int(np.ceil(np.log2(8 * (len(amplitudes) + 1))))
    spectrum = np.zeros(size // 2 + 1, complex)
    phases = np.zeros(len(amplitudes)) if rng is None else 2 * np.pi * rng.random(len(amplitudes))
    spectrum[1 : len(amplitudes) + 1] = -0.5j * size * amplitudes * np.exp(1j * phases)
    table = fft.irfft(spectrum, size)
    table = np.append(table, table[0])
    position = (phase % 1.0) * size
    index = position.astype(np.int32)
    return table[index] + (position - index) * np.diff(table, append=table[0])[index]


def harmonic_count(f0_hz: float | Array, rate: int, limit: int = 200) -> int:
    """How many harmonics of the highest f0 stay below 0.45 of the sample rate; at least one."""
    return max(1, min(limit, int(0.45 * rate / float(np.max(f0_hz)))))


def phase_of(f0_hz: Array, rate: int, start: float = 0.0) -> Array:
    """Phase in cycles of an oscillator with frequency ``f0_hz`` (n,)."""
    return start + np.cumsum(f0_hz) / rate


def filter_frames(x: Array, response: Callable[[Array, Array], Array], rate: int, frame: int = 512) -> Array:
    """Time-varying linear filter: ``response(times (F, 1) in [0, 1], freqs_hz (1, N))`` gives magnitudes (F, N)."""
    hop = frame // 2
    n = len(x)
    count = n // hop + 2
    padded = np.zeros((count + 1) * hop)
    padded[hop : hop + n] = x
    window = np.sin(np.pi * (np.arange(frame) + 0.5) / frame)
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop] * window
    times = np.clip((np.arange(len(frames)) * hop) / max(1, n), 0, 1)[:, None]
    spectrum = fft.rfft(frames, axis=1) * response(times, fft.rfftfreq(frame, 1 / rate)[None, :])
    y = fft.irfft(spectrum, frame, axis=1) * window
    out = np.zeros((len(frames) + 1) * hop)
    out[: len(frames) * hop] += y[:, :hop].ravel()
    out[hop:] += y[:, hop:].ravel()
    return out[hop : hop + n]


def resonances(
    freqs: Array, centres_hz: Sequence[float | Array], bandwidths_hz: Sequence[float], gains: Sequence[float]
) -> Array:
    """Magnitude of parallel resonators at ``freqs``; centres may vary with time as (F, 1)."""
    total: Array = np.zeros(1)
    for centre, width, gain in zip(centres_hz, bandwidths_hz, gains, strict=True):
        total = total + gain / np.sqrt(1 + ((freqs - centre) / (0.5 * width)) ** 2)
    return total


def place(n: int, pieces: Sequence[tuple[int, Array]]) -> Array:
    """The sum of waveforms that start at given samples, cut to (n,)."""
    out = np.zeros(n)
    for start, piece in pieces:
        if 0 <= start < n:
            part = piece[: n - start]
            out[start : start + len(part)] += part
    return out


def repeat(
    rng: Rng,
    n: int,
    rate: int,
    make: Callable[[int], Array],
    *,
    gap_s: tuple[float, float],
    count: int | None = None,
    start_s: float = 0.15,
    overlap: bool = False,
) -> Array:
    """Pieces ``make(k)`` one after the other with random gaps until ``n`` is full or ``count`` is reached, (n,).

    With ``overlap`` the gap runs from onset to onset and tails ring on.
    """
    pieces: list[tuple[int, Array]] = []
    position = int(rng.uniform(0, min(start_s, 0.1 * n / rate)) * rate)
    while position < n and (count is None or len(pieces) < count):
        piece = make(len(pieces))
        pieces.append((position, piece))
        position += (0 if overlap else len(piece)) + seconds(uniform_log(rng, *gap_s), rate)
    return place(n, pieces)


def grains(
    rng: Rng, n: int, *, rate: int, density_hz: float | Array, kernels: Sequence[Array], spread: float = 1.0
) -> Array:
    """A Poisson shower of short kernels with log-normal amplitudes (``spread`` in nepers), (n,).

    ``density_hz`` is grains per second, constant or one value per sample.
    """
    longest = max(len(kernel) for kernel in kernels)
    if isinstance(density_hz, np.ndarray):
        cumulative = np.cumsum(density_hz) / rate
        total = rng.poisson(cumulative[-1])
        positions = np.searchsorted(cumulative, rng.random(total) * cumulative[-1])
    else:
        positions = rng.integers(0, n, rng.poisson(density_hz * n / rate))
    if not len(positions):
        positions = rng.integers(0, max(1, n // 2), 1)
    which = rng.integers(0, len(kernels), len(positions))
    sizes = np.exp(spread * rng.standard_normal(len(positions))) * rng.choice([-1.0, 1.0], len(positions))
    if len(positions) < LOOP_GRAINS * len(kernels):
        out = np.zeros(n + longest)
        for position, k, size in zip(positions.tolist(), which.tolist(), sizes.tolist(), strict=True):
            kernel = kernels[k]
            out[position : position + len(kernel)] += size * kernel
        return out[:n]
    fast = fft.next_fast_len(n + longest, real=True)
    spectrum: Array = np.zeros(fast // 2 + 1, complex)
    for k, kernel in enumerate(kernels):
        own = which == k
        train = np.bincount(positions[own], sizes[own], minlength=n)[:n]
        spectrum = spectrum + fft.rfft(train, fast) * fft.rfft(kernel, fast)
    return fft.irfft(spectrum, fast)[:n]


def swell(rng: Rng, n: int, rate: int, depth_db: float, changes_hz: float) -> Array:
    """A slowly varying gain with a range of about ``depth_db``, (n,)."""
    return np.asarray(amplitude(0.5 * depth_db * curve(rng, n, rate, changes_hz)))
