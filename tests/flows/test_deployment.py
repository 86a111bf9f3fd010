"""The deployment ``nightly`` on a real Prefect server: registered, scheduled, and started from outside."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

from data_specs.config import load_config
from pipeline.round import STAGES, open_workspace
from tests.flows.corpus import write_corpus

BIN = Path(sys.executable).parent


def scheduled_runs(url: str, patience_s: float = 30.0) -> list[dict]:
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


def test_prefect_deployment_run_finishes_the_round_that_was_cut_off(prefect_server, tmp_path):
    config = write_corpus(tmp_path / "corpus")
    workspace = open_workspace(load_config(str(config)), str(tmp_path / "workspace"))
    state = workspace.round_state(1).having(config=workspace.config.model_dump(mode="json"))
    for stage in STAGES[:-1]:
        state = state.with_stage(stage, seconds=0.0)
    workspace.write_round_state(state)

    serve = [BIN / "data-engine", "serve", "config.yaml", "--cron", "0 2 * * *", "--workspace", "../workspace"]
    with subprocess.Popen(serve, cwd=config.parent, env=prefect_server, stdout=subprocess.PIPE, text=True) as server:
        try:
            lines = iter(server.stdout.readline, "")
            assert any("prefect deployment run data-engine/nightly" in line for line in lines)
            start = [BIN / "prefect", "deployment", "run", "data-engine/nightly", "--watch", "--watch-interval", "1"]
            done = subprocess.run(start, env=prefect_server, capture_output=True, text=True, check=False)
            scheduled = scheduled_runs(prefect_server["PREFECT_API_URL"])
        finally:
            server.send_signal(signal.SIGINT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert scheduled, "the server made no runs from the cron line"
    assert workspace.round_numbers() == [1]
    assert workspace.round_state(1).state == "finished"
    assert (workspace.local_folder(1, "report") / "index.html").is_file()
