"""The Prefect flow ``data-engine``: one task per stage and round over ``pipeline.round``.

Everything a run needs comes as small parameters, so the same flow runs in this process and as the deployment
``nightly``. All state is in the workspace: a run that was cut off, by a crash or by a cancellation, continues where it
stopped; a finished stage is skipped. A run claims its workspace, so that there is one at a time. Faults are retried
with growing pauses; a ``UserError`` ends the run as failed with its one line. A promotion and the check that the new
checkpoint works are one transaction.

Example::

    data_engine(config="demo", workspace="./demo", rounds=2)
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import TaskRun
from prefect.states import Cancelled, Failed, State
from prefect.tasks import Task
from prefect.transactions import Transaction, transaction
from pydantic import Field

from data_specs.config import Config, load_config
from data_specs.errors import UserError
from flows.artifacts import publish_round
from flows.console import LineProgress
from flows.status import overrides_of, rounds_to_run
from pipeline.claim import Claim, InUseError, claimed
from pipeline.confirm import UnusableCheckpointError, confirm_promotion, refuse_promotion, withdraw_promotion
from pipeline.progress import Progress
from pipeline.round import STAGES, open_workspace, run_stage
from pipeline.workspace import Workspace

RETRY_DELAYS_S = (5.0, 60.0)

# Prefect shows the flow's parameters as a form: types and limits from here, descriptions from the flow's docstring.
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]

_PROGRESS: ContextVar[Progress | None] = ContextVar("progress", default=None)


def _progress() -> Progress:
    """The terminal's progress inside ``run_in_process``, Prefect's log otherwise."""
    return _PROGRESS.get() or LineProgress(get_run_logger().info)


def _is_fault(task: Task[..., Any], run: TaskRun, state: State) -> bool:
    """Retry anything but the user's errors and what no attempt will change, and say so."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, UserError | UnusableCheckpointError):
        return False
    _progress().say(f"{run.name} failed, trying again: {type(error).__name__}: {error}")
    return True


_ONCE: Mapping[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
_RETRYING: Mapping[str, Any] = {
    **_ONCE,
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": list(RETRY_DELAYS_S),
    "retry_condition_fn": _is_fault,
}


@task(name="open-workspace", task_run_name="open-workspace", **_RETRYING)
def prepare(config: Config, workspace: str) -> None:
    """Check the configuration against the workspace and bring its clips up to date with the corpora."""
    open_workspace(config, workspace, _progress())


@task(name="take-down", task_run_name="take-down", **_RETRYING)
def withdraw(config: Config, workspace: str) -> None:
    """What its owners have withdrawn leaves the finished rounds."""
    from pipeline.takedown import take_down

    take_down(Workspace(workspace), config, _progress())


@task(name="stage", task_run_name="{stage}-round-{round_number}", **_RETRYING)
def work(stage: str, round_number: int, config: Config, workspace: str) -> dict[str, Any]:
    """One stage of one round; returns its counts."""
    state = run_stage(stage, Workspace(workspace), config, round_number, _progress())
    counts = state.counts.get(stage)
    return counts.model_dump() if counts else {}


@task(name="promote", task_run_name="promote-round-{round_number}", **_ONCE)
def promote(round_number: int, config: Config, workspace: str) -> None:
    """The stage that makes the round's checkpoint the current one, or does not; it can be rolled back."""
    run_stage("promote", Workspace(workspace), config, round_number, _progress())


@promote.on_rollback
def _withdraw(both: Transaction) -> None:
    withdraw_promotion(Workspace(both.get("workspace")), both.get("round_number"))


@task(name="confirm", task_run_name="confirm-round-{round_number}", **_ONCE)
def confirm(round_number: int, config: Config, workspace: str) -> None:
    """The promoted checkpoint is read back and separates something."""
    confirm_promotion(Workspace(workspace), config, round_number)


@task(name="promotion", task_run_name="promotion-round-{round_number}", **_RETRYING)
def promotion(round_number: int, config: Config, workspace: str) -> None:
    """Promote and confirm, or neither: retried together, because an attempt that fails rolls both back."""
    with transaction() as both:
        both.set("workspace", workspace)
        both.set("round_number", round_number)
        promote(round_number, config, workspace)
        confirm(round_number, config, workspace)


@task(name="publish", task_run_name="publish-round-{round_number}", **_RETRYING)
def publish(round_number: int, workspace: str) -> None:
    """What the UI shows of the round."""
    publish_round(Workspace(workspace), round_number)


@flow(name="data-engine", persist_result=False, validate_parameters=True)
def data_engine(
    config: Text,
    workspace: Text,
    clips: Text | None = None,
    rounds: Count | None = None,
    add_rounds: Count | None = None,
) -> dict[str, list[int]] | State:
    """Run the rounds of a workspace, those that were cut off first.

    Args:
        config: Name of a preset, or a YAML file at a path or s3:// address that the worker can read.
        workspace: Folder or s3:// address that holds all rounds; the first run makes it.
        clips: CSV or Parquet list that takes the place of `corpus` in the configuration.
        rounds: How many rounds the workspace shall have; as configured when empty.
        add_rounds: Instead, so many rounds beyond the finished ones; one that was cut off counts as one of them.
    """
    try:
        settings = load_config(config, overrides_of(clips))
        with claimed(Workspace(workspace).storage, purpose="run") as claim:
            wanted = rounds_to_run(Workspace(workspace), settings, rounds=rounds, add_rounds=add_rounds)
            if wanted:
                prepare(settings, workspace)
            elif settings.takedown:
                withdraw(settings, workspace)
            for round_number in wanted:
                _progress().say(f"Round {round_number} of {wanted[-1]}")
                _run_round(round_number, settings, workspace, claim)
    except InUseError as error:
        return Cancelled(message=str(error))
    except UserError as error:
        return Failed(message=f"error: {error}", data=error)
    return {"rounds": wanted}


def _run_round(round_number: int, config: Config, workspace: str, claim: Claim) -> None:
    for stage in STAGES:
        claim.check()
        if stage == "promote":
            _promote_or_roll_back(round_number, config, workspace)
        else:
            work(stage, round_number, config, workspace)
    publish(round_number, workspace)


def _promote_or_roll_back(round_number: int, config: Config, workspace: str) -> None:
    """A checkpoint that cannot be used is refused for good, and the night goes on."""
    try:
        promotion(round_number, config, workspace)
    except UnusableCheckpointError as error:
        _progress().say(f"round {round_number}: promotion rolled back, the current checkpoint stays: {error}")
        refuse_promotion(Workspace(workspace), config, round_number, str(error))


def run_in_process(progress: Progress, **parameters: Any) -> None:
    """Run the flow here, reporting to ``progress``.

    Raises:
        UserError: the user can fix it.
        Exception: what made a stage fail after its retries.
    """
    token = _PROGRESS.set(progress)
    try:
        state = data_engine(**parameters, return_state=True)
    finally:
        _PROGRESS.reset(token)
    if state.is_cancelled():
        raise UserError(state.message or "the run was cancelled")
    if not state.is_completed():
        error = state.result(raise_on_failure=False)
        raise error if isinstance(error, Exception) else RuntimeError(state.message or f"the flow ended {state.name}")
