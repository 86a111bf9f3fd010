"""Sounds as queries: what mixup and SpecAugment do before and inside the encoder, and what PCA leaves of its space."""

import pytest
import torch

from data_specs.errors import UserError
from data_specs.labels import label_table
from data_specs.objectives import ManipulationConfig
from models.audio_embedding import embed_sounds
from models.query_encoders import load_query_encoder
from models.query_space import PCA_DIMS, in_query_space

PLAIN = ManipulationConfig(kind="none")


@pytest.fixture(scope="module")
def encoder():
    return load_query_encoder("embedded")


@pytest.fixture(scope="module")
def sounds():
    return torch.randn(3, 64_000, generator=torch.Generator().manual_seed(0))


def test_without_manipulation_a_query_is_the_encoders_embedding(encoder, sounds):
    torch.testing.assert_close(embed_sounds(encoder, sounds, PLAIN, torch.Generator()), encoder.embed_audio(sounds))


def test_silence_is_an_absent_query(encoder, sounds):
    embedded = embed_sounds(encoder, torch.stack([sounds[0], torch.zeros(64_000)]), PLAIN, torch.Generator())
    assert embedded[0].norm() == pytest.approx(1, abs=1e-4)
    assert (embedded[1] == 0).all()


@pytest.mark.parametrize("kind", ["mixup", "spec_augment"])
def test_a_manipulated_sound_stays_close_to_itself_and_leaves_the_encoder_as_it_was(encoder, sounds, kind):
    plain = encoder.embed_audio(sounds)
    generator = torch.Generator().manual_seed(0)
    changed = embed_sounds(encoder, sounds, ManipulationConfig(kind=kind), generator, mixed_in=sounds.roll(1, 0))
    cosine = torch.nn.functional.cosine_similarity(changed, plain)
    assert ((cosine < 1 - 1e-5) & (cosine > 0)).all()
    torch.testing.assert_close(encoder.embed_audio(sounds), plain, rtol=0, atol=0)


def test_masks_of_spec_augment_are_zeros_in_the_normalised_spectrogram(encoder, sounds):
    seen = []
    hook = encoder.clap.audio.patch_embed.register_forward_hook(lambda m, inputs, output: seen.append(inputs[0]))
    config = ManipulationConfig(kind="spec_augment", masks=1, mask_frames=64, mask_bins=2)
    for seed in range(4):
        embed_sounds(encoder, sounds, config, torch.Generator().manual_seed(seed))
    hook.remove()
    folded = torch.cat(seen)  # (12, 1, 128, 128): 256 frames of 64 bins
    share = (folded == 0).float().mean(dim=(1, 2, 3))
    assert share.max() > 0.02
    assert share.max() < 64 / 256 + 2 / 64


def test_an_encoder_without_spectrogram_refuses_spec_augment(sounds):
    class Other:
        dim = 4

        def embed_text(self, texts):
            return torch.ones(len(texts), 4)

        def embed_audio(self, waveforms):
            return torch.ones(len(waveforms), 4)

    with pytest.raises(UserError, match="choose another manipulation"):
        embed_sounds(Other(), sounds, ManipulationConfig(kind="spec_augment"), torch.Generator())


@pytest.mark.parametrize("projection", ["pca", "pca_inverse"])
def test_a_projected_space_has_few_dimensions_for_text_and_for_audio(encoder, sounds, projection):
    projected = in_query_space(encoder, projection)
    text = projected.embed_text(list(label_table().names))
    both = torch.cat([text, projected.embed_audio(sounds)])
    assert both.shape[1] == projected.dim == encoder.dim
    assert torch.linalg.matrix_rank(both - text.mean(dim=0), atol=1e-3) <= PCA_DIMS
    if projection == "pca_inverse":
        cosine = torch.nn.functional.cosine_similarity(text, encoder.embed_text(list(label_table().names)))
        assert cosine.mean() > 0.8


def test_without_projection_the_encoder_is_what_it_is(encoder):
    assert in_query_space(encoder, "none") is encoder
