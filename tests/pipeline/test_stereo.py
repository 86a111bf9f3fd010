"""One mask for all channels."""

import math

import torch

from pipeline.stereo import share_mask

RATE_HZ = 32_000


def tone(hz: float) -> torch.Tensor:
    return torch.sin(2 * math.pi * hz * torch.arange(RATE_HZ) / RATE_HZ)


def test_a_track_keeps_the_levels_and_phases_between_the_channels():
    left, right = tone(300), tone(2_000)
    mixture = torch.stack([0.8 * left + 0.1 * right, -0.2 * left + 0.7 * right])  # left's image: 0.8 and -0.2
    estimates = torch.stack([torch.stack([0.8 * left, 0.1 * right]), torch.stack([0.0 * left, 0.7 * right])])
    tracks = share_mask(mixture, estimates)[..., 4_000:-4_000]
    assert torch.allclose(tracks[0, 0] / -4, tracks[1, 0], atol=2e-3), "the missed channel follows the other one"
    assert torch.allclose(tracks[0, 0], 0.8 * 0.941 * left[4_000:-4_000], atol=2e-2)  # 0.8² / (0.8² + 0.2²)
    assert torch.allclose(tracks[:, 1], mixture[:, 4_000:-4_000] - _only(left)[:, 4_000:-4_000], atol=1e-2)


def _only(left: torch.Tensor) -> torch.Tensor:
    return torch.stack([0.8 * left, -0.2 * left])


def test_sound_in_opposite_phase_is_not_lost():
    sound = tone(500)
    mixture = torch.stack([sound, -sound])
    tracks = share_mask(mixture, mixture.unsqueeze(1))
    assert torch.allclose(tracks[:, 0], mixture, atol=1e-4)


def test_one_channel_stays_what_the_separator_gave():
    estimates = torch.randn(1, 2, 500)
    assert share_mask(torch.randn(1, 500), estimates) is estimates


def test_silence_and_very_short_sounds_have_finite_tracks():
    for length in (1, 700):
        tracks = share_mask(torch.zeros(2, length), torch.zeros(2, 3, length))
        assert tracks.shape == (2, 3, length)
        assert tracks.isfinite().all()
