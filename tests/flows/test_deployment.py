"""The deployment ``nightly`` on a real Prefect server: registered, scheduled, and started from outside."""

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling

from data_specs.config import load_config
from pipeline.round import STAGES, open_workspace, run_stage
from pipeline.workers import stop_ray
from pipeline.workspace import Workspace
from tests.flows.corpus import write_corpus
from tests.round_process import title_of

BIN = Path(sys.executable).parent


def scheduled_runs(url: str, patience_s: float = 180.0) -> list[dict]:
    """The runs that the server's scheduler made; it starts a while after a deployment is registered."""
    wanted = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    request = Request(
        f"{url}/flow_runs/filter", json.dumps(wanted).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    deadline = time.monotonic() + patience_s
    while True:
        with urlopen(request, timeout=10) as response:
            runs = json.load(response)
        if runs or time.monotonic() > deadline:
            return runs
        time.sleep(1)


def flow_runs(client) -> list:
    return client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC)


def until(condition, patience_s: float = 600.0):
    """The first true value of ``condition()``."""
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value


@pytest.fixture
def undisturbed(tmp_path, corpus) -> Workspace:
    """The same round, run without Prefect and without a disturbance."""
    config = load_config(str(corpus))
    workspace = open_workspace(config, str(tmp_path / "undisturbed"))
    for stage in STAGES:
        run_stage(stage, workspace, config, 1)
    stop_ray()
    return workspace


@pytest.fixture
def corpus(tmp_path) -> Path:
    """The configuration of a corpus of many work units, and a gate that keeps everything."""
    return write_corpus(
        tmp_path / "corpus",
        scenes=16,
        separate={"unit_clips": 1},
        gate={"itt_db": -70, "sst_db": -65},
        train={"steps": 0},
        evaluate={"held_out_share": 0.5},
    )


@pytest.mark.timeout(2400)
def test_a_run_that_is_cancelled_in_mid_round_leaves_no_half_state_and_the_next_one_finishes_equal(
    prefect_server, tmp_path, corpus, undisturbed
):
    workspace = Workspace(tmp_path / "workspace")
    serve = [BIN / "data-engine", "serve", "config.yaml", "--cron", "0 2 * * *", "--workspace", "../workspace"]
    start = [BIN / "prefect", "deployment", "run", "data-engine/nightly"]
    with (
        subprocess.Popen(serve, cwd=corpus.parent, env=prefect_server, stdout=subprocess.PIPE, text=True) as server,
        temporary_settings({PREFECT_API_URL: prefect_server["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        try:
            lines = iter(server.stdout.readline, "")
            assert any("prefect deployment run data-engine/nightly" in line for line in lines)
            subprocess.run(start, env=prefect_server, capture_output=True, check=True)
            until(lambda: workspace.committed_units(1))
            processes = psutil.Process(server.pid).children(recursive=True)
            for worker in (separating := [one for one in processes if title_of(one).startswith("ray::MapWorker")]):
                worker.suspend()  # so that the stage cannot end before the cancellation has arrived
            assert separating
            run = next(run for run in flow_runs(client) if run.state.is_running())
            client.set_flow_run_state(run.id, Cancelling())
            until(lambda: client.read_flow_run(run.id).state.is_cancelled())
            for worker in separating:
                with suppress(psutil.NoSuchProcess):
                    worker.resume()
            _, alive = psutil.wait_procs(processes, timeout=180)
            assert not [process for process in alive if "ray" in process.name()]
            assert "separate" not in workspace.round_state(1).finished

            done = subprocess.run(
                [*start, "--watch", "--watch-interval", "1"],
                env=prefect_server,
                capture_output=True,
                text=True,
                check=False,
            )
            scheduled = scheduled_runs(prefect_server["PREFECT_API_URL"])
            refused = subprocess.run(
                [*start, "--param", "add_rounds=0"], env=prefect_server, capture_output=True, text=True, check=False
            )
        finally:
            server.terminate()  # SIGINT is ignored by what a shell started in the background
    assert done.returncode == 0, done.stdout + done.stderr
    assert scheduled, "the server made no runs from the cron line"
    assert refused.returncode != 0
    assert "add_rounds" in refused.stdout + refused.stderr
    assert workspace.round_numbers() == [1]
    assert workspace.round_state(1).state == "finished"
    assert workspace.tracks(1) == undisturbed.tracks(1)
    assert workspace.shards(1) == undisturbed.shards(1)
    for name in workspace.shards(1):
        shard, other = (one.round_storage(1).read_bytes(f"shards/{name}") for one in (workspace, undisturbed))
        assert shard == other
    assert (workspace.local_folder(1, "report") / "index.html").is_file()
    assert not [path for path in (tmp_path / "workspace").rglob("*") if path.name.endswith(".part")]
    assert not (tmp_path / "workspace" / "claims").exists()
