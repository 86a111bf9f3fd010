"""What a worker does with a work unit: hear its labels, or separate it; and commit the result.

A job is small and travels to the workers; ``start`` makes what a worker holds for its life (the tagger, the separator),
``do`` works on a unit, ``commit`` publishes what came of it. Nothing here knows Ray: ``pipeline.workers`` hands the
units out.

Example::

    job = SeparateJob(workspace, config, round_number=1)
    model = job.start()
    job.commit(unit, job.do(model, unit, given_up={}))
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch

from data_specs.config import Config
from data_specs.records import TaggedClip
from models.label_separator import LabelSeparator
from models.query_encoders import QueryEncoder
from models.taggers import Tagger, load_tagger
from pipeline.calibrate import load_gate
from pipeline.gate import Gate
from pipeline.label_free import LabelFreeSeparator, load_label_free
from pipeline.label_queries import round_encoder
from pipeline.separate import Separator, UnitResult, separate_unit
from pipeline.tag import tag_clips
from pipeline.units import WorkUnit
from pipeline.workspace import Workspace

GivenUp = Mapping[str, str]
"""Clips that are not to be touched again: id to the reason."""


@dataclass(frozen=True)
class Resources:
    """What one worker of a pool takes, and how many there are; 0 means as many as there is room for."""

    workers: int
    cpus: float
    gpus: float

    @property
    def device(self) -> torch.device:
        """Where a worker's networks run."""
        return torch.device("cuda" if self.gpus > 0 else "cpu")


class UnitJob(Protocol):
    """A stage's work on one unit. Several threads of a worker may do it at once with one model."""

    @property
    def workspace(self) -> Workspace:
        """Where units come from and results go."""

    @property
    def config(self) -> Config:
        """Of the round."""

    @property
    def resources(self) -> Resources:
        """Of the stage, from the configuration."""

    def committed(self) -> set[str]:
        """Ids of the units that are done."""

    def is_committed(self, unit_id: str) -> bool:
        """Whether one unit is done."""

    def start(self) -> Any:
        """What a worker holds.

        Raises:
            UserError: the model cannot be used.
        """

    def do(self, model: Any, unit: WorkUnit, given_up: GivenUp) -> Any:
        """What comes of a unit."""

    def commit(self, unit: WorkUnit, result: Any) -> None:
        """Publish it.

        Raises:
            OSError: the storage failed; nothing is committed then.
        """


@dataclass(frozen=True)
class TagJob:
    """Labels for the clips of a unit. ``load`` makes the tagger; it is called when a clip came without labels."""

    workspace: Workspace
    config: Config
    round_number: int
    load: Callable[[Config], Tagger] | None = None

    @property
    def resources(self) -> Resources:
        workers = self.config.workers
        return Resources(workers.tag_workers, workers.tag_cpus, workers.tag_gpus)

    def committed(self) -> set[str]:
        return self.workspace.tagged_units(self.round_number)

    def is_committed(self, unit_id: str) -> bool:
        return self.workspace.has_tags(self.round_number, unit_id)

    def start(self) -> "Tagging":
        if self.load is not None:
            return Tagging(self.load(self.config))
        return Tagging(load_tagger(self.config, round_encoder(self.workspace, self.config).vectors))

    def do(self, model: "Tagging", unit: WorkUnit, given_up: GivenUp) -> list[TaggedClip]:
        return tag_clips(unit.clips, self.config, lambda: model.tagger, given_up=given_up, turn=model.turn)

    def commit(self, unit: WorkUnit, result: list[TaggedClip]) -> None:
        self.workspace.commit_tags(self.round_number, unit.unit_id, result)


@dataclass(frozen=True)
class SeparateJob:
    """Tracks of a unit with the round's starting checkpoint; ``load`` makes the separator from it."""

    workspace: Workspace
    config: Config
    round_number: int
    load: Callable[[Config, str], Separator] | None = None

    @property
    def resources(self) -> Resources:
        workers = self.config.workers
        return Resources(workers.separate_workers, workers.separate_cpus, workers.separate_gpus)

    def committed(self) -> set[str]:
        return self.workspace.committed_units(self.round_number)

    def is_committed(self, unit_id: str) -> bool:
        return self.workspace.is_committed(self.round_number, unit_id)

    def start(self) -> "Separating":
        workspace = self.workspace
        load = self.load or partial(load_separator, encoder=round_encoder(workspace, self.config))
        gate = load_gate(workspace, self.config, self.round_number)
        before = workspace.previous_checkpoint(before_round=self.round_number) if gate.needs_evidence else None
        return Separating(
            separator=load(self.config, workspace.current_checkpoint(before_round=self.round_number)),
            previous=load(self.config, before) if before is not None else None,
            gate=gate,
            label_free=load_label_free(workspace, self.config),
        )

    def do(self, model: "Separating", unit: WorkUnit, given_up: GivenUp) -> UnitResult:
        return separate_unit(
            unit,
            self.config,
            model.separator,
            model.gate,
            previous=model.previous,
            label_free=model.label_free,
            given_up=given_up,
            turn=model.turn,
        )

    def commit(self, unit: WorkUnit, result: UnitResult) -> None:
        self.workspace.commit_unit(self.round_number, unit.unit_id, result.tracks, result.shard)


@dataclass
class Tagging:
    """What a worker tags with. Its threads take turns: while one has the tagger, others decode."""

    tagger: Tagger
    turn: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Separating:
    """What a worker separates with. Its threads take turns: while one has the networks, others decode and write."""

    separator: Separator
    previous: Separator | None
    gate: Gate
    label_free: LabelFreeSeparator | None = None
    turn: threading.Lock = field(default_factory=threading.Lock)


def load_separator(config: Config, checkpoint: str, encoder: QueryEncoder | None = None) -> Separator:
    """The separator of a worker, on torch's default device; with ``encoder`` it loads no text encoder of its own."""
    model = config.model.model_copy(update={"checkpoint": checkpoint})
    return LabelSeparator.load(model, encoder, bf16=config.separate.bf16)
