"""Training samples for audio-only queries: any recordings at all, each asked for by how it sounds.

A recording needs no label, and may hold several sounds: mixed with others, it is a target, and the embedding of it
alone is the query. At inference a text takes its place. What keeps the separator from relying on what only audio
embeddings have is in ``models.manipulations``.

Shapes: T samples, Q queries per mixture, S sounds of a sample, B batch, D size of one query embedding.

Example::

    sampler = AudioQuerySampler(pool, config.train, length=163_840, seed=0)
    batch = collate_audio_queries([sampler.draw()], encoder, config.train.audio_query, [torch.Generator()])
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torchaudio.functional as AF
from torch import Generator, Tensor

from data_specs.config import TrainConfig
from data_specs.errors import UserError
from data_specs.objectives import ManipulationConfig
from models.audio_embedding import embed_sounds
from models.manipulations import manipulate
from models.query_encoders import QUERY_RATE_HZ, QueryEncoder
from pipeline.mixtures import SILENT_RMS, Batch, query_mode

LEVEL_RMS = 0.05
TRIES = 64  # draws of sounds for one sample before it is given up


class SoundPool(Protocol):
    """Recordings, whatever is known of them."""

    def __len__(self) -> int:
        """How many there are."""

    def draw(self, index: int, rng: np.random.Generator, length: int) -> np.ndarray:
        """A random crop of a recording, (length,) float32; silence when it cannot be read."""


@dataclass(frozen=True)
class AudioQuery:
    """What one estimate is asked for: a sound or none, and the sounds that it is not, as places in ``sounds``."""

    positive: int | None
    negatives: tuple[int, ...]


@dataclass(frozen=True)
class AudioQuerySample:
    """Sounds (S, T), of which the last is not in the mixture (T,); targets (Q, T) of the queries.

    ``mixed_in`` are other recordings (S, T) that mixup puts into the queries; None for other manipulations.
    """

    mixture: np.ndarray
    targets: np.ndarray
    sounds: np.ndarray
    queries: tuple[AudioQuery, ...]
    mixed_in: np.ndarray | None = None


class AudioQuerySampler:
    """Draws mixtures of recordings for ever, deterministically from its seed.

    Args:
        pool: recordings, at least three.
        length: samples per mixture.

    Raises:
        ValueError: fewer than three recordings.
    """

    def __init__(self, pool: SoundPool, config: TrainConfig, *, length: int, seed: int):
        if len(pool) < 3:
            raise ValueError("audio queries need three recordings: two to mix, and one that is not in the mixture")
        self.pool = pool
        self.config = config
        self.length = length
        self.rng = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[AudioQuerySample]:
        while True:
            yield self.draw()

    def draw(self) -> AudioQuerySample:
        """One mixture of two or more recordings, and another one to ask for in vain.

        Raises:
            UserError: too few of the recordings sound.
        """
        wanted = min(2 + int(self.rng.integers(1, self.config.interferers_max + 1)), len(self.pool))
        sounds: dict[int, np.ndarray] = {}
        for _ in range(TRIES):
            index = int(self.rng.integers(len(self.pool)))
            if index in sounds:
                continue
            sound = at_query_level(self.pool.draw(index, self.rng, self.length))
            if sound is not None:
                sounds[index] = sound
            if len(sounds) == wanted:
                return self._ask(np.stack(list(sounds.values())))
        raise UserError(
            f"in {TRIES} draws there were no {wanted} recordings that sound: give more, or leave audio_query out of "
            "train.objectives"
        )

    def _ask(self, sounds: np.ndarray) -> AudioQuerySample:
        present, absent = range(len(sounds) - 1), len(sounds) - 1
        gains = 10 ** (self.rng.uniform(*self.config.snr_db, size=len(present)) / 20)
        mixed = sounds[:-1] * gains[:, None].astype(np.float32)  # (S - 1, T)
        mixture = mixed.sum(axis=0)
        order = self.rng.permutation(len(present)).tolist()
        targets, queries = [], []
        for i in range(self.config.queries_per_mixture):
            own = order[i % len(order)]
            silent = self.rng.random() < self.config.silence_rate
            others = tuple(place for place in present if silent or place != own)
            with_positive, with_negatives = query_mode(self.rng, self.config, may_lack_positive=not silent)
            targets.append(np.zeros_like(mixture) if silent else mixed[own])
            queries.append(
                AudioQuery((absent if silent else own) if with_positive else None, others if with_negatives else ())
            )
        mixed_in = None
        if self.config.audio_query.kind == "mixup":
            drawn = self.rng.integers(len(self.pool), size=len(sounds)).tolist()
            mixed_in = np.stack([self.pool.draw(index, self.rng, self.length) for index in drawn])
        return AudioQuerySample(mixture, np.stack(targets), sounds, tuple(queries), mixed_in)


def at_query_level(sound: np.ndarray) -> np.ndarray | None:
    """A sound (T,) at the level that it is embedded at, whatever its level in a mixture; None where it is silent."""
    rms = np.sqrt(np.mean(sound**2))
    return (sound * (LEVEL_RMS / rms)).astype(np.float32) if rms > SILENT_RMS else None


def collate_audio_queries(
    samples: Sequence[AudioQuerySample],
    encoder: QueryEncoder,
    config: ManipulationConfig,
    generators: Sequence[Generator],
    *,
    sample_rate_hz: int = QUERY_RATE_HZ,
) -> Batch:
    """Stack samples; sounds become query embeddings here, manipulated as ``config`` says.

    Args:
        generators: where the manipulations' randomness comes from, one per sample.
        sample_rate_hz: of the samples; encoders hear them at ``QUERY_RATE_HZ``.
    """
    queries = []
    for sample, generator in zip(samples, generators, strict=True):
        sounds = AF.resample(torch.from_numpy(sample.sounds), sample_rate_hz, QUERY_RATE_HZ)  # (S, T)
        mixed_in = None
        if sample.mixed_in is not None:
            mixed_in = AF.resample(torch.from_numpy(sample.mixed_in), sample_rate_hz, QUERY_RATE_HZ)
        embedded = embed_sounds(encoder, sounds, config, generator, mixed_in=mixed_in)  # (S, D)
        queries.append(_queries(sample, embedded, config, generator))
    return Batch(
        mixtures=torch.from_numpy(np.stack([sample.mixture for sample in samples])),
        targets=torch.from_numpy(np.stack([sample.targets for sample in samples])),
        queries=torch.stack(queries),
    )


def _queries(sample: AudioQuerySample, embedded: Tensor, config: ManipulationConfig, generator: Generator) -> Tensor:
    """The queries of a sample (Q, 2 D) from the embeddings of its sounds (S, D)."""

    def half(places: Sequence[int]) -> Tensor:
        if not places:
            return embedded.new_zeros(embedded.shape[1])
        return manipulate(embedded[list(places)].mean(dim=0), config, generator)

    positives = [half(() if one.positive is None else (one.positive,)) for one in sample.queries]
    negatives = [half(one.negatives) for one in sample.queries]
    return torch.cat([torch.stack(positives), torch.stack(negatives)], dim=1)
