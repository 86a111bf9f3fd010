"""Separate the clips of a work unit into tracks, score and gate them, and put the kept ones into a shard.

Stands between ``tag`` and ``train``. Plain functions: the unit goes in, its manifest rows and its shard come out;
``pipeline.workers`` calls them in parallel. All labels of a clip are negative queries for one another (A.2 of the
paper), and the encoder runs once per clip; a gate that needs more evidence has tracks separated again. A clip without
labels is taken apart without any (``pipeline.label_free``); what comes out goes through the same gate.

Example::

    result = separate_unit(unit, config, LabelSeparator.load(config.model))
    workspace.commit_unit(1, unit.unit_id, result.tracks, result.shard)
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from data_specs.config import Config
from data_specs.records import Clip, Outcome, Track, TrackSource, content_id
from pipeline.audio import AudioError, decode
from pipeline.evidence import ClipEvidence, Witness, finite_or_none, first_look, remix_evidence, second_look
from pipeline.gate import Decision, Gate, PaperGate
from pipeline.label_free import LabelFreeSeparator
from pipeline.memory import is_out_of_memory
from pipeline.shards import ShardItem, shard_bytes
from pipeline.tag import too_few
from pipeline.units import WorkUnit
from pipeline.workspace import shard_name


class Separator(Protocol):
    """What separates; ``models.label_separator.LabelSeparator`` is one."""

    checkpoint_hash: str

    def separate_batch(self, mixtures: Tensor, labels: Sequence[Sequence[str]]) -> list[Tensor]:
        """Mixtures (B, T) with Q labels each to B tensors (Q, T)."""


@dataclass(frozen=True)
class UnitResult:
    """One row per track of every clip of the unit, and the shard's bytes (None when no track was kept)."""

    tracks: tuple[Track, ...]
    shard: bytes | None


def separate_unit(
    unit: WorkUnit,
    config: Config,
    separator: Separator,
    gate: Gate | None = None,
    *,
    previous: Separator | None = None,
    label_free: LabelFreeSeparator | None = None,
    given_up: Mapping[str, str] | None = None,
    turn: AbstractContextManager[object] | None = None,
) -> UnitResult:
    """Separate, score and gate every clip of a unit; the gate is the paper's unless another one is given.

    A clip that cannot be decoded or separated gives failed rows with the reason, one per label; the others go on. One
    without labels, in which fewer than two are heard, gives one dropped row.

    Args:
        previous: the separator of the round before, if it was another one and the gate looks at more than the remix.
        label_free: separates clips without labels; needed where there are some.
        given_up: clips that are not to be touched again, with the reason that their failed rows get.
        turn: held while a network runs, for threads that share one.
    """
    reasons = given_up or {}
    tools = _Tools(separator, gate or PaperGate(config.gate), previous, label_free)
    sources = [
        _load(clip, labels, config, reasons.get(clip.clip_id, ""))
        for clip, labels in zip(unit.clips, unit.labels, strict=True)
    ]
    readable = [source for source in sources if not source.error]
    judged: dict[str, _Judged | _Left] = {}
    for batch in _batches(readable, config, tools.outputs):
        with turn or nullcontext():
            results = _separate(batch, tools)
        judged.update({source.clip.clip_id: one for source, one in zip(batch, results, strict=True)})
    tracks: list[Track] = []
    items: list[ShardItem] = []
    for source in sources:
        one = judged.get(source.clip.clip_id) or _Left("failed", source.error)
        if isinstance(one, _Left):
            rows = _rows(source, source.labels or ("",), unit, config, tools)
            tracks += [_with(row, outcome=one.outcome, reason=one.reason) for row in rows]
            continue
        rows = _gated(_rows(source, one.evidence.labels, unit, config, tools), one)
        tracks += rows
        items.append(ShardItem(source.clip, source.mixture, rows, one.evidence.tracks.float().cpu().numpy()))
    return UnitResult(tuple(tracks), shard_bytes(items, sample_rate_hz=config.audio.sample_rate_hz))


class _Tools(NamedTuple):
    """What clips are separated and judged with."""

    separator: Separator
    gate: Gate
    previous: Separator | None
    label_free: LabelFreeSeparator | None

    @property
    def outputs(self) -> int:
        """Estimates of a clip without labels."""
        return self.label_free.model.config.outputs if self.label_free else 1


class _Left(NamedTuple):
    """What became of a clip that has no tracks."""

    outcome: Outcome
    reason: str


class _Source(NamedTuple):
    """A clip with the labels to ask for and its mixture (T,), or the reason why it has none."""

    clip: Clip
    labels: tuple[str, ...]
    mixture: np.ndarray
    error: str = ""


def _load(clip: Clip, labels: tuple[str, ...], config: Config, given_up: str) -> _Source:
    if given_up:
        return _Source(clip, labels, np.zeros(0, np.float32), given_up)
    try:
        mixture = decode(
            clip.path,
            start_s=clip.start_s,
            duration_s=clip.duration_s,
            sample_rate_hz=config.audio.sample_rate_hz,
        )
    except AudioError as error:
        return _Source(clip, labels, np.zeros(0, np.float32), str(error))
    return _Source(clip, labels, mixture)


