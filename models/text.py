"""A small text encoder that understands words it has not seen by their spelling.

A word is the mean of learned vectors for its character n-grams (hashed, after fastText, Bojanowski et al. 2017,
https://arxiv.org/abs/1607.04606); a transformer mixes the words; their mean is the text's embedding.

Shapes: B texts, W words, G n-grams per word, C channels.

Example::

    encoder = TextEncoder(TextEncoderConfig(), embedding_dim=128)
    encoder(["a dog barking in the distance"])     # (1, 128)
"""

import re
import zlib

import torch
from torch import Tensor, nn

from data_specs.config import TextEncoderConfig

NGRAM_SIZES = (3, 4, 5)
NGRAMS_MAX = 48  # per word; longer words are cut
STOP_WORDS = frozenset(
    {"a", "an", "the", "of", "and", "or", "in", "on", "at", "to", "from", "with", "is", "are", "being", "some"}
    | {"sound", "sounds", "noise", "recording"}
)


def words_of(text: str) -> list[str]:
    """Lower-case words of a text, without the words that say nothing about the sound (unless nothing else is left)."""
    words = re.findall(r"\w+", text.lower())
    return [word for word in words if word not in STOP_WORDS] or words


def ngram_ids(word: str, buckets: int) -> list[int]:
    """Bucket numbers, 1 to ``buckets``, of the word itself and of its character n-grams; 0 is padding."""
    marked = f"<{word}>"
    grams = [marked, *(marked[i : i + n] for n in NGRAM_SIZES for i in range(len(marked) - n + 1))]
    return [zlib.crc32(gram.encode()) % buckets + 1 for gram in grams[:NGRAMS_MAX]]


class TextEncoder(nn.Module):
    """Texts to embeddings of ``embedding_dim`` (not normalised)."""

    def __init__(self, config: TextEncoderConfig, embedding_dim: int):
        super().__init__()
        self.config = config
        self.ngrams = nn.Embedding(config.buckets + 1, config.width, padding_idx=0)
        layer = nn.TransformerEncoderLayer(config.width, config.heads, 2 * config.width, dropout=0.0, batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, num_layers=config.layers, enable_nested_tensor=False)
        self.projection = nn.Linear(config.width, embedding_dim)

    def forward(self, texts: list[str]) -> Tensor:
        """Texts to (B, embedding_dim), the mean over their words.

        Raises:
            ValueError: when a text holds no word.
        """
        words, padding = self._words(texts)
        return words.sum(dim=1) / (~padding).sum(dim=1, keepdim=True)

    def words(self, texts: list[str]) -> Tensor:
        """Texts to one embedding per word, (B, W, embedding_dim), zeros after a text's end; raises like ``forward``."""
        return self._words(texts)[0]

    def _words(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Words as embeddings, and which of them (B, W) are padding."""
        ids = self._tokenize(texts)  # (B, W, G)
        present = ids > 0
        words = self.ngrams(ids).sum(dim=2) / present.sum(dim=2, keepdim=True).clamp(min=1)  # (B, W, C)
        padding = ~present.any(dim=2)  # (B, W)
        mixed = self.transformer(words, src_key_padding_mask=padding)
        return self.projection(mixed).masked_fill(padding.unsqueeze(-1), 0), padding

    def _tokenize(self, texts: list[str]) -> Tensor:
        ids = torch.zeros(len(texts), self.config.words_max, NGRAMS_MAX, dtype=torch.long)
        for row, text in enumerate(texts):
            words = words_of(text)[: self.config.words_max]
            if not words:
                raise ValueError(f"the query {text!r} holds no word: describe a sound, such as 'dog barking'")
            for column, word in enumerate(words):
                grams = ngram_ids(word, self.config.buckets)
                ids[row, column, : len(grams)] = torch.tensor(grams)
        used = int((ids > 0).any(dim=2).sum(dim=1).max())
        return ids[:, :used].to(self.ngrams.weight.device)
