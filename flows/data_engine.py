"""The Prefect flow ``data-engine``: one task per stage and round over ``pipeline.round``.

Everything a run needs comes as small parameters, so the same flow runs in this process and as the deployment
``nightly``. All state is in the workspace: a run that was cut off continues where it stopped, a finished stage is
skipped. Faults are retried; a ``UserError`` ends the run as failed with its one line.

Example::

    data_engine(config="demo", workspace="./demo", rounds=2)
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import TaskRun
from prefect.states import Failed, State
from prefect.tasks import Task

from data_specs.config import Config, load_config
from data_specs.errors import UserError
from flows.console import LineProgress
from flows.status import overrides_of, rounds_to_run
from pipeline.progress import Progress
from pipeline.round import STAGES, open_workspace, run_stage
from pipeline.workspace import Workspace

RETRY_DELAYS_S = (5.0, 60.0)

_PROGRESS: ContextVar[Progress | None] = ContextVar("progress", default=None)


def _progress() -> Progress:
    """The terminal's progress inside ``run_in_process``, Prefect's log otherwise."""
    return _PROGRESS.get() or LineProgress(get_run_logger().info)


def _is_fault(task: Task[..., Any], run: TaskRun, state: State) -> bool:
    """Retry anything but the user's errors, and say so."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, UserError):
        return False
    _progress().say(f"{run.name} failed, trying again: {type(error).__name__}: {error}")
    return True


_RETRYING: Mapping[str, Any] = {
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": list(RETRY_DELAYS_S),
    "retry_condition_fn": _is_fault,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


@task(name="open-workspace", task_run_name="open-workspace", **_RETRYING)
def prepare(config: Config, workspace: str) -> None:
    """Check the configuration against the workspace and bring its clips up to date with the corpora."""
    open_workspace(config, workspace, _progress())


@task(name="stage", task_run_name="{stage}-round-{round_number}", **_RETRYING)
def work(stage: str, round_number: int, config: Config, workspace: str) -> dict[str, Any]:
    """One stage of one round; returns its counts."""
    state = run_stage(stage, Workspace(workspace), config, round_number, _progress())
    counts = state.counts.get(stage)
    return counts.model_dump() if counts else {}


@flow(name="data-engine", persist_result=False, validate_parameters=True)
def data_engine(
    config: str,
    workspace: str,
    clips: str | None = None,
    rounds: int | None = None,
    add_rounds: int | None = None,
) -> dict[str, list[int]] | State:
    """Run the rounds of a workspace.

    Args:
        config: preset name or YAML file.
        workspace: folder or ``s3://`` URI.
        clips: clip list that takes the place of ``corpus`` in the configuration.
        rounds: number of rounds the workspace shall have; ``config.rounds`` when None.
        add_rounds: instead, so many rounds beyond the finished ones (a deployment that adds a round every night).
    """
    try:
        settings = load_config(config, overrides_of(clips))
        wanted = rounds_to_run(Workspace(workspace), settings, rounds=rounds, add_rounds=add_rounds)
        if wanted:
            prepare(settings, workspace)
        done: list[int] = []
        for round_number in wanted:
            _progress().say(f"Round {round_number} of {wanted[-1]}")
            for stage in STAGES:
                work(stage, round_number, settings, workspace)
            done.append(round_number)
    except UserError as error:
        return Failed(message=f"error: {error}", data=error)
    return {"rounds": done}


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
    if not state.is_completed():
        error = state.result(raise_on_failure=False)
        raise error if isinstance(error, Exception) else RuntimeError(state.message or f"the flow ended {state.name}")
