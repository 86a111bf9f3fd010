"""Scores of separated tracks that need no model: what a track's waveform and spectrogram say about its quality.

Used by ``pipeline.evidence``, which adds the scores that ask the separator or a listener again. A remix that matches
the clip is no proof of separation: a copy of the mixture beside silence, or two frequency bands, add up to it as well.
These scores tell such partitions from sources: sources have spectrograms of their own, and what is left when a source
is taken out does not go with it.

Shapes: Q tracks of one clip, T samples, F bins, N frames. All values are finite for finite input, silence included.

Example::

    magnitudes = magnitude_spectrogram(tracks)                 # tracks (Q, T) -> (Q, F, N)
    spectral_overlap(magnitudes), softness(magnitudes, magnitude_spectrogram(mixture))
"""

import numpy as np
import scipy
import torch
from torch import Tensor

from pipeline.metrics import si_sdr_db

N_FFT = 1024
HOP_LENGTH = 512
SILENT_FRAME_DB = -50.0  # below the loudest frame of the mixture
LIMIT_DB = 40.0
SILENT_FRAME = 1e-6  # of the mixture's mean power: changes below it are none
TINY_VARIANCE = 1e-6  # of a mask that does not vary
_TINY = 1e-8
_FORBIDDEN = 1e9


def magnitude_spectrogram(waveforms: Tensor) -> Tensor:
    """Waveforms (..., T) to magnitudes (..., F, N)."""
    flat = waveforms.reshape(-1, waveforms.shape[-1])
    if flat.shape[1] <= N_FFT // 2:
        flat = torch.nn.functional.pad(flat, (0, N_FFT))
    window = torch.hann_window(N_FFT, device=waveforms.device)
    spectrum = torch.stft(flat, N_FFT, HOP_LENGTH, window=window, return_complex=True).abs()
    return spectrum.reshape(*waveforms.shape[:-1], *spectrum.shape[-2:])


def agreement_db(answer: Tensor, track: Tensor) -> Tensor:
    """SI-SDR in dB, within ``LIMIT_DB`` either way, of another answer (Q, T) to the same question: (Q,).

    Tracks that a separator is sure of change little when it is asked in another way, of another mixture with the same
    source, or in another round.
    """
    return si_sdr_db(answer, track).clamp(-LIMIT_DB, LIMIT_DB)


def spectral_overlap(tracks: Tensor) -> Tensor:
    """Highest cosine of a track's magnitudes (Q, F, N) with those of another track of the clip: (Q,) in [0, 1].

    0 for a clip with one track. Two tracks that hold the same sound, each with a part of it, are near 1.
    """
    return _highest_cosine(tracks.flatten(1))


def temporal_overlap(tracks: Tensor) -> Tensor:
    """Highest cosine of a track's envelope with that of another track of the clip: (Q, F, N) -> (Q,) in [0, 1]."""
    return _highest_cosine(tracks.square().sum(dim=1).sqrt())


def long_term_overlap(tracks: Tensor) -> Tensor:
    """Highest cosine of a track's mean spectrum with another track's: (Q, F, N) -> (Q,) in [0, 1].

    Near 0 where a mixture was cut into bands; sources share some of their range.
    """
    return _highest_cosine(tracks.square().mean(dim=2).sqrt())


def onset_overlap(tracks: Tensor, mixture: Tensor) -> Tensor:
    """Highest correlation of a track's changes of level with another track's: (Q, F, N), (F, N) -> (Q,) in [0, 1].

    Sources begin and end by themselves; parts of one source do so together.
    """
    floor = SILENT_FRAME * mixture.square().sum(dim=0).mean() + _TINY
    change = torch.log(tracks.square().sum(dim=1) + floor).diff(dim=1)  # (Q, N - 1)
    return _highest_cosine(change - change.mean(dim=1, keepdim=True))


