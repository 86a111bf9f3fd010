"""The objectives of a training: what each draws for a lane of the batch, and the losses of a step.

``train.objectives`` names them with the weights of their losses. Drawing happens wherever samples are read, collating
and the losses where the model is.

- ``supervised``: mixtures of clean tracks and natural clips with their tracks, queried by text (``pipeline.mixtures``);
- ``weak``: mixtures of labelled clips, with nothing but the labels known (``pipeline.mixtures_of_mixtures``);
- ``audio_query``: mixtures of any recordings, queried by sound (``pipeline.audio_queries``).

Example::

    objectives = Objectives(config.train, separator, encoder)
    losses = objectives(objectives.collate(samples))     # {"supervised": ..., "weak": ...}
    sum(loss(model) for loss in losses.values())
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple, cast

import torch
import torchaudio.functional as AF
from torch import Tensor, nn

from data_specs.config import TrainConfig
from data_specs.errors import UserError
from data_specs.objectives import ObjectiveName, WeakConfig
from data_specs.records import seed_of
from models.architectures import AnySeparator
from models.label_embeddings import LabelEmbeddings
from models.losses_weak import LEVEL_RMS, consistency_loss, contrastive_loss, unsupervised_loss, weak_loss
from models.manipulations import manipulate
from models.query_encoders import GradientEncoder, QueryEncoder
from models.query_space import in_query_space
from pipeline.audio_queries import AudioQuerySampler, SoundPool, collate_audio_queries
from pipeline.mixtures import Batch, NaturalPool, Sample, Sampler, TrackPool, collate
from pipeline.mixtures_of_mixtures import LabelledPool, WeakBatch, WeakSampler, collate_weak
from pipeline.train import Loss, batch_loss, unwrapped


class Samples(NamedTuple):
    """One sample of every objective, and the seed of what happens to their queries."""

    of: Mapping[ObjectiveName, Any]
    seed: int


class Material(NamedTuple):
    """What there is to draw from; what no objective needs may be missing."""

    tracks: Sequence[TrackPool] = ()
    natural: NaturalPool | None = None
    labelled: LabelledPool | None = None
    recordings: SoundPool | None = None


@dataclass(frozen=True)
class Batches:
    """One batch for every objective."""

    of: Mapping[ObjectiveName, Any]

    def to(self, device: torch.device | str) -> "Batches":
        """The same batches on another device."""
        return Batches({name: batch.to(device) for name, batch in self.of.items()})


def draw_samples(material: Material, config: TrainConfig, *, length: int, seed: int) -> Iterator[Samples]:
    """Samples of all objectives, for ever, deterministically from the seed.

    Raises:
        ValueError: an objective lacks its material.
    """
    drawn: dict[ObjectiveName, Iterator[Any]] = {}
    for name in config.objectives:
        own_seed = seed if name == "supervised" else seed_of(name, seed)
        if name == "supervised":
            drawn[name] = iter(Sampler(material.tracks, material.natural, config, length=length, seed=own_seed))
        elif name == "weak":
            if material.labelled is None:
                raise ValueError("weak supervision needs labelled clips")
            drawn[name] = iter(WeakSampler(material.labelled, config, length=length, seed=own_seed))
        else:
            if material.recordings is None:
                raise ValueError("audio queries need recordings")
            drawn[name] = iter(AudioQuerySampler(material.recordings, config, length=length, seed=own_seed))
    for number in count():
        yield Samples({name: next(samples) for name, samples in drawn.items()}, seed_of("queries", seed, number))


class Objectives:
    """Collates samples and gives the losses of a step.

    Args:
        separator: what is trained; says what its queries look like.
        encoder: makes the queries, and for ``weak`` judges what they give; of one that has the labels' vectors at
            hand, the real one is loaded where sounds or other texts are embedded.

    Raises:
        UserError: the query encoder cannot judge estimates, which ``weak`` needs.
    """

    def __init__(self, config: TrainConfig, separator: AnySeparator, encoder: QueryEncoder):
        projection = separator.config.query_projection
        self.config = config
        self.tokens = separator.takes_tokens
        self.sample_rate_hz = separator.config.sample_rate_hz
        self.texts = encoder
        self.encoder = self.listener = in_query_space(encoder, projection)
        self.judge = encoder
        if set(config.objectives) == {"supervised"}:
            return
        if isinstance(encoder, LabelEmbeddings):
            with next(separator.parameters()).device:
                self.judge = encoder.real
        self.listener = in_query_space(self.judge, projection)
        if "weak" in config.objectives and not isinstance(self.judge, GradientEncoder):
            raise UserError("model.clap cannot judge estimates in training: take another, or no train.objectives.weak")

    def collate(self, samples: Sequence[Samples]) -> Batches:
        """Stack the samples of every objective; texts and sounds become embeddings here."""
        batches: dict[ObjectiveName, Any] = {}
        for name in self.config.objectives:
            own = [sample.of[name] for sample in samples]
            generators = [torch.Generator().manual_seed(sample.seed) for sample in samples]
            if name == "supervised":
                batch = self.collate_supervised(own)
                batches[name] = replace(batch, queries=self._varied(batch.queries, generators))
            elif name == "weak":
                batches[name] = collate_weak(own, self.encoder, self.texts, tokens=self.tokens)
            else:
                batches[name] = collate_audio_queries(
                    own, self.listener, self.config.audio_query, generators, sample_rate_hz=self.sample_rate_hz
                )
        return Batches(batches)

    def collate_supervised(self, samples: Sequence[Sample]) -> Batch:
        """Samples of text-queried separation as they are, for validation."""
        return collate(samples, self.encoder, tokens=self.tokens)

    def __call__(self, batches: Batches) -> dict[str, Loss]:
        """The weighted loss of every objective; their sum is what a step descends."""
        return {name: partial(self._loss, name, batch) for name, batch in batches.of.items()}

    def _loss(self, name: ObjectiveName, batch: Any, model: nn.Module) -> Tensor:
        loss = self._weak(model, batch) if name == "weak" else batch_loss(model, batch, self.config)
        return self.config.objectives[name] * loss

    def _varied(self, queries: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Text queries (B, Q, 2 D) or (B, Q, L, 2 D) as ``text_query`` varies them, sample by sample."""
        halves = queries.unflatten(-1, (2, -1))  # positive, negative
        varied = [
            manipulate(own, self.config.text_query, generator)
            for own, generator in zip(halves, generators, strict=True)
        ]
        return torch.stack(varied).flatten(-2)

    def _weak(self, model: nn.Module, batch: WeakBatch) -> Tensor:
        assert isinstance(self.judge, GradientEncoder)
        return weak_objective(model, batch, self.judge, self.config.weak, bf16=self.config.bf16)


