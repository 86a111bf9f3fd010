"""The Prefect flow: names of its runs, what is retried, what is rolled back, how it ends."""

import json

import pytest

from data_specs.config import load_config
from data_specs.errors import UserError
from flows.console import LineProgress
from flows.status import summary
from models.checkpoints import checkpoint_hash, load_separator, save_separator
from pipeline.claim import claimed
from pipeline.report.artifacts import artifact_key
from pipeline.round import STAGES, open_workspace, run_stage
from pipeline.storage import Storage
from pipeline.workers import stop_ray
from pipeline.workspace import Workspace
from tests.flows.corpus import write_corpus
from tests.pipeline.report.rounds import new_workspace


@pytest.fixture(scope="module")
def engine(prefect_server):
    """The flow's module, against the tests' server, with retries that do not wait long."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PREFECT_HOME", "DO_NOT_TRACK"):
            patch.setenv(name, prefect_server[name])
        from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_LEVEL, temporary_settings

        from flows import data_engine

        for name in ("work", "promotion"):
            patch.setattr(data_engine, name, getattr(data_engine, name).with_options(retry_delay_seconds=[0.1, 0.1]))
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


def finished_workspace(config, tmp_path):
    """A workspace whose only round says that all of its stages are done."""
    workspace = open_workspace(load_config(str(config)), str(tmp_path / "workspace"))
    state = workspace.round_state(1)
    for stage in STAGES:
        state = state.with_stage(stage, seconds=0.0)
    workspace.write_round_state(state)
    return workspace


def test_a_finished_workspace_runs_no_stage(engine, tmp_path):
    config = write_corpus(tmp_path / "corpus")
    workspace = finished_workspace(config, tmp_path)
    lines: list[str] = []
    engine.run_in_process(LineProgress(lines.append), config=str(config), workspace=workspace.uri)
    assert lines == []
    assert last_flow_run().state.is_completed()


def test_what_is_withdrawn_leaves_a_workspace_although_all_its_rounds_are_finished(engine, tmp_path):
    config = write_corpus(tmp_path / "corpus")
    workspace = finished_workspace(config, tmp_path)
    config = write_corpus(tmp_path / "corpus", takedown="withdrawn.csv")
    (tmp_path / "corpus" / "withdrawn.csv").write_text("path\nscene0.wav\n")
    lines: list[str] = []
    engine.run_in_process(LineProgress(lines.append), config=str(config), workspace=workspace.uri)
    assert "Withdrawn by their owners: 1 clip. 0 tracks left shards and manifests." in lines
    assert [clip.outcome for clip in workspace.clips("natural")] == ["dropped", "kept", "kept", "kept"]
    assert workspace.round_numbers() == [1]


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
    names = [f"{stage}-round-1" for stage in (*STAGES, "promotion", "confirm", "publish")]
    with get_client(sync_client=True) as client:
        own = FlowRunFilter(id=FlowRunFilterId(any_=[last_flow_run().id]))
        assert {*names, "open-workspace"} == {run.name for run in client.read_task_runs(flow_run_filter=own)}
        artifacts = {one.key.split("-")[2]: one.data for one in client.read_artifacts(flow_run_filter=own)}
    assert set(artifacts) == {"round", "labels", "rounds", "report"}
    assert "| Separate \\(clips\\) | 4 | 4 | 0 | 0 |" in artifacts["round"]
    assert sum(row["tracks"] for row in json.loads(artifacts["labels"])) == 8
    assert [row["state"] for row in json.loads(artifacts["rounds"])] == ["finished"]
    assert f"file://{tmp_path}/workspace/rounds/001/report/index.html" in artifacts["report"]


def test_workspaces_of_one_name_keep_their_artifacts_apart_and_each_its_history(engine, tmp_path):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    workspaces = [new_workspace(tmp_path / folder) for folder in ("here", "there")]
    for workspace in (*workspaces, workspaces[0]):
        engine.publish.fn(1, workspace.uri)
    with get_client(sync_client=True) as client:
        for workspace in workspaces:
            for what in ("round", "labels", "rounds", "report"):
                key = artifact_key(what, workspace)
                versions = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
                assert len(versions) == (2 if workspace is workspaces[0] else 1)
                assert all(workspace.uri in version.description for version in versions)


@pytest.fixture
def before_promotion(tmp_path):
    """The configuration and workspace of a round whose candidate is better, just before the decision."""
    config = write_corpus(tmp_path / "corpus")
    workspace = open_workspace(load_config(str(config)), str(tmp_path / "workspace"))
    folder = workspace.local_folder(1, "checkpoint")
    save_separator(load_separator("embedded"), folder)
    statistics = {"mean": 5.0, "std": 1.0, "median": 5.0, "n": 2}
    metrics = {"pos_neg": {"sdri_db": statistics, "si_sdri_db": statistics}, "set": "same"}
    state = workspace.round_state(1).having(
        config=workspace.config.model_dump(mode="json"),
        checkpoint_out=str(folder),
        checkpoint_out_hash=checkpoint_hash(str(folder)),
        metrics={"current": metrics, "candidate": metrics},
    )
    for stage in STAGES[: STAGES.index("promote")]:
        state = state.with_stage(stage, seconds=0.0)
    workspace.write_round_state(state)
    return str(config), workspace


def test_a_promoted_checkpoint_is_confirmed(engine, before_promotion):
    config, workspace = before_promotion
    engine.run_in_process(LineProgress([].append), config=config, workspace=workspace.uri)
    assert workspace.round_state(1).promoted
    assert workspace.current_checkpoint() == str(workspace.local_folder(1, "checkpoint"))


def test_a_promotion_is_rolled_back_when_a_step_after_it_fails_and_made_again_by_the_next_run(
    engine, before_promotion, monkeypatch
):
    config, workspace = before_promotion

    def fail(*arguments):
        assert workspace.round_state(1).promoted
        raise ConnectionError("the store is away")

    monkeypatch.setattr(engine, "confirm_promotion", fail)
    lines: list[str] = []
    with pytest.raises(ConnectionError, match="the store is away"):
        engine.run_in_process(LineProgress(lines.append), config=config, workspace=workspace.uri)
    assert len([line for line in lines if line.startswith("promotion-round-1 failed, trying again")]) == 2
    assert workspace.round_state(1).next_stage == "promote"
    assert workspace.round_state(1).promotion is None
    assert workspace.current_checkpoint() == "embedded"
    monkeypatch.undo()
    engine.run_in_process(LineProgress(lines.append), config=config, workspace=workspace.uri)
    assert workspace.round_state(1).promoted


def test_a_checkpoint_that_was_damaged_is_not_promoted_and_the_round_goes_on(engine, before_promotion):
    config, workspace = before_promotion
    weights = workspace.local_folder(1, "checkpoint") / "separator.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    lines: list[str] = []
    engine.run_in_process(LineProgress(lines.append), config=config, workspace=workspace.uri)
    state = workspace.round_state(1)
    assert state.state == "finished"
    assert not state.promoted
    assert state.promotion["reason"].startswith("rolled back: ")
    assert not [line for line in lines if "trying again" in line]
    assert workspace.current_checkpoint() == "embedded"


def test_a_run_of_a_workspace_that_is_in_use_is_cancelled_in_one_line(engine, tmp_path):
    config = write_corpus(tmp_path / "corpus")
    with (
        claimed(Storage(tmp_path / "workspace"), purpose="run"),
        pytest.raises(UserError, match=r"workspace is in use by another run \(process"),
    ):
        engine.run_in_process(LineProgress([].append), config=str(config), workspace=str(tmp_path / "workspace"))
    state = last_flow_run().state
    assert state.is_cancelled()
    assert "is in use by another run" in state.message


def test_the_form_of_the_parameters_says_what_each_means_and_refuses_what_does_not_fit(engine):
    from prefect.exceptions import ParameterTypeError

    form = engine.data_engine.parameters.properties
    assert all(field["description"] for field in form.values())
    assert form["rounds"]["anyOf"][0] == {"minimum": 1, "type": "integer"}
    with pytest.raises(ParameterTypeError, match="rounds"):
        engine.data_engine(config="demo", workspace="w", rounds=0)
