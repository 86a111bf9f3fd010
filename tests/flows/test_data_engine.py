"""The Prefect flow: names of its runs, what is retried, how it ends."""

import pytest

from data_specs.config import load_config
from data_specs.errors import UserError
from flows.console import LineProgress
from flows.status import summary
from pipeline.round import STAGES, open_workspace, run_stage
from pipeline.workers import stop_ray
from pipeline.workspace import Workspace
from tests.flows.corpus import write_corpus


@pytest.fixture(scope="module")
def engine(prefect_server):
    """The flow's module, against the tests' server, with retries that do not wait long."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PREFECT_HOME", "DO_NOT_TRACK"):
            patch.setenv(name, prefect_server[name])
        from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_LEVEL, temporary_settings

        from flows import data_engine

        patch.setattr(data_engine, "work", data_engine.work.with_options(retry_delay_seconds=[0.1, 0.1]))
        with temporary_settings(
            {PREFECT_API_URL: prefect_server["PREFECT_API_URL"], PREFECT_LOGGING_LEVEL: "CRITICAL"}
        ):
            yield data_engine


def last_flow_run():
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        return client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]


def test_an_error_of_the_user_is_not_retried_and_ends_the_flow_in_one_line(engine, tmp_path):
    config = write_corpus(tmp_path / "corpus", model={"checkpoint": str(tmp_path / "nowhere")})
    lines: list[str] = []
    with pytest.raises(UserError, match="no checkpoint"):
        engine.run_in_process(LineProgress(lines.append), config=str(config), workspace=str(tmp_path / "workspace"))
    assert not [line for line in lines if "trying again" in line]
    state = last_flow_run().state
    assert state.is_failed()
    assert state.message.startswith("error: no checkpoint")
    assert "\n" not in state.message


def test_a_fault_is_retried_and_then_raised_as_it_was(engine, tmp_path):
    config = write_corpus(tmp_path / "corpus")
    settings = load_config(str(config))
    workspace = open_workspace(settings, str(tmp_path / "workspace"))
    for stage in ("tag", "calibrate"):
        run_stage(stage, workspace, settings, 1)
    (damaged,) = (tmp_path / "workspace" / "rounds" / "001" / "tags").glob("*.parquet")
    damaged.write_bytes(b"not parquet")
    lines: list[str] = []
    with pytest.raises(Exception, match=r"(?i)parquet"):
        engine.run_in_process(LineProgress(lines.append), config=str(config), workspace=str(tmp_path / "workspace"))
    assert len([line for line in lines if line.startswith("separate-round-1 failed, trying again: ArrowInvalid")]) == 2
    assert last_flow_run().state.is_failed()


def test_a_finished_workspace_runs_no_stage(engine, tmp_path):
    config = write_corpus(tmp_path / "corpus")
    workspace = open_workspace(load_config(str(config)), str(tmp_path / "workspace"))
    state = workspace.round_state(1)
    for stage in STAGES:
        state = state.with_stage(stage, seconds=0.0)
    workspace.write_round_state(state)
    lines: list[str] = []
    engine.run_in_process(LineProgress(lines.append), config=str(config), workspace=workspace.uri)
    assert lines == []
    assert last_flow_run().state.is_completed()


def test_a_whole_round_has_one_task_run_per_stage_and_its_outcomes_add_up(engine, tmp_path):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    config = write_corpus(tmp_path / "corpus", train={"steps": 0})
    lines: list[str] = []
    engine.run_in_process(LineProgress(lines.append), config=str(config), workspace=str(tmp_path / "workspace"))
    stop_ray()
    content = summary(Workspace(tmp_path / "workspace"))
    assert content["resume"] is None
    (state,) = content["rounds"]
    assert state["state"] == "finished"
    assert state["counts"]["separate"]["inputs"] == state["counts"]["tag"]["kept"] == 4
    assert state["counts"]["gate"]["inputs"] == 8
    names = [f"{stage}-round-1" for stage in STAGES]
    with get_client(sync_client=True) as client:
        own = FlowRunFilter(id=FlowRunFilterId(any_=[last_flow_run().id]))
        assert {*names, "open-workspace"} == {run.name for run in client.read_task_runs(flow_run_filter=own)}
