"""The vectors of all labels, computed once and kept: workers separate and train without a text encoder in memory.

A round asks for nothing but AudioSet's 527 labels. Their vectors are kept in a store (a workspace's folder) under the
hash of everything they depend on: the query encoder's files, how it says a label, and the label table. They travel to
workers as one megabyte.

Example::

    encoder = label_embeddings("laion-clap", workspace.storage.child("label_embeddings"))
    encoder.embed_text(["Bark"])                # (1, 512), from the store
    encoder.embed_text(["rain on a roof"])      # loads LAION-CLAP for it
"""

from functools import cached_property
from typing import Protocol

import torch
from safetensors.torch import load, save
from torch import Tensor

from data_specs.errors import UserError
from data_specs.labels import label_table
from data_specs.records import content_id
from models.query_encoders import QueryEncoder, TokenEncoder, load_query_encoder, query_encoder_id


class Store(Protocol):
    """A folder of files; ``pipeline.storage.Storage`` is one."""

    def is_file(self, name: str) -> bool:
        """Whether it is there."""

    def read_bytes(self, name: str) -> bytes:
        """Its content."""

    def write_bytes(self, name: str, data: bytes) -> None:
        """Publish it."""


class LabelEmbeddings:
    """A query encoder that has the vectors of all labels at hand, and loads the real one for anything else.

    Args:
        vectors: unit vectors of the labels, (527, D), on the CPU.
        clap: the real one, as ``model.clap`` names it.
        key: hash of what the vectors depend on.
    """

    def __init__(self, vectors: Tensor, clap: str, key: str):
        self.vectors, self.clap, self.key = vectors, clap, key
        self.dim = vectors.shape[1]

    def __reduce__(self):
        return LabelEmbeddings, (self.vectors, self.clap, self.key)

    def embed_text(self, texts: list[str]) -> Tensor:
        """Texts to unit vectors (N, D), on torch's default device.

        Raises:
            ValueError: when a text is no label and holds no word.
        """
        table = label_table()
        if not all(text in table for text in texts):
            return self.real.embed_text(texts).to(torch.get_default_device())
        return self.vectors[[table.index(text) for text in texts]].to(torch.get_default_device())

    def embed_audio(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, T) to unit vectors (N, D)."""
        return self.real.embed_audio(waveforms)

    def embed_tokens(self, texts: list[str]) -> Tensor:
        """Texts to one vector per token, (N, L, D), on torch's default device.

        Raises:
            UserError: when the encoder knows whole texts only.
        """
        if not isinstance(self.real, TokenEncoder):
            raise UserError(f"model.clap {self.clap!r} gives no vectors of single words: use another one")
        return self.real.embed_tokens(texts).to(torch.get_default_device())

    @cached_property
    def real(self) -> QueryEncoder:
        """The encoder itself, loaded at first use onto what is torch's default device then."""
        return load_query_encoder(self.clap)


def label_embeddings(clap: str, store: Store) -> LabelEmbeddings:
    """The labels' vectors of ``model.clap``, from the store, or computed and put there.

    Raises:
        UserError: the query encoder cannot be used.
    """
    names = list(label_table().names)
    key = content_id(query_encoder_id(clap), *names)
    file = f"{key}.safetensors"
    if not store.is_file(file):
        vectors = load_query_encoder(clap).embed_text(names)
        store.write_bytes(file, save({"labels": vectors.cpu().clone()}))
    return LabelEmbeddings(load(store.read_bytes(file))["labels"], clap, key)
