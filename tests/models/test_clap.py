"""Tiny CLAP, the query encoder and the tagger on it: unit vectors, any length, scores in order."""

import pytest
import torch

from data_specs.config import ClapConfig
from data_specs.labels import label_table
from models.clap import TinyClap
from models.query_encoders import TinyClapEncoder
from models.taggers import ClapTagger


@pytest.fixture(scope="module")
def clap() -> TinyClap:
    torch.manual_seed(0)
    return TinyClap(ClapConfig()).eval()


@torch.no_grad()
def test_audio_and_text_become_unit_vectors_in_one_space(clap):
    audio, text = clap.embed_audio(torch.randn(2, 50_000)), clap.embed_text(["rain", "dog barking"])
    assert audio.shape == text.shape == (2, 128)
    torch.testing.assert_close(audio.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(text.norm(dim=-1), torch.ones(2))
    assert clap.logits(audio, text).shape == (2, 2)


@torch.no_grad()
def test_level_does_not_change_what_is_heard(clap):
    waveform = 0.1 * torch.randn(1, 160_000)
    torch.testing.assert_close(clap.embed_audio(waveform), clap.embed_audio(5 * waveform), atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_long_audio_is_heard_window_by_window(clap):
    waveform = torch.randn(1, 3 * clap.window_length)
    windows = clap.embed_windows(waveform)
    assert windows.shape == (1, 3, 128)
    alone = clap.embed_windows(waveform[:, clap.window_length : 2 * clap.window_length])
    torch.testing.assert_close(windows[:, 1:2], alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_sound_that_is_shorter_than_a_window_is_heard_as_if_it_went_on(clap):
    short = torch.randn(2, 40_000)
    full = short.repeat(1, 5)[:, : clap.window_length]
    torch.testing.assert_close(clap.embed_audio(short), clap.embed_audio(full))


@torch.no_grad()
def test_silence_and_single_samples_are_heard_without_a_nan(clap):
    for waveform in (torch.zeros(1, 1000), torch.ones(1, 1)):
        assert clap.embed_audio(waveform).isfinite().all()


def test_the_encoder_gives_the_same_vector_again_without_computing_it(clap):
    encoder = TinyClapEncoder(clap)
    first = encoder.embed_text(["rain", "bark", "rain"])
    assert encoder.dim == 128
    assert torch.equal(first[0], first[2])
    assert torch.equal(encoder.embed_text(["bark"])[0], first[1])


def test_the_tagger_scores_every_label_of_the_table_and_takes_the_best_window(clap):
    tagger = ClapTagger(clap)
    waveform = torch.randn(1, 2 * clap.window_length)
    scores = tagger.scores(waveform)
    assert scores.shape == (1, len(label_table().names)) == (1, 527)
    assert ((scores >= 0) & (scores <= 1)).all()
    halves = torch.stack([tagger.scores(half)[0] for half in waveform.split(clap.window_length, dim=1)])
    torch.testing.assert_close(scores[0], halves.amax(dim=0), atol=1e-5, rtol=1e-4)
