"""Spectrograms: the linear one that is masked, and the log-mel one that HTSAT sees.

Shapes: B batch, T samples, N frames, F linear bins, M mel bins.

Example::

    stft = STFT(n_fft=1024, hop_length=320)
    spectrum = stft(mixture)                          # (B, N, F) complex
    waveform = stft.inverse(mask * spectrum, length=mixture.shape[-1])
"""

import math

import torch
import torchaudio.functional as AF
from torch import Tensor, nn


class STFT(nn.Module):
    """Short-time Fourier transform with a periodic Hann window, centred, reflection-padded (eq. 3 and 4)."""

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int):
        super().__init__()
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (..., T) to complex spectrum (..., N, F) with ``N = T // hop_length + 1``."""
        flat = waveform.reshape(-1, waveform.shape[-1])
        spectrum = torch.stft(
            flat, self.n_fft, self.hop_length, window=self.window, center=True, pad_mode="reflect", return_complex=True
        )
        return spectrum.transpose(1, 2).reshape(*waveform.shape[:-1], -1, self.n_fft // 2 + 1)

    def inverse(self, spectrum: Tensor, length: int) -> Tensor:
        """Complex spectrum (..., N, F) to waveform (..., length)."""
        flat = spectrum.reshape(-1, *spectrum.shape[-2:]).transpose(1, 2)
        waveform = torch.istft(flat, self.n_fft, self.hop_length, window=self.window, center=True, length=length)
        return waveform.reshape(*spectrum.shape[:-2], length)


class LogMel(nn.Module):
    """Log-mel spectrogram in dB of power, with Slaney mel filters, as LAION-CLAP computes it."""

    filters: Tensor
    floor = 1e-10  # power that counts as silence: -100 dB

    def __init__(
        self, *, sample_rate_hz: int, n_fft: int, hop_length: int, mel_bins: int, f_min_hz: float, f_max_hz: float
    ):
        super().__init__()
        self.stft = STFT(n_fft, hop_length)
        filters = AF.melscale_fbanks(
            n_fft // 2 + 1, f_min_hz, f_max_hz, mel_bins, sample_rate_hz, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveform: Tensor, frames: int | None = None) -> Tensor:
        """Waveform (B, T) to dB (B, N, M). With ``frames``, silence is appended, or the end cut, to that many."""
        power = torch.view_as_real(self.stft(waveform)).square().sum(dim=-1)  # (B, N, F)
        if frames is not None:
            power = nn.functional.pad(power, (0, 0, 0, frames - power.shape[1]))
        return 10 * torch.log10((power @ self.filters).clamp(min=self.floor))


def mel_interpolation(*, sample_rate_hz: int, n_fft: int, mel_bins: int, f_min_hz: float, f_max_hz: float) -> Tensor:
    """Weights (F, M) that interpolate mel bins to linear bins: each row sums to 1, the ends are held."""

    def mel(hz: Tensor) -> Tensor:  # Slaney: linear below 1 kHz, logarithmic above
        return torch.where(hz < 1000, hz * 3 / 200, 15 + torch.log(hz.clamp(min=1000) / 1000) * 27 / math.log(6.4))

    edges = mel(torch.tensor([f_min_hz, f_max_hz]))
    position = mel(torch.linspace(0, sample_rate_hz / 2, n_fft // 2 + 1))
    # Mel bin m has its centre at the (m + 1)-th of mel_bins + 2 equidistant points.
    index = ((position - edges[0]) / (edges[1] - edges[0]) * (mel_bins + 1) - 1).clamp(0, mel_bins - 1)
    return (1 - (index[:, None] - torch.arange(mel_bins)).abs()).clamp(min=0)