def weak_objective(
    model: nn.Module, batch: WeakBatch, judge: GradientEncoder, config: WeakConfig, *, bf16: bool = False
) -> Tensor:
    """``0.5 CNT + 5 (CRL + URL)`` of ``models.losses_weak`` for a batch of mixtures of mixtures.

    Args:
        judge: the frozen CLAP that estimates have to fit their texts by.
    """
    mixture, places = batch.clips.sum(dim=1), batch.clips.shape[1]  # (B, T), S
    sources = bool(config.contrastive_weight or config.consistency_weight)
    queries = batch.queries if sources else batch.queries[:, :places]
    with torch.autocast(mixture.device.type, torch.bfloat16, enabled=bf16):
        estimates, masks = model(mixture, queries, with_masks=True)
    network = cast(AnySeparator, unwrapped(model))
    gain = LEVEL_RMS / mixture.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-5)  # (B, 1)
    whole = network.spectrum(gain * mixture).abs()  # (B, N, F)
    clips = network.spectrum(gain.unsqueeze(2) * batch.clips).abs()  # (B, S, N, F)
    magnitudes = masks.abs().float() * whole.unsqueeze(1)  # (B, Q, N, F)

    contrastive = consistency = whole.new_zeros(())
    if config.contrastive_weight:
        contrastive = _misfit(estimates.float(), batch, judge, sample_rate_hz=network.config.sample_rate_hz)
    if sources:
        error = consistency_loss(magnitudes, clips, owner=batch.owner)  # (B, S)
        asked = torch.stack([(batch.owner == place).any(dim=1) for place in range(places)], dim=1)  # (B, S)
        consistency = places * error.sum() / asked.sum().clamp(min=1)
    unsupervised = unsupervised_loss(magnitudes[:, :places], clips, whole=whole).sum(dim=1).mean()
    return weak_loss(contrastive, consistency, unsupervised, config)


def _misfit(estimates: Tensor, batch: WeakBatch, judge: GradientEncoder, *, sample_rate_hz: int) -> Tensor:
    """CNT of the estimates (B, Q, T) that are asked for one label, a scalar."""
    asked = batch.text >= 0
    judged = AF.resample(estimates[asked], sample_rate_hz, judge.sample_rate_hz)  # (P, T)
    text, owner = batch.text[asked], batch.owner[asked]
    sound = judge.embed_audio_with_gradient(judged)
    misfit = contrastive_loss(sound, batch.text_embeddings, own=text, scale=judge.logit_scale)  # (P,)
    places = batch.clips.shape[1]
    of_place = [misfit[owner == place].mean() for place in range(places) if (owner == place).any()]
    return places * torch.stack(of_place).mean()
