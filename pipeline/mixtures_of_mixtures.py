"""Training samples for weak supervision: natural clips with texts, added to a mixture of mixtures.

Nothing but texts is known of the clips' sources: labels, or the sounds that captions tell of. Each sample asks for
every clip as a whole, by all of its texts, and for every text by itself; ``models.losses_weak`` says what that teaches.

Shapes: S clips in a mixture of mixtures, T samples, Q queries, B batch, D size of one query embedding.

Example::

    sampler = WeakSampler(pool, config.train, length=163_840, seed=0)
    batch = collate_weak([sampler.draw() for _ in range(8)], encoder)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from data_specs.config import TrainConfig
from data_specs.errors import UserError
from data_specs.labels import label_table
from models.queries import Query, embed_queries
from models.query_encoders import QueryEncoder
from pipeline.mixtures import SILENT_RMS

LEVEL_RMS = 0.05
TRIES = 256  # draws of clips for one sample before it is given up


class LabelledPool(Protocol):
    """Natural clips with texts, each one or more, a text per source."""

    def __len__(self) -> int:
        """How many there are."""

    def texts(self, index: int) -> tuple[str, ...]:
        """What the sources of a clip are called, by labels or in any words."""

    def draw(self, index: int, rng: np.random.Generator, length: int) -> np.ndarray:
        """A random crop of a clip, (length,) float32; silence when it cannot be read."""


@dataclass(frozen=True)
class WeakSample:
    """Clips (S, T) and what is asked of their sum: first each clip as a whole, then each text of those that are asked.

    ``owner[q]`` is the clip that query q asks a source of; -1 for the first S queries. ``texts`` are all clips' own.
    """

    clips: np.ndarray
    queries: tuple[Query, ...]
    owner: tuple[int, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class WeakBatch:
    """Samples as tensors; queries are padded, padding has owner -1 and text -1.

    Attributes:
        clips: (B, S, T). queries: (B, Q, 2 D) or (B, Q, L, 2 D). owner: (B, Q).
        text: (B, Q), the place in ``text_embeddings`` of what a source is asked by; -1 for all other queries.
        text_embeddings: (texts, D), every text of the batch once, asked for or not, in the space of CLAP.
    """

    clips: Tensor
    queries: Tensor
    owner: Tensor
    text: Tensor
    text_embeddings: Tensor

    def to(self, device: torch.device | str) -> "WeakBatch":
        """The same batch on another device."""
        return replace(self, **{name: value.to(device) for name, value in vars(self).items()})


class WeakSampler:
    """Draws mixtures of mixtures for ever, deterministically from its seed.

    Clips in one mixture have unrelated texts: otherwise a text would ask for sounds of both.

    Args:
        pool: clips with texts; those with one only serve too.
        length: samples per clip.

    Raises:
        ValueError: the pool has fewer clips than make a mixture.
    """

    def __init__(self, pool: LabelledPool, config: TrainConfig, *, length: int, seed: int):
        self.pool = pool
        self.config = config
        self.length = length
        self.rng = np.random.default_rng(seed)
        if len(pool) < config.weak.mixtures:
            raise ValueError(f"weak supervision needs {config.weak.mixtures} labelled clips or more, got {len(pool)}")

    def __iter__(self) -> Iterator[WeakSample]:
        while True:
            yield self.draw()

    def draw(self) -> WeakSample:
        """One mixture of mixtures.

        Raises:
            UserError: no such clips were found that also sound.
        """
        chosen: list[tuple[np.ndarray, tuple[str, ...]]] = []
        for _ in range(TRIES):
            index = int(self.rng.integers(len(self.pool)))
            texts = self.pool.texts(index)
            if not all(_unrelated(texts, other) for _, other in chosen):
                continue
            clip = self.pool.draw(index, self.rng, self.length)
            rms = np.sqrt(np.mean(clip**2))
            if rms <= SILENT_RMS:
                continue
            gain = LEVEL_RMS / rms * 10 ** (self.rng.uniform(*self.config.snr_db) / 20)
            chosen.append(((clip * gain).astype(np.float32), texts))
            if len(chosen) == self.config.weak.mixtures:
                return self._ask(chosen)
        raise UserError(
            f"in {TRIES} draws there were no {self.config.weak.mixtures} sounding clips of unrelated labels or "
            "captions: give more, or leave weak out of train.objectives"
        )

    def _ask(self, chosen: Sequence[tuple[np.ndarray, tuple[str, ...]]]) -> WeakSample:
        every = [text for _, texts in chosen for text in texts]
        queries = [self._mode(in_one_text(texts), [one for one in every if one not in texts]) for _, texts in chosen]
        asked = self.rng.permutation(len(chosen))[: self.config.weak.asked].tolist()
        sources = [(place, text) for place, (_, texts) in enumerate(chosen) if place in asked for text in texts]
        queries += [self._mode(text, [one for one in every if one != text]) for _, text in sources]
        owner = [-1] * len(chosen) + [place for place, _ in sources]
        return WeakSample(np.stack([clip for clip, _ in chosen]), tuple(queries), tuple(owner), tuple(every))

    def _mode(self, positive: str, negatives: Sequence[str]) -> Query:
        """Positive only, or with negatives. A query needs its positive text here: it is what estimates must fit."""
        share = self.config.pos_only_rate / max(1e-9, 1 - self.config.neg_only_rate)
        return Query(positive, () if self.rng.random() < share else tuple(negatives))


def collate_weak(
    samples: Sequence[WeakSample], encoder: QueryEncoder, judge: QueryEncoder, *, tokens: bool = False
) -> WeakBatch:
    """Stack samples; texts become embeddings here.

    Args:
        encoder: makes the queries, as sequences with ``tokens``.
        judge: embeds the texts that estimates have to fit.

    Raises:
        ValueError: a text holds no word.
    """
    most = max(len(sample.queries) for sample in samples)
    owner = torch.full((len(samples), most), -1)
    text = torch.full((len(samples), most), -1)
    texts = list(dict.fromkeys(text for sample in samples for text in sample.texts))
    for row, sample in enumerate(samples):
        for column, (query, place) in enumerate(zip(sample.queries, sample.owner, strict=True)):
            owner[row, column] = place
            if place >= 0 and query.positive is not None:
                text[row, column] = texts.index(query.positive)
    return WeakBatch(
        clips=torch.from_numpy(np.stack([sample.clips for sample in samples])),
        queries=embed_queries(encoder, [sample.queries for sample in samples], tokens=tokens),
        owner=owner,
        text=text,
        text_embeddings=torch.stack(list(judge.embed_text(texts))),
    )


def in_one_text(texts: Sequence[str]) -> str:
    """Several texts as one: "Bark, Rain and Siren"."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _unrelated(texts: Sequence[str], others: Sequence[str]) -> bool:
    return not any(_related(one, other) for one in texts for other in others)


def _related(one: str, other: str) -> bool:
    """Whether two texts may mean the same sound: related labels, or the same words."""
    table = label_table()
    if one in table and other in table:
        return table.related(one, other)
    return one.casefold() == other.casefold()
