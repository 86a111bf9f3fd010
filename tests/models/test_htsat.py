"""Our HTSAT is the published one: with the same weights it gives the same features, stage by stage."""

from types import SimpleNamespace

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


def test_stages_equal_the_reference_implementation():
    from laion_clap.clap_module import htsat

    config = HTSATConfig(
        sample_rate_hz=48_000,
        hop_length=480,
        spec_size=256,
        width=16,
        depths=(2, 2, 2, 2),
        heads=(4, 8, 16, 32),
    )
    audio = SimpleNamespace(window_size=1024, hop_size=480, sample_rate=48_000, mel_bins=64, fmin=50, fmax=14_000)
    audio.class_num, audio.enable_fusion, audio.fusion_type = 527, False, "None"
    reference = htsat.HTSAT_Swin_Transformer(
        spec_size=256, patch_size=4, embed_dim=16, depths=[2, 2, 2, 2], num_heads=[4, 8, 16, 32], config=audio
    ).eval()
    ours = HTSAT(config, input_rate_hz=48_000).eval()
    weights = reference.state_dict()
    ours.load_state_dict({name: weights[name] for name in ours.state_dict()})

    seen: list[torch.Tensor] = []
    reference.patch_embed.register_forward_hook(lambda _module, _input, output: seen.append(output))
    for layer in reference.layers:
        layer.register_forward_hook(lambda _module, _input, output: seen.append(output[0]))
    waveform = 0.1 * torch.randn(1, 480 * 1024 - 480)  # exactly the frames of one window
    with torch.no_grad():
        embedding = reference({"waveform": waveform}, device="cpu")["embedding"]
        features = ours(waveform)
    for own, theirs in zip(features, seen, strict=True):
        assert (own - theirs).norm() / theirs.norm() < 1e-4
    assert (ours.pool(features) - embedding).norm() / embedding.norm() < 1e-4
