"""Shapes of the encoder's features; that they are the published ones is tested in ``test_published``."""

import torch

from data_specs.config import HTSATConfig
from models.htsat import HTSAT, fold, unfold


def test_unfold_is_the_inverse_of_fold():
    spectrogram = torch.randn(2, 256, 64)
    image = fold(spectrogram, 2)
    assert image.shape == (2, 1, 128, 128)
    torch.testing.assert_close(image[0, 0, :64, :], spectrogram[0, :128].T)
    torch.testing.assert_close(unfold(image, 2), spectrogram)


def test_features_halve_the_grid_and_double_the_width():
    encoder = HTSAT(HTSATConfig(), input_rate_hz=32_000).eval()
    features = encoder(torch.randn(2, 100_000))
    assert [tuple(feature.shape) for feature in features] == [
        (2, 1024, 24),
        (2, 256, 48),
        (2, 64, 96),
        (2, 16, 192),
        (2, 16, 192),
    ]
    assert [feature.shape[-1] for feature in features] == encoder.feature_dims
    assert encoder.pool(features).shape == (2, 192)
