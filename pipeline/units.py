"""Work units: the fixed slices of a round's clips that tag and separate commit, retry and resume by.

A stage first writes its plan: which unit holds which clips, with the labels that are known so far. The plan is what
workers read their units from, so the driver holds unit ids and nothing else, and a resume works on the very units that
it was cut off in, whatever has happened to the corpus since. Layout, below ``rounds/NNN/units``::

    tag/00000.parquet     WorkUnit, one row per unit; a part is what a worker is given at a time
    tag.json              unit ids and their numbers of clips, by part; written last, so it says that the plan is whole

Example::

    plan = open_plan(workspace, 1, "separate") or write_plan(workspace, 1, "separate", units, count=125)
    for unit in plan.units("00000.parquet"): ...
"""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from data_specs.records import Clip, Record, TaggedClip, content_id
from pipeline.record_files import chunks, iter_records, write_records
from pipeline.storage import Storage
from pipeline.workspace import Workspace

MAX_PARTS = 4000
"""Most parts of a plan: what the driver and Ray keep count of does not grow beyond that."""


class WorkUnit(Record):
    """A fixed slice of a round's clips: committed, retried and resumed as one.

    ``labels[i]`` is for ``clips[i]``; in the separate stage, none means that it is separated without labels.
    """

    unit_id: str
    clips: tuple[Clip, ...]
    labels: tuple[tuple[str, ...], ...]

    def without(self, clip_ids: Collection[str]) -> "WorkUnit":
        """The unit, under its id, with those clips left out."""
        left = [pair for pair in zip(self.clips, self.labels, strict=True) if pair[0].clip_id not in clip_ids]
        return WorkUnit(
            unit_id=self.unit_id,
            clips=tuple(clip for clip, _ in left),
            labels=tuple(labels for _, labels in left),
        )


@dataclass(frozen=True)
class Plan:
    """The work units of one stage of a round.

    Attributes:
        storage: the folder of its parts.
        parts: by the name of a part, its units and how many clips each has.
    """

    storage: Storage
    parts: Mapping[str, Mapping[str, int]]

    @property
    def clips(self) -> int:
        """Clips in all units."""
        return sum(sum(part.values()) for part in self.parts.values())

    @property
    def unit_ids(self) -> list[str]:
        """All units, in their order."""
        return [unit_id for part in self.parts.values() for unit_id in part]

    def units(self, part: str) -> Iterator[WorkUnit]:
        """The units of a part."""
        return read_units(self.storage, part)


def tag_units(clips: Iterable[Clip], unit_clips: int) -> Iterator[WorkUnit]:
    """Slices of ``unit_clips`` rows of the clip table, each with those of its clips that ingest kept.

    A row that is not kept any more therefore changes no unit but its own; slices without a kept clip give no unit.
    """
    for position, rows in enumerate(chunks(clips, unit_clips)):
        kept = [(clip, clip.labels) for clip in rows if clip.outcome == "kept"]
        if kept:
            yield _unit(position, kept)


def separate_units(
    pairs: Iterable[tuple[Clip, TaggedClip]], unit_clips: int, *, source: str = "labels"
) -> Iterator[WorkUnit]:
    """Slices of ``unit_clips`` of the clips whose tags go on to separation, with the labels to ask for.

    Args:
        source: as ``separate.source``.
    """
    tagged = ((clip, queried_labels(tag, source)) for clip, tag in pairs if tag.outcome == "kept")
    for position, rows in enumerate(chunks(tagged, unit_clips)):
        yield _unit(position, rows)


def queried_labels(tag: TaggedClip, source: str) -> tuple[str, ...]:
    """The labels that the separator is asked for in a clip; none for a clip that is separated without labels."""
    if source == "label_free" or (source == "both" and len(tag.labels) < 2):
        return ()
    return tag.labels


def open_plan(workspace: Workspace, round_number: int, stage: str) -> Plan | None:
    """The plan of a stage, or None when none was finished."""
    folder = workspace.round_storage(round_number).child("units")
    if not folder.is_file(f"{stage}.json"):
        return None
    return Plan(folder.child(stage), json.loads(folder.read_bytes(f"{stage}.json")))


def write_plan(workspace: Workspace, round_number: int, stage: str, units: Iterable[WorkUnit], *, count: int) -> Plan:
    """Write the plan of a stage in bounded memory; ``count`` says about how many units there will be."""
    folder = workspace.round_storage(round_number).child("units")
    parts: dict[str, dict[str, int]] = {}
    for number, chunk in enumerate(chunks(units, max(1, math.ceil(count / MAX_PARTS)))):
        name = f"{number:05d}.parquet"
        write_records(folder, f"{stage}/{name}", WorkUnit, chunk)
        parts[name] = _sizes(chunk)
    _write_index(folder, stage, parts)
    return Plan(folder.child(stage), parts)


def replace_part(workspace: Workspace, round_number: int, stage: str, part: str, units: Sequence[WorkUnit]) -> None:
    """Put other units in the place of a part of a finished plan."""
    folder = workspace.round_storage(round_number).child("units")
    parts = json.loads(folder.read_bytes(f"{stage}.json"))
    write_records(folder, f"{stage}/{part}", WorkUnit, units)
    _write_index(folder, stage, {**parts, part: _sizes(units)})


def read_units(storage: Storage, part: str) -> Iterator[WorkUnit]:
    """The units of a part of a plan, which is in ``storage``."""
    return iter_records(storage, part, WorkUnit)


def clips_with_tags(workspace: Workspace, round_number: int) -> Iterator[tuple[Clip, TaggedClip]]:
    """Every clip of a round with its tags, in the order of the tag stage's plan, one unit in memory at a time.

    Raises:
        ValueError: the round has no tags yet.
    """
    plan = open_plan(workspace, round_number, "tag")
    if plan is None:
        raise ValueError(f"round {round_number} has no tags yet")
    for part in plan.parts:
        for unit in plan.units(part):
            yield from zip(unit.clips, workspace.unit_tags(round_number, unit.unit_id), strict=True)


def _sizes(units: Iterable[WorkUnit]) -> dict[str, int]:
    return {unit.unit_id: len(unit.clips) for unit in units}


def _write_index(folder: Storage, stage: str, parts: Mapping[str, Mapping[str, int]]) -> None:
    folder.write_bytes(f"{stage}.json", json.dumps(parts, indent=1).encode())


def _unit(position: int, rows: Iterable[tuple[Clip, tuple[str, ...]]]) -> WorkUnit:
    """Ids come from position and content."""
    clips, labels = zip(*rows, strict=True)
    parts = (part for clip, own in zip(clips, labels, strict=True) for part in (clip.clip_id, *own))
    return WorkUnit(unit_id=f"{position:06d}-{content_id(*parts, length=12)}", clips=clips, labels=labels)