def _batches(sources: Sequence[_Source], config: Config, outputs: int) -> Iterator[list[_Source]]:
    """Neighbours of equal length, all with labels or all without, as many as ``batch_clips`` and ``batch_track_s``
    allow; at least one. ``outputs``: tracks of a clip without labels."""
    limits = config.separate
    batch: list[_Source] = []
    tracks_s = 0.0
    for source in sources:
        own_s = (len(source.labels) or outputs) * len(source.mixture) / config.audio.sample_rate_hz
        full = len(batch) == limits.batch_clips or tracks_s + own_s > limits.batch_track_s
        if batch and (full or _shape(batch[0]) != _shape(source)):
            yield batch
            batch, tracks_s = [], 0.0
        batch.append(source)
        tracks_s += own_s
    if batch:
        yield batch


def _shape(source: _Source) -> tuple[int, bool]:
    return len(source.mixture), bool(source.labels)


class _Judged(NamedTuple):
    """A separated clip with its scores, and what the gate says of its tracks."""

    evidence: ClipEvidence
    decisions: list[Decision]


def _separate(batch: Sequence[_Source], tools: _Tools) -> list[_Judged | _Left]:
    """What came of every clip, or the reason why nothing did; a batch that fails is tried clip by clip."""
    mixtures = torch.from_numpy(np.stack([source.mixture for source in batch])).to(torch.get_default_device())  # (B, T)
    labels = [source.labels for source in batch]
    try:
        if not all(labels):
            return _separate_without_labels(mixtures, tools)
        return list(_judge(mixtures, labels, tools))
    except (RuntimeError, ValueError, MemoryError) as error:
        if len(batch) == 1:
            if is_out_of_memory(error):
                raise  # the machine's fault, not the clip's
            return [_Left("failed", f"separation failed: {str(error).strip().splitlines()[0]}")]
    return [one for source in batch for one in _separate([source], tools)]


def _separate_without_labels(mixtures: Tensor, tools: _Tools) -> list[_Judged | _Left]:
    """Mixtures (B, T) to what is heard in each, judged; a clip with fewer than two labels is left, as by the tagger."""
    if tools.label_free is None:
        raise ValueError("a clip without labels needs an unconditional separator")
    found = tools.label_free.find_batch(mixtures)
    rows = [row for row, one in enumerate(found) if not too_few(one.labels)]
    judged: Iterator[_Judged] = iter(())
    if rows:
        labels, tracks = [found[row].labels for row in rows], [found[row].tracks for row in rows]
        judged = iter(_judge(mixtures[rows], labels, tools, tracks))
    return [next(judged) if row in rows else _Left("dropped", too_few(one.labels)) for row, one in enumerate(found)]


def _judge(
    mixtures: Tensor, labels: Sequence[Sequence[str]], tools: _Tools, tracks: Sequence[Tensor] | None = None
) -> list[_Judged]:
    """Tracks, the separator's own unless others are given, with as many scores as the gate needs, and its decisions.

    Raises:
        ValueError: tracks that are not finite.
    """
    gate = tools.gate
    if gate.needs_evidence:
        witness, before = cast(Witness, tools.separator), cast(Witness | None, tools.previous)
        clips = first_look(witness, mixtures, labels, previous=before, references=gate.references, tracks=tracks)
        second_look(witness, clips, gate.in_doubt(clips))
        clips = finite_or_none(clips)
    else:
        own = tools.separator.separate_batch(mixtures, labels) if tracks is None else tracks
        clips = remix_evidence(mixtures, labels, own)
    return [_Judged(clip, decided) for clip, decided in zip(clips, gate.decide(clips), strict=True)]


def _rows(source: _Source, labels: Sequence[str], unit: WorkUnit, config: Config, tools: _Tools) -> list[Track]:
    """One row per label, before the gate."""
    clip, config_hash = source.clip, config.digest()
    origin: TrackSource = "labels" if source.labels else "label_free"
    used = tools.separator if source.labels else tools.label_free
    checkpoint = used.checkpoint_hash if used else ""
    return [
        Track(
            track_id=content_id(clip.clip_id, label, checkpoint, config_hash),
            clip_id=clip.clip_id,
            label=label,
            index=index,
            negative_labels=tuple(other for other in labels if other != label),
            source=origin,
            duration_s=len(source.mixture) / config.audio.sample_rate_hz if len(source.mixture) else clip.duration_s,
            unit=unit.unit_id,
            checkpoint=checkpoint,
            config_hash=config_hash,
        )
        for index, label in enumerate(labels)
    ]


def _gated(rows: Sequence[Track], judged: _Judged) -> list[Track]:
    """The rows with their scores and the gate's decisions."""
    return [
        _with(
            row,
            **scores,
            expected_si_sdr_db=decision.prediction and decision.prediction.si_sdr_db,
            good_probability=decision.prediction and decision.prediction.good_probability,
            tier=decision.tier,
            outcome="dropped" if decision.tier == "rejected" else "kept",
            reason=decision.reason,
            shard="" if decision.tier == "rejected" else shard_name(row.unit),
        )
        for row, scores, decision in zip(rows, judged.evidence.scores, judged.decisions, strict=True)
    ]


def _with(row: Track, **changes: Any) -> Track:
    return Track(**{**row.model_dump(), **changes})
