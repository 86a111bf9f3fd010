"""Query encoders: text or audio to the unit vectors that condition the separator.

Example::

    encoder = load_query_encoder("embedded")
    encoder.embed_text(["Bark", "rain on a roof"])     # (2, D)
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from models.checkpoints import load_clap
from models.clap import TinyClap


class QueryEncoder(Protocol):
    """What conditions a separator: text or audio to unit vectors of ``dim``."""

    dim: int

    def embed_text(self, texts: list[str]) -> Tensor:
        """Texts to unit vectors (N, D)."""

    def embed_audio(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, T) at 32 kHz to unit vectors (N, D)."""


@runtime_checkable
class TokenEncoder(Protocol):
    """A query encoder that can also say what every token of a text means, for separators that attend to them."""

    def embed_tokens(self, texts: list[str]) -> Tensor:
        """Texts to one vector per token, (N, L, dim); rows of zeros after a text's end."""


class TinyClapEncoder:
    """Query encoder on the embedded CLAP; remembers texts, since a corpus asks for the same labels all the time."""

    def __init__(self, clap: TinyClap):
        self.clap = clap.eval()
        self.dim = clap.config.embedding_dim
        self._texts: dict[str, Tensor] = {}

    @torch.inference_mode()
    def embed_text(self, texts: list[str]) -> Tensor:
        """Texts to unit vectors (N, D).

        Raises:
            ValueError: when a text holds no word.
        """
        missing = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if missing:
            self._texts.update(zip(missing, self.clap.embed_text(missing), strict=True))
        return torch.stack([self._texts[text] for text in texts])

    @torch.inference_mode()
    def embed_tokens(self, texts: list[str]) -> Tensor:
        """Texts to one vector per word, (N, L, D); raises like ``embed_text``."""
        return self.clap.embed_tokens(texts)

    @torch.inference_mode()
    def embed_audio(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, T) to unit vectors (N, D)."""
        return self.clap.embed_audio(waveforms)


def load_query_encoder(name_or_folder: str) -> QueryEncoder:
    """The query encoder of ``config.model.clap``: ``embedded``, or a folder with the same files.

    Raises:
        UserError: no such checkpoint.
    """
    return TinyClapEncoder(load_clap(name_or_folder))
