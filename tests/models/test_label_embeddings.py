"""Vectors of the labels: computed once per checkpoint, and enough for everything that asks for labels only."""

import pickle

import pytest
import torch

from data_specs.config import ClapConfig
from data_specs.errors import UserError
from data_specs.labels import label_table
from models import label_embeddings as module
from models.checkpoints import save_clap
from models.clap import TinyClap
from models.label_embeddings import label_embeddings
from models.query_encoders import TokenEncoder, load_query_encoder
from pipeline.storage import Storage


@pytest.fixture
def store(tmp_path):
    return Storage(tmp_path / "label_embeddings")


@pytest.fixture
def no_encoder(monkeypatch):
    """From its call on, no query encoder can be loaded."""

    def forbid() -> None:
        monkeypatch.setattr(module, "load_query_encoder", lambda clap: pytest.fail(f"loaded {clap}"))

    return forbid


def test_labels_have_the_encoders_vectors_and_the_second_use_computes_nothing(store, no_encoder):
    labels = ["Bark", "Rain", "Bark"]
    first = label_embeddings("embedded", store)
    assert first.vectors.shape == (len(label_table()), first.dim)
    torch.testing.assert_close(first.embed_text(labels), load_query_encoder("embedded").embed_text(labels))
    no_encoder()
    again = label_embeddings("embedded", store)
    assert torch.equal(again.embed_text(labels), first.embed_text(labels))
    assert (again.key, len(store.files())) == (first.key, 1)


def test_another_checkpoint_has_vectors_of_its_own(store, tmp_path):
    for seed, name in enumerate(("one", "other", "copy of one")):
        torch.manual_seed(seed % 2)
        save_clap(TinyClap(ClapConfig()), tmp_path / name)
    one, other, copy = (label_embeddings(str(tmp_path / name), store) for name in ("one", "other", "copy of one"))
    assert not torch.equal(one.vectors, other.vectors)
    assert one.key == copy.key != other.key
    assert len(store.files()) == 2


def test_what_travels_to_a_worker_answers_without_an_encoder(store, no_encoder):
    labels = label_embeddings("embedded", store)
    labels.embed_text(["a dog on a boat"])  # the encoder that this needs stays here
    no_encoder()
    content = pickle.dumps(labels)
    assert len(content) < 2_000_000
    assert torch.equal(pickle.loads(content).embed_text(["Rain"]), labels.embed_text(["Rain"]))


def test_whatever_is_no_label_goes_to_the_encoder(store):
    labels, encoder = label_embeddings("embedded", store), load_query_encoder("embedded")
    texts, waveforms = ["Rain", "a dog on a boat"], torch.randn(1, 32_000)
    torch.testing.assert_close(labels.embed_text(texts), encoder.embed_text(texts))
    torch.testing.assert_close(labels.embed_audio(waveforms), encoder.embed_audio(waveforms))
    assert isinstance(labels, TokenEncoder)
    torch.testing.assert_close(labels.embed_tokens(texts), encoder.embed_tokens(texts))
    with pytest.raises(ValueError, match="no word"):
        labels.embed_text([" "])


def test_laion_clap_knows_whole_texts_only(laion_clap, own_cache, store):
    labels = label_embeddings(str(laion_clap.path), store)
    encoder = load_query_encoder(str(laion_clap.path))
    torch.testing.assert_close(labels.embed_text(["Bark"]), encoder.embed_text(["Bark"]), atol=1e-6, rtol=1e-5)
    with pytest.raises(UserError, match="gives no vectors of single words"):
        labels.embed_tokens(["Bark"])
