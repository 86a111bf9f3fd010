"""Queries from words: two halves side by side, as one vector or as one row per token, padded with zeros."""

import pytest
import torch

from data_specs.errors import UserError
from models.queries import Query, embed_queries, query, query_tokens
from models.query_encoders import load_query_encoder


@pytest.fixture(scope="module")
def encoder():
    return load_query_encoder("embedded")


def test_tokens_of_each_half_have_the_direction_of_its_vector(encoder):
    tokens = query_tokens(encoder, "a dog barking", ["Rain", "Tick-tock"])
    vector = query(encoder, "a dog barking", ["Rain"])
    assert tokens.shape == (2 + 1 + 2, 2 * encoder.dim)
    positive, negative = tokens[:2, : encoder.dim], tokens[2:3, encoder.dim :]
    assert (tokens[:2, encoder.dim :] == 0).all()
    assert (tokens[2:, : encoder.dim] == 0).all()
    for mean, half in ((positive.mean(0), vector[: encoder.dim]), (negative.mean(0), vector[encoder.dim :])):
        torch.testing.assert_close(mean / mean.norm(), half, atol=1e-5, rtol=1e-4)


def test_queries_of_a_batch_are_padded_with_absent_ones(encoder):
    asked = [[Query("Bark"), Query(None, ("Rain",)), Query("a dog barking far away", ("Rain",))], [Query("Rain")]]
    vectors, tokens = embed_queries(encoder, asked), embed_queries(encoder, asked, tokens=True)
    assert vectors.shape == (2, 3, 2 * encoder.dim)
    assert tokens.shape == (2, 3, 5, 2 * encoder.dim)
    assert (vectors[1, 1:] == 0).all()
    assert (tokens[1, 1:] == 0).all()
    torch.testing.assert_close(tokens[0, 0, 0], query_tokens(encoder, "Bark", [])[0])


def test_a_query_without_any_text_is_one_row_of_zeros(encoder):
    assert query_tokens(encoder, None, []).shape == (1, 2 * encoder.dim)
    assert (query_tokens(encoder, None, []) == 0).all()


@pytest.mark.parametrize("tokens", [False, True])
def test_a_text_without_words_is_refused_and_an_unknown_one_is_not(encoder, tokens):
    with pytest.raises(ValueError, match="holds no word"):
        embed_queries(encoder, [[Query(" - ")]], tokens=tokens)
    assert embed_queries(encoder, [[Query("xylqz")]], tokens=tokens).isfinite().all()


def test_an_encoder_of_whole_texts_cannot_serve_tokens():
    class WholeTexts:
        dim = 4

        def embed_text(self, texts):
            return torch.ones(len(texts), 4)

        def embed_audio(self, waveforms):
            return torch.ones(len(waveforms), 4)

    with pytest.raises(UserError, match="attends to single words"):
        embed_queries(WholeTexts(), [[Query("Bark")]], tokens=True)
