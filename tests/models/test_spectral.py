"""Spectrograms agree with their inverse and with the reference implementation that published weights were made with."""

import pytest
import torch

from models.spectral import STFT, LogMel


@pytest.mark.parametrize("length", [1024, 32_000, 163_840])
def test_inverse_gives_the_waveform_back(length):
    waveform = torch.randn(2, 3, length)
    stft = STFT(1024, 320)
    spectrum = stft(waveform)
    assert spectrum.shape == (2, 3, length // 320 + 1, 513)
    torch.testing.assert_close(stft.inverse(spectrum, length), waveform, atol=1e-5, rtol=1e-5)


def test_log_mel_equals_torchlibrosa():
    from torchlibrosa.stft import LogmelFilterBank, Spectrogram

    options = {"n_fft": 1024, "hop_length": 480}
    waveform = 0.1 * torch.randn(2, 48_000)
    reference = LogmelFilterBank(sr=48_000, n_fft=1024, n_mels=64, fmin=50, fmax=14_000, amin=1e-10, top_db=None)(
        Spectrogram(**options, win_length=1024, freeze_parameters=True)(waveform)
    )
    ours = LogMel(sample_rate_hz=48_000, **options, mel_bins=64, f_min_hz=50, f_max_hz=14_000)(waveform)
    torch.testing.assert_close(ours, reference.squeeze(1), atol=2e-3, rtol=1e-4)


def test_missing_frames_are_silence_and_surplus_frames_are_cut():
    logmel = LogMel(sample_rate_hz=32_000, n_fft=1024, hop_length=640, mel_bins=64, f_min_hz=50, f_max_hz=14_000)
    padded = logmel(torch.randn(1, 6_400), frames=64)
    assert padded.shape == (1, 64, 64)
    assert (padded[:, 11:] == -100).all()
    assert logmel(torch.randn(1, 64_000), frames=64).shape == (1, 64, 64)
