"""Augmentation of clean tracks before they are mixed: the same event, at another speed and through another microphone.

Stands between the pools and the sampler (``pipeline.mixtures``). A few dozen recordings per label are soon learned by
heart; a change of speed (and with it pitch) and a smooth change of the spectrum make new ones that keep the label.

Example::

    track = augment(track, rng, config.train)
"""

import numpy as np
import soxr
from scipy.fft import irfft, next_fast_len, rfft

from data_specs.config import TrainConfig

EQ_BANDS = 8
SPEED_STEPS = 1000


def augment(track: np.ndarray, rng: np.random.Generator, config: TrainConfig) -> np.ndarray:
    """Change speed and spectrum of a track (T,) at random, within ``config.speed_range`` and ``config.eq_db``.

    Returns:
        float32, of another length where the speed changed.
    """
    slowest, fastest = config.speed_range
    if slowest < fastest:
        track = change_speed(track, float(np.exp(rng.uniform(np.log(slowest), np.log(fastest)))))
    if config.eq_db > 0:
        track = equalise(track, rng.uniform(-config.eq_db, config.eq_db, size=EQ_BANDS))
    return track


def change_speed(track: np.ndarray, speed: float) -> np.ndarray:
    """Play a track (T,) ``speed`` times as fast, pitch included: (T / speed,)."""
    ratio = round(SPEED_STEPS * speed)
    if ratio == SPEED_STEPS:
        return track
    return soxr.resample(track.astype(np.float32), ratio, SPEED_STEPS, quality="LQ")


def equalise(track: np.ndarray, gains_db: np.ndarray) -> np.ndarray:
    """Filter a track (T,) by gains in dB at points spread evenly over the octaves, linear between them."""
    size = next_fast_len(len(track), real=True)
    spectrum = rfft(track, size)
    octave = np.log2(np.linspace(0, 1, len(spectrum))[1:] * 2 ** len(gains_db)).clip(min=0)  # 0 .. len(gains_db)
    curve_db = np.interp(octave, np.linspace(0, len(gains_db), len(gains_db)), gains_db)
    spectrum[1:] *= 10 ** (curve_db / 20)
    return irfft(spectrum, size)[: len(track)].astype(np.float32)
