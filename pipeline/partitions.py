"""Wrong ways to divide a mixture, and right ones: what a gate must reject, and what it must accept.

All of the wrong ones add up to the mixture, so that a gate which looks only at the remix keeps every one of them.
Calibration shows them to the quality model beside real separations (``pipeline.calibrate``); tests hold the gate to it.

Shapes: truth (Q, T), the sources of a mixture; every partition gives tracks (Q, T) in the order of the labels.

Example::

    for name, divide in WRONG.items():
        tracks = divide(truth, rng)
"""

from collections.abc import Callable

import numpy as np
from scipy.fft import irfft, rfft

Partition = Callable[[np.ndarray, np.random.Generator], np.ndarray]
TRUTH_NOISE_DB = -10.0


def all_to_one(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mixture in one track, silence in the others: [x, 0]."""
    tracks = np.zeros_like(truth)
    tracks[int(rng.integers(len(truth)))] = truth.sum(axis=0)
    return tracks


def equal_shares(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same share of the mixture in every track: [x/2, x/2]."""
    return np.repeat(truth.sum(axis=0, keepdims=True) / len(truth), len(truth), axis=0)


def frequency_bands(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bands of equal energy, low to high or high to low."""
    spectrum = rfft(truth.sum(axis=0))
    share = np.cumsum(np.abs(spectrum) ** 2)
    band = np.minimum((share / max(share[-1], 1e-20) * len(truth)).astype(int), len(truth) - 1)
    bands = np.stack([irfft(np.where(band == k, spectrum, 0), truth.shape[1]) for k in range(len(truth))])
    return (bands if rng.random() < 0.5 else bands[::-1]).astype(np.float32)


def time_parts(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Parts of equal length, one after the other."""
    mixture = truth.sum(axis=0)
    tracks = np.zeros_like(truth)
    for row, part in enumerate(np.array_split(np.arange(len(mixture)), len(truth))):
        tracks[row, part] = mixture[part]
    return tracks if rng.random() < 0.5 else tracks[::-1].copy()


def swapped_labels(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Right tracks, each under the next label."""
    return np.roll(truth, 1, axis=0)


def one_and_mixture(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The right first track, and a copy of the mixture for every other label; the one that does not add up."""
    return np.concatenate([truth[:1], np.repeat(truth.sum(axis=0, keepdims=True), len(truth) - 1, axis=0)])


def exact_truth(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The sources themselves."""
    return truth.copy()


def noisy_truth(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The sources, each with white noise ``TRUTH_NOISE_DB`` below it."""
    level = np.sqrt(np.mean(truth**2, axis=1, keepdims=True)) * 10 ** (TRUTH_NOISE_DB / 20)
    return (truth + level * rng.standard_normal(truth.shape)).astype(np.float32)


def leaky_truth(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The sources with a part of the others in each, at a level between 0 and -20 dB; they add up to the mixture."""
    leak = 10 ** (rng.uniform(-20, 0) / 20) / 2
    rest = truth.sum(axis=0, keepdims=True) - truth
    return ((1 - leak) * truth + leak * rest / max(1, len(truth) - 1)).astype(np.float32)


WRONG: dict[str, Partition] = {
    "all to one": all_to_one,
    "equal shares": equal_shares,
    "frequency bands": frequency_bands,
    "time parts": time_parts,
    "swapped labels": swapped_labels,
    "one and mixture": one_and_mixture,
}
RIGHT: dict[str, Partition] = {"exact truth": exact_truth, "noisy truth": noisy_truth}
