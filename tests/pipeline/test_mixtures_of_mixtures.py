"""Samples for weak supervision: unrelated clips, every clip and every label asked for, equal texts recognised."""

import numpy as np
import pytest
import torch

from data_specs.config import TrainConfig
from data_specs.errors import UserError
from models.query_encoders import load_query_encoder
from pipeline.mixtures_of_mixtures import WeakSampler, collate_weak, in_one_text
from tests.pipeline.sounds import TonePool

LENGTH = 4_000
LABELS = [("Bark", "Rain"), ("Siren",), ("Rain",), ("Dog",), ("Chime", "Siren", "Rain")]


@pytest.fixture(scope="module")
def encoder():
    return load_query_encoder("embedded")


@pytest.fixture
def sampler():
    return WeakSampler(TonePool(LABELS), TrainConfig(), length=LENGTH, seed=0)


def test_clips_of_one_mixture_have_unrelated_labels(sampler):
    for _ in range(30):
        sample = sampler.draw()
        asked = [query.positive for query, owner in zip(sample.queries, sample.owner, strict=True) if owner >= 0]
        assert len(set(asked)) == len(asked)
        assert not {"Bark", "Dog"} <= set(asked)  # a bark is a dog's


def test_every_clip_and_every_label_is_asked_for(sampler):
    for _ in range(20):
        sample = sampler.draw()
        assert sample.clips.shape == (2, LENGTH)
        wholes, sources = sample.queries[:2], sample.queries[2:]
        assert sample.owner[:2] == (-1, -1)
        own = [[q.positive for q, o in zip(sources, sample.owner[2:], strict=True) if o == s] for s in range(2)]
        assert [query.positive for query in wholes] == [in_one_text(labels) for labels in own]
        every = {label for labels in own for label in labels}
        for query in sources:
            assert query.negatives in ((), tuple(label for label in (*own[0], *own[1]) if label != query.positive))
        for query, labels in zip(wholes, own, strict=True):
            assert set(query.negatives) in (set(), every - set(labels))


def test_of_some_clips_only_the_whole_is_asked_for():
    config = TrainConfig(weak={"mixtures": 2, "asked": 1})
    sampler = WeakSampler(TonePool(LABELS), config, length=LENGTH, seed=0)
    places = set()
    for _ in range(20):
        sample = sampler.draw()
        (place,) = set(sample.owner[2:])
        places.add(place)
        own = [query.positive for query in sample.queries[2:]]
        assert sample.queries[place].positive == in_one_text(own)
        assert set(own) < set(sample.texts)
    assert places == {0, 1}


def test_what_is_not_asked_for_is_there_to_be_told_apart_from(encoder):
    config = TrainConfig(weak={"mixtures": 2, "asked": 1})
    sample = WeakSampler(TonePool(LABELS), config, length=LENGTH, seed=0).draw()
    batch = collate_weak([sample], encoder, encoder)
    torch.testing.assert_close(batch.text_embeddings, encoder.embed_text(list(sample.texts)))
    asked = {int(number) for number in batch.text[0] if number >= 0}
    assert asked < set(range(len(sample.texts)))


def test_some_queries_have_negatives_and_some_have_not(sampler):
    queries = [query for _ in range(50) for query in sampler.draw().queries]
    share = np.mean([not query.negatives for query in queries])
    assert share == pytest.approx(0.25 / 0.75, abs=0.1)


def test_the_same_seed_draws_the_same_samples():
    one, same, other = (
        WeakSampler(TonePool(LABELS), TrainConfig(), length=LENGTH, seed=seed).draw() for seed in (0, 0, 3)
    )
    np.testing.assert_array_equal(one.clips, same.clips)
    assert one.queries == same.queries
    assert one.queries != other.queries or not np.array_equal(one.clips, other.clips)


def test_clips_that_are_silent_are_left_out():
    sampler = WeakSampler(TonePool(LABELS, silent=[0, 2, 3]), TrainConfig(), length=LENGTH, seed=0)
    with pytest.raises(UserError, match="no 2 sounding clips of unrelated labels"):
        sampler.draw()  # what is left shares a label
    with pytest.raises(ValueError, match="2 labelled clips or more, got 1"):
        WeakSampler(TonePool(LABELS[:1]), TrainConfig(), length=LENGTH, seed=0)


def test_a_batch_has_padding_and_numbers_equal_texts(encoder, sampler):
    samples = [sampler.draw() for _ in range(6)]
    batch = collate_weak(samples, encoder, encoder)
    most = max(len(sample.queries) for sample in samples)
    assert batch.clips.shape == (6, 2, LENGTH)
    assert batch.queries.shape == (6, most, 2 * encoder.dim)
    assert batch.owner.shape == batch.text.shape == (6, most)
    assert ((batch.text >= 0) == (batch.owner >= 0)).all()
    texts: dict[int, set] = {}
    for row, sample in enumerate(samples):
        for column, query in enumerate(sample.queries):
            if batch.text[row, column] >= 0:
                number = int(batch.text[row, column])
                texts.setdefault(number, set()).add(query.positive)
                torch.testing.assert_close(batch.text_embeddings[number], encoder.embed_text([query.positive])[0])
        assert (batch.owner[row, len(sample.queries) :] == -1).all()
        assert (batch.queries[row, len(sample.queries) :] == 0).all()
    assert all(len(own) == 1 for own in texts.values())
    assert len(texts) == len(set().union(*texts.values()))


def test_several_labels_are_said_in_one_text():
    assert in_one_text(["Bark"]) == "Bark"
    assert in_one_text(["Bark", "Rain"]) == "Bark and Rain"
    assert in_one_text(["Bark", "Rain", "Siren"]) == "Bark, Rain and Siren"


def test_any_words_serve_and_the_same_words_do_not_meet(encoder):
    captions = [("a dog barks", "xyzzy"), ("A Dog Barks",), ("rain falls",), ("Rain",)]
    sampler = WeakSampler(TonePool(captions), TrainConfig(), length=LENGTH, seed=0)
    samples = [sampler.draw() for _ in range(30)]
    for sample in samples:
        words = [text.casefold() for text in sample.texts]
        assert len(set(words)) == len(words)
    assert {text for sample in samples for text in sample.texts} == {text for own in captions for text in own}
    batch = collate_weak(samples, encoder, encoder)
    assert batch.queries.isfinite().all()
    assert batch.text_embeddings.isfinite().all()
