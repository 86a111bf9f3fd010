"""Training samples: artificial mixtures of clean tracks, and natural clips with their separated tracks.

Clean tracks come from pools, by label: single-source clips, and tracks that a gate kept (independent-track training,
ITT). A natural clip whose tracks are kept as a set is a sample as it is (self-separate training, SST). Section 3.3 of
the paper; the shares of query modes and of silence samples are those of its training recipe.

Shapes: T samples, Q queries per mixture, B batch, D size of one query embedding.

Example::

    sampler = Sampler([clips, tracks], natural, config, length=163_840, seed=0)
    batch = collate([sampler.draw() for _ in range(8)], encoder)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from data_specs.config import TrainConfig
from data_specs.labels import label_table
from models.queries import Query, embed_queries
from models.query_encoders import QueryEncoder
from pipeline.augment import augment

SILENT_RMS = 1e-5


class TrackPool(Protocol):
    """Clean tracks by label."""

    @property
    def labels(self) -> Sequence[str]:
        """Labels that a track can be drawn for."""

    def draw(self, label: str, rng: np.random.Generator, length: int) -> np.ndarray:
        """A random crop (or the padded whole) of a random track of this label, (length,) float32."""


class NaturalPool(Protocol):
    """Natural clips with their tracks."""

    def draw(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """A random crop of a random clip, and its tracks by label."""


@dataclass(frozen=True)
class Sample:
    """One mixture (T,) with the targets (Q, T) of its queries; silence samples have a target of zeros."""

    mixture: np.ndarray
    targets: np.ndarray
    queries: tuple[Query, ...]


@dataclass(frozen=True)
class Batch:
    """Samples as tensors: mixtures (B, T), targets (B, Q, T), queries (B, Q, 2 D)."""

    mixtures: Tensor
    targets: Tensor
    queries: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(self.mixtures.to(device), self.targets.to(device), self.queries.to(device))


class Sampler:
    """Draws training samples for ever, deterministically from its seed.

    Args:
        pools: clean tracks; the first pool is the single-source one, the others are drawn with ``config.itt_share``.
        natural: clips for SST, drawn with ``config.sst_share``; None for none.
        length: samples per mixture.

    Raises:
        ValueError: when no pool holds a label.
    """

    def __init__(
        self, pools: Sequence[TrackPool], natural: NaturalPool | None, config: TrainConfig, *, length: int, seed: int
    ):
        self.pools = [pool for pool in pools if pool.labels]
        if not self.pools:
            raise ValueError("no pool holds a track to train on")
        self.natural = natural
        self.config = config
        self.length = length
        self.rng = np.random.default_rng(seed)

    @property
    def labels(self) -> list[str]:
        """Labels that a track can be drawn for; streaming pools change theirs over time."""
        return sorted({label for pool in self.pools for label in pool.labels})

    def __iter__(self) -> Iterator[Sample]:
        while True:
            yield self.draw()

    def draw(self) -> Sample:
        """One sample: a natural clip with probability ``sst_share``, else a mixture of clean tracks."""
        if self.natural is not None and self.rng.random() < self.config.sst_share:
            mixture, tracks = self.natural.draw(self.rng, self.length)
        else:
            tracks = self._mix()
            mixture = np.sum(list(tracks.values()), axis=0)
        return self._ask(mixture, tracks)

    def _mix(self) -> dict[str, np.ndarray]:
        """Two or more tracks of unrelated labels, by label, at random levels."""
        count = 1 + int(self.rng.integers(1, self.config.interferers_max + 1))
        tracks: dict[str, np.ndarray] = {}
        for label in self._unrelated(count):
            track = augment(self._pool_of(label).draw(label, self.rng, self.length), self.rng, self.config)
            track = crop(track, self.rng, self.length)
            level = np.sqrt(np.mean(track**2))
            if level > SILENT_RMS:
                gain_db = self.rng.uniform(*self.config.snr_db)
                tracks[label] = (track / level * 0.05 * 10 ** (gain_db / 20)).astype(np.float32)
        return tracks or self._mix()

    def _unrelated(self, count: int) -> list[str]:
        """Up to ``count`` random labels of which none is another's ancestor."""
        chosen: list[str] = []
        for label in self.rng.permutation(self.labels).tolist():
            if not any(label_table().related(label, other) for other in chosen):
                chosen.append(label)
            if len(chosen) == count:
                break
        return chosen

    def _pool_of(self, label: str) -> TrackPool:
        kept = [pool for pool in self.pools[1:] if label in pool.labels]
        single = label in self.pools[0].labels
        if kept and (not single or self.rng.random() < self.config.itt_share):
            return kept[int(self.rng.integers(len(kept)))]
        return self.pools[0]

    def _ask(self, mixture: np.ndarray, tracks: dict[str, np.ndarray]) -> Sample:
        """Queries for a mixture: its labels in random order, some replaced by absent ones (silence augmentation)."""
        order = self.rng.permutation(list(tracks)).tolist()
        targets, queries = [], []
        for i in range(self.config.queries_per_mixture):
            label = order[i % len(order)]
            target = tracks[label]
            negatives = tuple(other for other in tracks if other != label)
            absent = self._absent(order) if self.rng.random() < self.config.silence_rate else None
            if absent is not None:
                label, target, negatives = absent, np.zeros_like(mixture), tuple(tracks)
            targets.append(target)
            queries.append(self._mode(label, negatives, silent=absent is not None))
        return Sample(mixture.astype(np.float32), np.stack(targets), tuple(queries))

    def _absent(self, present: Sequence[str]) -> str | None:
        table = label_table()
        free = [label for label in self.labels if not any(table.related(label, other) for other in present)]
        return free[int(self.rng.integers(len(free)))] if free else None

    def _mode(self, label: str, negatives: tuple[str, ...], *, silent: bool) -> Query:
        """Positive only, negative only, or both; a negative-only query needs negatives that leave something."""
        may_lack_positive = bool(negatives) and not silent
        with_positive, with_negatives = query_mode(self.rng, self.config, may_lack_positive=may_lack_positive)
        return Query(label if with_positive else None, negatives if with_negatives else ())


def query_mode(rng: np.random.Generator, config: TrainConfig, *, may_lack_positive: bool) -> tuple[bool, bool]:
    """Whether a query has its positive half, and its negative half: one, the other, or both."""
    dice = rng.random()
    if dice < config.pos_only_rate:
        return True, False
    return not (may_lack_positive and dice < config.pos_only_rate + config.neg_only_rate), True


def collate(samples: Sequence[Sample], encoder: QueryEncoder, *, tokens: bool = False) -> Batch:
    """Stack samples; texts become embeddings here, or sequences of them with ``tokens``."""
    return Batch(
        mixtures=torch.from_numpy(np.stack([sample.mixture for sample in samples])),
        targets=torch.from_numpy(np.stack([sample.targets for sample in samples])),
        queries=embed_queries(encoder, [sample.queries for sample in samples], tokens=tokens),
    )


def crop(waveform: np.ndarray, rng: np.random.Generator, length: int) -> np.ndarray:
    """A random window of ``length`` samples; shorter input is placed at a random position in silence."""
    slack = len(waveform) - length
    start = int(rng.integers(0, abs(slack) + 1))
    if slack >= 0:
        return waveform[start : start + length]
    return np.pad(waveform, (start, -slack - start))
