"""The stages of a round that go unit by unit: tag and separate. Plan the units, have them done, count the outcomes.

Only what has to be heard goes to the workers: tags that the corpus or an earlier round gave are committed while the
plan is written. Memory does not grow with the corpus but for the ids of its units.

Example::

    counts = tag_round(workspace, config, 1, progress)
    tally = separate_round(workspace, config, 1, progress)
"""

from collections.abc import Iterator, Sequence
from typing import Any

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import StageCounts, TaggedClip
from pipeline.progress import Progress
from pipeline.tag import known_tags
from pipeline.tallies import SeparateTally, tally_round
from pipeline.unit_jobs import SeparateJob, TagJob, UnitJob
from pipeline.units import Plan, WorkUnit, clips_with_tags, open_plan, separate_units, tag_units, write_plan
from pipeline.workers import run_units
from pipeline.workspace import Workspace


def tag_round(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> StageCounts:
    """Labels for every kept clip; counts of what became of them.

    Neither clips nor the tagger change from round to round, so a unit that an earlier round tagged is not heard again.
    """
    plan = open_plan(workspace, round_number, "tag")
    if plan is None:
        workspace.discard_tags(round_number)
        units = tag_units(workspace.iter_clips("natural"), config.tag.unit_clips)
        count = workspace.count_clips("natural") // config.tag.unit_clips + 1
        known = _committing_known_tags(workspace, config, round_number, units)
        plan = write_plan(workspace, round_number, "tag", known, count=count)
    _do(TagJob(workspace, config, round_number), plan, "tag", progress)
    return StageCounts.of(workspace.iter_tags(round_number))


def separate_round(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> SeparateTally:
    """Tracks of every clip that the tag stage let through; counts of what became of them.

    Raises:
        UserError: not one clip could be separated.
    """
    workspace.sweep_round(round_number)
    plan = open_plan(workspace, round_number, "separate")
    if plan is None:
        pairs = clips_with_tags(workspace, round_number)
        units = separate_units(pairs, config.separate.unit_clips, source=config.separate.source)
        count = workspace.count_clips("natural") // config.separate.unit_clips + 1
        plan = write_plan(workspace, round_number, "separate", units, count=count)
    _do(SeparateJob(workspace, config, round_number), plan, "separate", progress)
    tally = tally_round(workspace, round_number)
    if tally.clips.inputs and tally.clips.failed == tally.clips.inputs:
        # Most likely the place of the recordings is gone, not every single one: leave nothing that says it is done.
        for unit_id in plan.unit_ids:
            workspace.discard_unit(round_number, unit_id)
        reason = next(iter(tally.clips.reasons))
        raise UserError(f"none of {tally.clips.inputs} clips could be separated: {reason}; repair that and run again")
    return tally


def _do(job: UnitJob, plan: Plan, stage: str, progress: Progress) -> None:
    """Have the units done that are not committed yet."""
    with progress.task(stage, total=plan.clips) as task:
        committed = job.committed()
        task.advance(sum(clips for part in plan.parts.values() for unit, clips in part.items() if unit in committed))
        for done in run_units(job, plan):
            task.advance(done.clips)


def _committing_known_tags(
    workspace: Workspace, config: Config, round_number: int, units: Iterator[WorkUnit]
) -> Iterator[WorkUnit]:
    """The units as they are; on the way, those whose tags are known without hearing them are committed."""
    earlier = _round_with_same_tags(workspace, config, round_number)
    tagged = workspace.tagged_units(earlier) if earlier else set()
    for unit in units:
        known = [known_tags(clip, config) for clip in unit.clips]
        tags: Sequence[TaggedClip] = [tag for tag in known if tag is not None]
        if len(tags) < len(known) and unit.unit_id in tagged:
            tags = workspace.unit_tags(earlier, unit.unit_id)
        if len(tags) == len(known) and not any(tag.outcome == "failed" for tag in tags):
            workspace.commit_tags(round_number, unit.unit_id, tags)
        yield unit


def _round_with_same_tags(workspace: Workspace, config: Config, round_number: int) -> int:
    """The last earlier round that tagged as this one does; 0 for none."""
    for number in range(round_number - 1, 0, -1):
        state = workspace.round_state(number)
        if "tag" in state.finished and _tag_settings(state.settings) == _tag_settings(config):
            return number
    return 0


def _tag_settings(config: Config) -> dict[str, Any]:
    """What the tags of a clip depend on."""
    content = config.model_dump(include={"audio": True, "tag": True, "model": True, "separate": {"source"}})
    content["model"].pop("checkpoint")
    content["tag"].pop("unit_clips")
    return content
