"""Training samples for weak supervision: labelled natural clips, added to a mixture of mixtures.

Nothing but the clips' labels is known of their sources. Each sample asks for every clip as a whole, by all of its
labels, and for every label by itself; ``models.losses_weak`` says what that teaches.

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
    """Natural clips with labels, each one or more."""

    def __len__(self) -> int:
        """How many there are."""

    def labels(self, index: int) -> tuple[str, ...]:
        """The labels of a clip."""

    def draw(self, index: int, rng: np.random.Generator, length: int) -> np.ndarray:
        """A random crop of a clip, (length,) float32; silence when it cannot be read."""


@dataclass(frozen=True)
class WeakSample:
    """Clips (S, T) and what is asked of their sum: first each clip as a whole, then each label of those that are asked.

    ``owner[q]`` is the clip that query q asks a source of; -1 for the first S queries. ``labels`` are all clips' own.
    """

    clips: np.ndarray
    queries: tuple[Query, ...]
    owner: tuple[int, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class WeakBatch:
    """Samples as tensors; queries are padded, padding has owner -1 and text -1.

    Attributes:
        clips: (B, S, T). queries: (B, Q, 2 D) or (B, Q, L, 2 D). owner: (B, Q).
        text: (B, Q), the place in ``text_embeddings`` of what a source is asked by; -1 for all other queries.
        text_embeddings: (labels, D), every label of the batch once, asked for or not, in the space of CLAP.
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

    Clips in one mixture have unrelated labels: otherwise a label would ask for sounds of both.

    Args:
        pool: labelled clips; those with one label only serve too.
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
            labels = self.pool.labels(index)
            if not all(_unrelated(labels, other) for _, other in chosen):
                continue
            clip = self.pool.draw(index, self.rng, self.length)
            rms = np.sqrt(np.mean(clip**2))
            if rms <= SILENT_RMS:
                continue
            gain = LEVEL_RMS / rms * 10 ** (self.rng.uniform(*self.config.snr_db) / 20)
            chosen.append(((clip * gain).astype(np.float32), labels))
            if len(chosen) == self.config.weak.mixtures:
                return self._ask(chosen)
        raise UserError(
            f"in {TRIES} draws there were no {self.config.weak.mixtures} sounding clips of unrelated labels: "
            "give more, or leave weak out of train.objectives"
        )

    def _ask(self, chosen: Sequence[tuple[np.ndarray, tuple[str, ...]]]) -> WeakSample:
        every = [label for _, labels in chosen for label in labels]
        queries = [self._mode(in_one_text(labels), [one for one in every if one not in labels]) for _, labels in chosen]
        asked = self.rng.permutation(len(chosen))[: self.config.weak.asked].tolist()
        sources = [(place, label) for place, (_, labels) in enumerate(chosen) if place in asked for label in labels]
        queries += [self._mode(label, [one for one in every if one != label]) for _, label in sources]
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
    labels = list(dict.fromkeys(label for sample in samples for label in sample.labels))
    for row, sample in enumerate(samples):
        for column, (query, place) in enumerate(zip(sample.queries, sample.owner, strict=True)):
            owner[row, column] = place
            if place >= 0 and query.positive is not None:
                text[row, column] = labels.index(query.positive)
    return WeakBatch(
        clips=torch.from_numpy(np.stack([sample.clips for sample in samples])),
        queries=embed_queries(encoder, [sample.queries for sample in samples], tokens=tokens),
        owner=owner,
        text=text,
        text_embeddings=torch.stack(list(judge.embed_text(labels))),
    )


def in_one_text(labels: Sequence[str]) -> str:
    """Several labels as one text: "Bark, Rain and Siren"."""
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"


def _unrelated(labels: Sequence[str], others: Sequence[str]) -> bool:
    return not any(label_table().related(one, other) for one in labels for other in others)
