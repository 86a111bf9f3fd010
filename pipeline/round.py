"""A round, as one page of named steps: tag, calibrate, separate, train, evaluate, promote, report.

``open_workspace`` comes first, then ``run_stage`` for every stage of every round, in order. Each stage reads the
workspace, writes its results there, and then its counts into ``round.json``. A stage that is finished is skipped, one
that was cut off starts again (``separate`` with the work units that are not committed), so calling everything again is
how a run is resumed.

Example::

    workspace = open_workspace(config, "runs/demo", progress)
    for stage in STAGES:
        run_stage(stage, workspace, config, 1, progress)
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import Clip, StageCounts, TaggedClip, Track
from pipeline.ledger import STAGES, RoundState, code_version
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.separate import WorkUnit

__all__ = ["STAGES", "open_workspace", "run_stage"]

# Stages import what they run when they run it: a finished workspace is passed through without torch and Ray.
StageFields = dict[str, Any]
Stage = Callable[[Workspace, Config, int, Progress], StageFields]


def open_workspace(config: Config, uri: str, progress: Progress = NO_PROGRESS) -> Workspace:
    """Open or make the workspace, and bring its clips up to date with the corpora, unless a round was cut off.

    Raises:
        UserError: another configuration, no usable corpus, or a place that cannot be written.
    """
    from pipeline.intake import take_in

    return take_in(uri, config, progress)


def run_stage(
    stage: str, workspace: Workspace, config: Config, round_number: int, progress: Progress = NO_PROGRESS
) -> RoundState:
    """Run one stage of a round, unless it is finished, and record it; returns the round's state.

    Raises:
        ValueError: no such stage, or not this one's turn.
        UserError: the user can fix it; the round continues with this stage on a rerun, as after any other error.
    """
    state = _begun(workspace, config, round_number)
    if stage in state.finished:
        return state
    if stage != state.next_stage:
        raise ValueError(f"round {round_number} goes on with {state.next_stage}, not with {stage}")
    started = time.perf_counter()
    try:
        fields = _STAGES[stage](workspace, config, round_number, progress)
    except Exception as error:
        line = str(error).strip().partition("\n")[0]
        failed = workspace.round_state(round_number).having(failure=f"{stage}: {line or type(error).__name__}")
        workspace.write_round_state(failed)
        raise
    seconds = time.perf_counter() - started
    done = workspace.round_state(round_number).with_stage(stage, seconds=seconds, **fields)
    workspace.write_round_state(done)
    return done


def _begun(workspace: Workspace, config: Config, round_number: int) -> RoundState:
    """The round's state, with what it starts from when it is new."""
    state = workspace.round_state(round_number)
    if state.state != "new":
        return state
    if round_number > 1 and workspace.round_state(round_number - 1).state != "finished":
        raise ValueError(f"round {round_number} cannot begin before round {round_number - 1} is finished")
    state = state.having(
        config=config.model_dump(mode="json"),
        code_version=code_version(),
        counts={
            "ingest": StageCounts.of(workspace.clips("natural")),
            "ingest_single_source": StageCounts.of(workspace.clips("single_source")),
        },
    )
    workspace.write_round_state(state)
    return state


