"""One mask for all channels of a recording, so that its tracks keep the stereo image.

A separator hears one channel. Separated by themselves, the channels of a track would get different masks, and a sound
would wander between the loudspeakers. Here every time-frequency bin of a track gets one gain for all channels, the one
nearest to the separate estimates in the least-squares sense, so that levels and phases between the channels stay what
they are in the recording. Sound that is in opposite phase on two channels is heard too, unlike in a downmix.

Shapes: C channels, Q tracks, T samples.

Example::

    tracks = share_mask(mixture, estimates)       # (C, T) and (C, Q, T) -> (C, Q, T)
"""

import torch
from torch import Tensor

N_FFT = 2048
HOP_LENGTH = 512
FLOOR = 1e-12


def share_mask(mixture: Tensor, estimates: Tensor) -> Tensor:
    """Tracks (C, Q, T) from a mixture (C, T) and what was separated from each of its channels (C, Q, T).

    The gain of a bin minimises ``sum_c |S_c - g X_c|^2`` over the real ``g`` in [0, 1], with the spectra X of the
    mixture and S of the estimates.
    """
    if len(mixture) == 1:
        return estimates
    spectrum = _stft(mixture).unsqueeze(1)  # (C, 1, F, N)
    shared = (_stft(estimates.flatten(0, 1)).unflatten(0, estimates.shape[:2]) * spectrum.conj()).real.sum(dim=0)
    gain = (shared / spectrum.abs().square().sum(dim=0).clamp(min=FLOOR)).clamp(0, 1)  # (Q, F, N)
    masked = (gain * spectrum).flatten(0, 1)  # (C * Q, F, N)
    return _inverse(masked, length=mixture.shape[-1]).unflatten(0, estimates.shape[:2])


def _stft(waveforms: Tensor) -> Tensor:
    return torch.stft(
        waveforms, N_FFT, HOP_LENGTH, window=torch.hann_window(N_FFT), pad_mode="constant", return_complex=True
    )


def _inverse(spectrum: Tensor, length: int) -> Tensor:
    return torch.istft(spectrum, N_FFT, HOP_LENGTH, window=torch.hann_window(N_FFT), length=length)
