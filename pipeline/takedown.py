"""Takedowns: what its owner withdraws leaves the clip tables, and tags, manifests, shards and reports of all rounds.

``takedown`` in the configuration names a list with the column ``path``: recordings as the corpus names them, or the end
of such a path from a folder's name on. It is read whenever a run opens the workspace, before any stage. The clips' rows
stay in the clip table, dropped with the reason, so that they are not ingested again and are counted. Checkpoints that
were trained on them are not touched.

Example::

    take_down(workspace, config, progress)      # how many clips were withdrawn by this call
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from data_specs.config import Config
from data_specs.errors import UserError, few
from data_specs.list_files import list_rows
from data_specs.records import Clip, StageCounts
from pipeline.checksums import SHARD_SHA256, notes_of, sha256_of
from pipeline.progress import Progress
from pipeline.shards import ShardError, without_clips
from pipeline.tallies import tally_round
from pipeline.units import open_plan, replace_part
from pipeline.workspace import ClipSet, Workspace, shard_name

WITHDRAWN = "withdrawn by its owner"

_CLIP_SETS: tuple[ClipSet, ...] = ("natural", "single_source")


def take_down(workspace: Workspace, config: Config, progress: Progress) -> int:
    """Remove what the takedown list names and is not removed yet; how many clips that were.

    A call that was cut off is made good by the next one: the clip tables, which say what is removed, are written last.

    Raises:
        UserError: the list cannot be read, or a shard is damaged, so that nothing can be taken out of it.
    """
    names = set(_listed(config.takedown)) if config.takedown else set()
    if not names:
        return 0
    unknown = set(names)
    own = {clip_set: _named(workspace.iter_clips(clip_set), names, unknown) for clip_set in _CLIP_SETS}
    natural, tracks = {clip.clip_id for clip in own["natural"]}, 0
    for round_number in workspace.round_numbers() if natural else []:
        tracks += _leave_round(workspace, round_number, natural)
        _count_again(workspace, round_number, natural)
        _report_again(workspace, config, round_number, progress)
    for clip_set, named in own.items():
        if named:
            gone = {clip.clip_id for clip in named}
            workspace.write_clips(clip_set, _marked(workspace.iter_clips(clip_set), gone))
    if unknown:
        lines = "1 line" if len(unknown) == 1 else f"{len(unknown)} lines"
        name = f"{PurePosixPath(config.takedown).name} name{'s' if len(unknown) == 1 else ''}"
        progress.say(f"{lines} of {name} no recording of this workspace: {few(sorted(unknown), 3)}")
    count = sum(map(len, own.values()))
    if count:
        clips = f"{count} clip{'' if count == 1 else 's'}"
        progress.say(f"Withdrawn by their owners: {clips}. {tracks} tracks left shards and manifests.")
    return count


def _listed(path: str) -> Iterator[str]:
    for _, row in list_rows(path, required=("path",)):
        if name := (row["path"] or "").strip():
            yield name.removeprefix("./")


def _named(clips: Iterable[Clip], names: set[str], unknown: set[str]) -> list[Clip]:
    """The clips whose path, or its end from a folder's name on, is among ``names``; not those that were removed.

    The names of both leave ``unknown``: the row of a clip stays in its table for ever.
    """
    named = []
    for clip in clips:
        own = names.intersection(_ends(clip.path))
        unknown -= own
        if own and clip.reason != WITHDRAWN:
            named.append(clip)
    return named


def _ends(path: str) -> Iterator[str]:
    """``a/b/c.wav``, ``b/c.wav``, ``c.wav``."""
    yield path
    parts = PurePosixPath(path).parts
    for first in range(1, len(parts)):
        yield "/".join(parts[first:])


def _marked(clips: Iterable[Clip], clip_ids: Collection[str]) -> Iterator[Clip]:
    for clip in clips:
        gone = clip.clip_id in clip_ids
        yield clip.model_copy(update={"outcome": "dropped", "reason": WITHDRAWN}) if gone else clip


def _leave_round(workspace: Workspace, round_number: int, clip_ids: Collection[str]) -> int:
    """Take clips out of a round's plans, tags, manifest and shards; how many kept tracks that were."""
    for stage in ("tag", "separate"):
        plan = open_plan(workspace, round_number, stage)
        for part in plan.parts if plan else []:
            units = list(plan.units(part)) if plan else []
            left = [unit.without(clip_ids) for unit in units]
            if left != units:
                replace_part(workspace, round_number, stage, part, left)
    for unit_id in sorted(workspace.tagged_units(round_number)):
        tags = workspace.unit_tags(round_number, unit_id)
        if any(tag.clip_id in clip_ids for tag in tags):
            workspace.commit_tags(round_number, unit_id, [tag for tag in tags if tag.clip_id not in clip_ids])
    return sum(_leave_unit(workspace, round_number, unit, clip_ids) for unit in workspace.committed_units(round_number))