def mask_variation(tracks: Tensor, mixture: Tensor) -> tuple[Tensor, Tensor]:
    """Where a track's mask varies: shares (Q,), in [0, 1], of its variance over time and over frequency.

    The first is the variance within frequency bins, near 0 for bands; the second that within frames, near 0 for parts
    in time. Both are weighted by the energy of the mixture. Shapes: (Q, F, N), (F, N).
    """
    mask = (tracks / (mixture + _TINY)).clamp(max=1.0)
    power = mixture.square() / (mixture.square().sum() + _TINY)

    def variance(within: tuple[int, ...]) -> Tensor:
        weight = power.sum(dim=[dim - 1 for dim in within], keepdim=True)
        mean = (mask * power).sum(dim=within, keepdim=True) / (weight + _TINY)
        return ((mask - mean).square() * power).sum(dim=(1, 2))

    everywhere = variance((1, 2)) + TINY_VARIANCE
    return variance((2,)) / everywhere, variance((1,)) / everywhere


def agreements_db(answers: Tensor, tracks: Tensor) -> Tensor:
    """``agreement_db`` of the answer to every label with every track, (Q, T) each: (Q labels, Q tracks)."""
    count = len(tracks)
    return agreement_db(answers.repeat_interleave(count, dim=0), tracks.repeat(count, 1)).view(count, count)


def label_margin(fit: Tensor) -> Tensor:
    """How much better tracks fit their own label than any other: (Q labels, Q tracks), Q at least 2, to (Q,).

    Negative where another label fits better, as after a swap. In the unit of ``fit``.
    """
    others = fit.masked_fill(torch.eye(len(fit), dtype=torch.bool, device=fit.device), -torch.inf)
    return fit.diagonal() - others.amax(dim=0)


def order_margin(fit: Tensor) -> float:
    """How much better the tracks of a clip fit its labels in this order than in the best other one, per track.

    One number for the clip from (Q labels, Q tracks), Q at least 2. It is surer than a track's own margin, since tracks
    that trade places do so together.
    """
    values = fit.detach().cpu().double().numpy()
    others = []
    for k in range(len(values)):  # whatever the best other order is, some track is not in its place there
        elsewhere = values.copy()
        elsewhere[k, k] = -_FORBIDDEN
        others.append(elsewhere[scipy.optimize.linear_sum_assignment(elsewhere, maximize=True)].sum())
    return float(np.trace(values) - max(others)) / len(values)


def mixture_similarity(tracks: Tensor, mixture: Tensor) -> Tensor:
    """Cosine of a track's magnitudes (Q, F, N) with those of the mixture (F, N): (Q,); 1 is a copy of the mixture."""
    return _cosine(tracks.flatten(1), mixture.flatten().unsqueeze(0))


def softness(tracks: Tensor, mixture: Tensor) -> Tensor:
    """How undecided the separation is: 1 minus the mask, averaged over the track's own energy; (Q,) in [0, 1].

    Near 0 where the track takes bins as a whole, 0.5 where it takes half of everything. The mask is the ratio of
    magnitudes (Q, F, N) and (F, N), at most 1.
    """
    mask = (tracks / (mixture + _TINY)).clamp(max=1.0)
    power = tracks.square()
    return ((1 - mask) * power).sum(dim=(1, 2)) / (power.sum(dim=(1, 2)) + _TINY)


def silence_share(tracks: Tensor, mixture: Tensor) -> Tensor:
    """Share of a track's frames (Q, F, N) that are ``SILENT_FRAME_DB`` below the mixture's loudest: (Q,) in [0, 1]."""
    loudest = mixture.square().sum(dim=0).amax() + _TINY
    quiet = tracks.square().sum(dim=1) < loudest * 10 ** (SILENT_FRAME_DB / 10)
    return quiet.float().mean(dim=1)


def residual_correlation(tracks: Tensor, mixture: Tensor) -> Tensor:
    """Correlation of tracks (Q, T) with what is left of the mixture (T,) without them: (Q,) in [-1, 1].

    Independent sources are uncorrelated; a track that holds a scaled copy of its residual is not one.
    """
    return _cosine(tracks, mixture.unsqueeze(0) - tracks)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=-1) / (a.norm(dim=-1) * b.norm(dim=-1) + _TINY)


def _highest_cosine(rows: Tensor) -> Tensor:
    """For every row (Q, N), the highest cosine with another row; 0 when it is alone."""
    unit = rows / (rows.norm(dim=1, keepdim=True) + _TINY)
    cosines = unit @ unit.T
    cosines.fill_diagonal_(0.0)
    return cosines.amax(dim=1)
