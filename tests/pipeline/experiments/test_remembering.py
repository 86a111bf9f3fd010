"""An encoder with a memory gives what the plain one gives, and computes it once."""

import pytest
import torch

from models.checkpoints import load_clap
from models.query_encoders import TinyClapEncoder
from pipeline.experiments.remembering import RememberingEncoder


@pytest.fixture
def encoder():
    return RememberingEncoder(load_clap("embedded"))


@pytest.fixture(scope="module")
def sounds():
    return torch.randn(3, 32_000, generator=torch.Generator().manual_seed(0))


def test_it_gives_what_the_plain_encoder_gives(encoder, sounds):
    plain = TinyClapEncoder(encoder.clap).embed_audio(sounds)
    torch.testing.assert_close(encoder.embed_audio(sounds), plain)
    torch.testing.assert_close(encoder.embed_audio(sounds[[2, 0]]), plain[[2, 0]])


def test_a_sound_is_computed_once(encoder, sounds):
    computed = []
    hook = encoder.clap.audio.register_forward_hook(lambda module, given, made: computed.append(len(given[0])))
    encoder.embed_audio(sounds[:2])
    encoder.embed_audio(sounds)
    encoder.embed_audio(sounds)
    hook.remove()
    assert computed == [2, 1]


def test_a_changed_spectrogram_is_neither_remembered_nor_taken_from_memory(encoder, sounds):
    before = encoder.embed_audio(sounds)
    with encoder.changing_spectrograms(torch.zeros_like):
        changed = encoder.embed_audio(sounds)
    assert not torch.allclose(changed, before, atol=1e-3)
    assert torch.equal(encoder.embed_audio(sounds), before)