def _leave_unit(workspace: Workspace, round_number: int, unit_id: str, clip_ids: Collection[str]) -> int:
    rows = workspace.unit_tracks(round_number, unit_id)
    gone = [row for row in rows if row.clip_id in clip_ids]
    if not gone:
        return 0
    name, shard = shard_name(unit_id), None
    if name in workspace.shards(round_number):
        shard = _taken_out(workspace, round_number, unit_id, clip_ids)
        if shard is None:
            workspace.delete_shard(round_number, name)
    workspace.commit_unit(round_number, unit_id, [row for row in rows if row.clip_id not in clip_ids], shard)
    return sum(row.outcome == "kept" for row in gone)


def _taken_out(workspace: Workspace, round_number: int, unit_id: str, clip_ids: Collection[str]) -> bytes | None:
    """A unit's shard without some clips, None when nothing is left.

    A damaged shard must not get a new checksum. One that holds none of the clips any more may differ from the manifest:
    a call was cut off between the two.
    """
    name = shard_name(unit_id)
    with workspace.open_shard(round_number, name) as file:
        data = file.read()
    checksum = notes_of(workspace.manifest_bytes(round_number, unit_id)).get(SHARD_SHA256)
    try:
        left = without_clips(data, clip_ids, name=name)
        if left == data or sha256_of(data) == checksum:
            return left
        problem = "its content does not match its checksum"
    except ShardError as error:
        problem = str(error).removeprefix(f"{name}: ")
    folder = workspace.round_storage(round_number).uri
    raise UserError(
        f"{folder}/shards/{name} is damaged ({problem}), so nothing that was withdrawn can be taken out of it: "
        f"delete it and {folder}/tracks/{unit_id}.parquet, then run again; the unit's other tracks are lost with it"
    )


def _count_again(workspace: Workspace, round_number: int, clip_ids: Collection[str]) -> None:
    """Bring the counts of a round's stages to what is there now, so that they add up."""
    state = workspace.round_state(round_number)
    counts, fields = dict(state.counts), dict[str, Any]()
    plan = open_plan(workspace, round_number, "tag")
    if plan is None:
        counts["ingest"] = StageCounts.of(_marked(workspace.iter_clips("natural"), clip_ids))
    elif gone := counts["ingest"].kept - plan.clips:
        counts["ingest"] += StageCounts(kept=-gone, dropped=gone, reasons={WITHDRAWN: gone})
    if "tag" in state.finished:
        counts["tag"] = StageCounts.of(workspace.iter_tags(round_number))
    if "separate" in state.finished:
        tally = tally_round(workspace, round_number)
        counts |= {"separate": tally.clips, "gate": tally.tracks}
        fields = {"tiers": tally.tiers, "kept_s": tally.kept_s}
    workspace.write_round_state(state.having(counts=counts, **fields))


def _report_again(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> None:
    """A report that is there holds audio and rows of its clips."""
    if "report" in workspace.round_state(round_number).finished:
        from pipeline.report import write_report  # brings plotting, which few runs need

        write_report(workspace, round_number, progress, config=config)
