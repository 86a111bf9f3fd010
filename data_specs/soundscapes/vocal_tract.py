"""The source-filter voice of people and mammals: a glottal source through the resonances of a vocal tract.

Example::

    source = glottis(rng, f0_hz, rate)                          # (T,)
    vowel = tract(source, rate, [730.0, 1_090.0, 2_440.0])      # (T,)
"""

import numpy as np

from data_specs.soundscapes.dsp import (
    Array,
    Rng,
    curve,
    filter_frames,
    harmonic_count,
    phase_of,
    resonances,
    uniform_log,
    unit_rms,
    wavetable,
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
    """Glottal source: harmonics that fall by ``tilt_db`` per octave, jitter, subharmonic roughness, pulsed breath
    noise.
    """
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
        centres = [f[at] if isinstance(f, np.ndarray) else f for f in formants_hz]
        bandwidths = [max(50.0, widths * float(np.mean(c))) for c in centres]
        gains = [tilt**i for i in range(len(centres))]
        lips = freqs / (freqs + 150.0)
        return (resonances(freqs, centres, bandwidths, gains) + floor) * lips

    return filter_frames(x, response, rate)


def speaker(rng: Rng) -> tuple[float, float]:
    """Pitch in Hz and size factor of the formants of a man, a woman or a child."""
    kind = rng.integers(5)
    if kind < 2:
        return uniform_log(rng, 85, 150), rng.uniform(0.93, 1.05)
    if kind < 4:
        return uniform_log(rng, 165, 250), rng.uniform(1.08, 1.22)
    return uniform_log(rng, 250, 340), rng.uniform(1.25, 1.4)
