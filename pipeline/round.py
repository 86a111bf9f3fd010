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
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import StageCounts
from pipeline.faults import repairable
from pipeline.interruptions import sigterm_gets_through
from pipeline.ledger import STAGES, RoundState, code_version
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.starvation import told_when_starved
from pipeline.workspace import Workspace

__all__ = ["STAGES", "open_workspace", "run_stage"]

# Stages import what they run when they run it: a finished workspace is passed through without torch and Ray.
StageFields = dict[str, Any]
Stage = Callable[[Workspace, Config, int, Progress], StageFields]


def open_workspace(config: Config, uri: str, progress: Progress = NO_PROGRESS) -> Workspace:
    """Open or make the workspace, and bring its clips up to date with the corpora, unless a round was cut off.
    What its owners have withdrawn leaves all rounds.

    A configuration that has changed since the last run is that of a new round, which is said.

    Raises:
        UserError: clips of another configuration, no usable corpus, or a place that cannot be written.
    """
    from pipeline.intake import take_in
    from pipeline.takedown import take_down

    found = Workspace(uri)
    changed = found.changed_keys(config) if found.exists() else []
    before = found.set_aside(found.config) if changed else set()
    try:
        workspace = take_in(uri, config, progress)
        take_down(workspace, config, progress)
    except OSError as error:
        if repair := repairable(error, uri):
            raise repair from error
        raise
    if changed:
        _say_what_goes_on(workspace, config, changed, before, progress)
    return workspace


def _say_what_goes_on(
    workspace: Workspace, config: Config, changed: list[str], before: set[int], progress: Progress
) -> None:
    """What a changed configuration means for rounds that are under way; ``before`` were set aside already."""
    aside = workspace.set_aside(config)
    progress.say(f"The configuration has changed ({', '.join(changed)}); a new round uses it.")
    for number in sorted(aside - before):
        stage = workspace.round_state(number).next_stage
        progress.say(
            f"Round {number}, begun with the other configuration, is set aside as it is, before its stage {stage}; "
            "a run with that configuration goes on with it."
        )
    for number in sorted(before - aside):
        progress.say(f"Round {number} was begun with this configuration and goes on.")


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
        with sigterm_gets_through(), told_when_starved():
            fields = _STAGES[stage](workspace, config, round_number, progress)
    except Exception as error:
        repair = repairable(error, workspace.uri)
        line = str(repair or error).strip().partition("\n")[0]
        with suppress(OSError):  # the disk that stopped the stage may be too full for this, the bucket still be away
            failed = workspace.round_state(round_number).having(failure=f"{stage}: {line or type(error).__name__}")
            workspace.write_round_state(failed)
        if repair:
            raise repair from error
        raise
    seconds = time.perf_counter() - started
    done = workspace.round_state(round_number).with_stage(stage, seconds=seconds, **fields)
    workspace.write_round_state(done)
    return done


def _begun(workspace: Workspace, config: Config, round_number: int) -> RoundState:
    """The round's state, with what it starts from when it is new."""
    state = workspace.round_state(round_number)
    aside = workspace.set_aside(config)
    if round_number in aside:
        raise UserError(f"round {round_number} was begun with another configuration or an older checkpoint")
    if state.state != "new":
        return state
    finished = [number for number in workspace.round_numbers() if workspace.round_state(number).state == "finished"]
    waiting = sorted({*range(1, round_number)} - {*finished} - aside)
    if waiting:
        raise ValueError(f"round {round_number} cannot begin before round {waiting[0]} is finished")
    state = state.having(
        config=config.model_dump(mode="json"),
        finished_before=len(finished),
        code_version=code_version(),
        counts={
            "ingest": StageCounts.of(workspace.iter_clips("natural")),
            "ingest_single_source": StageCounts.of(workspace.iter_clips("single_source")),
        },
    )
    workspace.write_round_state(state)
    return state


def _tag(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> StageFields:
    from pipeline.label_free import unconditional_hash
    from pipeline.unit_stages import tag_round

    unconditional_hash(config)  # a missing checkpoint is said before the work
    counts = tag_round(workspace, config, round_number, progress)
    if counts.kept == 0:
        progress.say("No clip has two labels or more: nothing to separate, training has single-source clips only.")
    return {"counts": {"tag": counts}}


def _calibrate(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> StageFields:
    """What the scores of the round's separator are worth, from scenes with known truth."""
    from pipeline.calibrate import calibrate_round

    calibration = calibrate_round(workspace, config, round_number, progress)
    if calibration.warning:
        progress.say(f"round {round_number}: {calibration.warning}")
    return {"calibration": calibration.model_dump(mode="json")}


def _separate(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> StageFields:
    from models.checkpoints import checkpoint_hash
    from pipeline.label_free import unconditional_hash
    from pipeline.unit_stages import separate_round

    checkpoint = workspace.current_checkpoint(before_round=round_number)
    state = workspace.round_state(round_number)
    digest, without_labels = checkpoint_hash(checkpoint), unconditional_hash(config)
    for name, begun_with, found in (
        (checkpoint, state.checkpoint_in_hash, digest),
        (config.separate.unconditional, state.unconditional_hash, without_labels),
    ):
        if begun_with not in ("", found):
            raise UserError(f"{name} is not the checkpoint any more that round {round_number} began with: restore it")
    workspace.write_round_state(
        state.having(checkpoint_in=checkpoint, checkpoint_in_hash=digest, unconditional_hash=without_labels)
    )
    tally = separate_round(workspace, config, round_number, progress)
    return {"counts": {"separate": tally.clips, "gate": tally.tracks}, "tiers": tally.tiers, "kept_s": tally.kept_s}


def _train(workspace: Workspace, config: Config, round_number: int, progress: Progress) -> StageFields:
    from models.checkpoints import checkpoint_hash
    from pipeline.train_round import train_round

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
