"""Texts of any kind become vectors; spelling carries over to words never seen."""

import zlib

import pytest
import torch
import torch.nn.functional as F

from data_specs.config import TextEncoderConfig
from models.text import NGRAMS_MAX, TextEncoder, ngram_ids, words_of


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(TextEncoderConfig(), embedding_dim=32).eval()


def test_words_that_say_nothing_are_left_out_unless_nothing_is_left():
    assert words_of("The sound of a Dog, barking!") == ["dog", "barking"]
    assert words_of("the sound") == ["the", "sound"]


def test_ids_are_the_same_in_every_process_and_never_padding():
    assert ngram_ids("bark", 4096)[0] == zlib.crc32(b"<bark>") % 4096 + 1
    assert all(0 < i <= 4096 for i in ngram_ids("bark", 4096))
    assert len(ngram_ids("x" * 500, 4096)) == NGRAMS_MAX


@torch.no_grad()
def test_a_text_gives_the_same_vector_in_any_batch(encoder):
    alone = encoder(["rain"])
    padded = encoder(["rain", "a very long text about many dogs that bark at night in the rain"])
    torch.testing.assert_close(alone[0], padded[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_related_spellings_are_closer_than_others(encoder):
    dog, dogs, rain = F.normalize(encoder(["barking", "barkings", "helicopter"]), dim=-1)
    assert dog @ dogs > dog @ rain


@pytest.mark.parametrize("text", ["", "   ", "?!"])
def test_a_text_without_words_is_refused(encoder, text):
    with pytest.raises(ValueError, match="holds no word"):
        encoder([text])


@pytest.mark.parametrize("text", ["chien qui aboie", "Собака лает", "雨", "x" * 10_000, "a b " * 500])
@torch.no_grad()
def test_any_other_text_works(encoder, text):
    assert encoder([text]).isfinite().all()