def _tag(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> StageFields:
    """Labels for every clip. The tagger does not change from round to round, so a clip is heard once."""
    before = (tag for tag in workspace.tags(round_number - 1) if tag.source == "clap" and tag.outcome != "failed")
    heard = {tag.clip_id: tag for tag in before}
    clips = workspace.kept_clips("natural")
    new = [clip for clip in clips if clip.labels or clip.clip_id not in heard]
    heard.update({tag.clip_id: tag for tag in _new_tags(workspace, new, config, progress)})
    tags = [heard[clip.clip_id] for clip in clips]
    workspace.write_tags(round_number, tags)
    counts = StageCounts.of(tags)
    if counts.kept == 0:
        progress.say("No clip has two labels or more: nothing to separate, training has single-source clips only.")
    return {"counts": {"tag": counts}}


def _new_tags(workspace: Workspace, clips: Sequence[Clip], config: Config, progress: Progress) -> list[TaggedClip]:
    from models.taggers import Tagger, load_tagger
    from pipeline.label_queries import round_encoder
    from pipeline.tag import tag_clips

    def tagger() -> Tagger:
        return load_tagger(config, round_encoder(workspace, config).vectors)

    return tag_clips(clips, config, tagger, progress)


def _calibrate(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> StageFields:
    """What the scores of the round's separator are worth, from scenes with known truth."""
    from pipeline.calibrate import calibrate_round

    calibration = calibrate_round(workspace, config, round_number, progress)
    if calibration.warning:
        progress.say(f"round {round_number}: {calibration.warning}")
    return {"calibration": calibration.model_dump(mode="json")}


def _separate(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> StageFields:
    """Work units that are not committed yet go through the workers; counts come from what is committed."""
    from models.checkpoints import checkpoint_hash
    from pipeline.separate import work_units
    from pipeline.workers import separate_units

    checkpoint = workspace.current_checkpoint(before_round=round_number)
    state = workspace.round_state(round_number)
    begun_with, digest = state.checkpoint_in_hash, checkpoint_hash(checkpoint)
    if begun_with not in ("", digest):
        raise UserError(f"{checkpoint} is not the checkpoint any more that round {round_number} began with: restore it")
    workspace.write_round_state(state.having(checkpoint_in=checkpoint, checkpoint_in_hash=digest))

    workspace.sweep_round(round_number)
    units = work_units(workspace.kept_clips("natural"), workspace.tags(round_number), config.separate.unit_clips)
    committed = workspace.committed_units(round_number)
    with progress.task("separate", total=sum(len(unit.clips) for unit in units)) as task:
        task.advance(sum(len(unit.clips) for unit in units if unit.unit_id in committed))
        left = [unit for unit in units if unit.unit_id not in committed]
        for done in separate_units(workspace, config, round_number, left):
            task.advance(done.clips)

    tally = _tally(workspace, round_number, units)
    clips: StageCounts = tally["counts"]["separate"]
    if clips.inputs and clips.failed == clips.inputs:
        # Most likely the place of the recordings is gone, not every single one: leave nothing that says it is done.
        for unit in units:
            workspace.discard_unit(round_number, unit.unit_id)
        raise UserError(
            f"none of {clips.inputs} clips could be separated: {next(iter(clips.reasons))}; repair that and run again"
        )
    return tally


def _tally(workspace: Workspace, round_number: int, units: Sequence["WorkUnit"]) -> StageFields:
    """Counts of the manifest: clips, tracks, tiers, and seconds kept; one manifest part in memory at a time."""
    clips, tracks = StageCounts(), StageCounts()
    tiers = {"sst": 0, "itt": 0, "rejected": 0}
    kept_s = 0.0
    for unit in units:
        rows = workspace.unit_tracks(round_number, unit.unit_id)
        tracks += StageCounts.of([row for row in rows if row.outcome != "failed"])
        clips += StageCounts.of(_clip_outcomes(rows))
        for row in rows:
            tiers[row.tier] += row.outcome != "failed"
            kept_s += row.duration_s * (row.outcome == "kept")
    return {"counts": {"separate": clips, "gate": tracks}, "tiers": tiers, "kept_s": round(kept_s, 3)}


def _clip_outcomes(rows: Sequence[Track]) -> list[TaggedClip]:
    """One outcome per clip: it was separated, or it failed for the reason that all of its rows have."""
    firsts = {row.clip_id: row for row in reversed(rows)}
    return [
        TaggedClip(clip_id=clip_id, outcome="failed", reason=row.reason)
        if row.outcome == "failed"
        else TaggedClip(clip_id=clip_id)
        for clip_id, row in firsts.items()
    ]


def _train(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> StageFields:
    from models.checkpoints import checkpoint_hash
    from pipeline.train_workers import train_round

    result = train_round(workspace, config, round_number, progress)
    fields: StageFields = {"training": result.model_dump(mode="json")}
    if not result.skipped:
        folder = str(workspace.local_folder(round_number, "checkpoint"))
        fields |= {"checkpoint_out": folder, "checkpoint_out_hash": checkpoint_hash(folder)}
    return fields


def _evaluate(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> StageFields:
    if not workspace.round_state(round_number).checkpoint_out_hash:
        return {"metrics": {}}
    from pipeline.evaluate import evaluate_round

    return {"metrics": evaluate_round(workspace, config, round_number, progress)}


def _promote(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> StageFields:
    from pipeline.promote import Promotion, decide

    state = workspace.round_state(round_number)
    if not state.checkpoint_out_hash:
        promotion = Promotion(promoted=False, reason=f"no new checkpoint: {state.training['skipped']}")
    else:
        promotion = decide(state.metrics["current"], state.metrics["candidate"], config)
    verdict = "the new checkpoint replaces the current one" if promotion.promoted else "the current checkpoint stays"
    progress.say(f"round {round_number}: {verdict}: {promotion.reason}")
    return {"promotion": promotion.model_dump(mode="json")}


def _report(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> StageFields:
    from pipeline.report import write_report

    write_report(workspace, round_number, progress, config=config)
    return {}


_STAGES: dict[str, Stage] = {
    "tag": _tag,
    "calibrate": _calibrate,
    "separate": _separate,
    "train": _train,
    "evaluate": _evaluate,
    "promote": _promote,
    "report": _report,
}
