"""Queries: from words to what conditions a separator.

A query has a positive and a negative half, side by side; either may be absent, which is zeros. Most separators take one
vector per query, (2 D,). Those that attend to words (``models.unet``) take a sequence, (L, 2 D), with a row per token
of the positive text and of every negative one; rows of zeros pad it.

Example::

    queries = embed_queries(encoder, [[Query("Bark", ("Rain",)), Query("Rain")]])     # (1, 2, 2 D)
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from data_specs.errors import UserError
from models.query_encoders import QueryEncoder, TokenEncoder


class Query(NamedTuple):
    """What one estimate is asked for, in words: a positive text or none, and the texts of the negative query."""

    positive: str | None
    negatives: tuple[str, ...] = ()


def query(encoder: QueryEncoder, positive: str | None, negatives: Sequence[str]) -> Tensor:
    """One query (2 D,): the positive embedding, then the mean of the negative ones; zeros where absent."""
    nothing = torch.zeros(encoder.dim)
    positive_half = encoder.embed_text([positive])[0] if positive is not None else nothing
    negative_half = encoder.embed_text(list(negatives)).mean(dim=0) if negatives else nothing
    return torch.cat([positive_half, negative_half])


def query_tokens(encoder: QueryEncoder, positive: str | None, negatives: Sequence[str]) -> Tensor:
    """One query (L, 2 D): a row for every token of the positive text, then for those of the negative ones.

    Raises:
        UserError: when the encoder knows whole texts only.
    """
    if not isinstance(encoder, TokenEncoder):
        raise UserError(
            "this separator attends to single words, which model.clap does not give: use another of the two"
        )
    rows = [torch.zeros(1, 2 * encoder.dim)]  # an absent query is one row of zeros
    for texts, side in (([positive] if positive is not None else [], 0), (list(negatives), 1)):
        if texts:
            tokens = encoder.embed_tokens(texts).flatten(0, 1)  # (N * L, D)
            tokens = tokens[(tokens != 0).any(dim=1)]
            nothing = torch.zeros_like(tokens)
            rows.append(torch.cat([nothing, tokens] if side else [tokens, nothing], dim=1))
    return torch.cat(rows[1:] or rows)


def embed_queries(encoder: QueryEncoder, asked: Sequence[Sequence[Query]], *, tokens: bool = False) -> Tensor:
    """Up to Q queries for each of B mixtures to (B, Q, 2 D), or (B, Q, L, 2 D) with ``tokens``; zeros where none is.

    Raises:
        ValueError: when a text holds no word.
    """
    embed = query_tokens if tokens else query
    return stack_padded([[embed(encoder, one.positive, one.negatives) for one in own] for own in asked])


def stack_padded(queries: Sequence[Sequence[Tensor]]) -> Tensor:
    """Up to Q tensors of one rank for each of B items to one tensor (B, Q, ...), padded with zeros at the ends."""
    first = next(one for own in queries for one in own)
    sizes = [max(one.shape[axis] for own in queries for one in own) for axis in range(first.ndim)]
    stacked = first.new_zeros(len(queries), max(len(own) for own in queries), *sizes)
    for row, own in enumerate(queries):
        for column, one in enumerate(own):
            stacked[row, column][tuple(slice(size) for size in one.shape)] = one
    return stacked
