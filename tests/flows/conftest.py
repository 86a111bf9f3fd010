"""A Prefect server of the tests' own."""

import atexit
import os
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

import pytest

START_S = 300.0


@pytest.fixture(scope="session")
def prefect_environment(tmp_path_factory) -> dict[str, str]:
    """Environment of child processes: Prefect's database in a temporary folder, no reports to its makers."""
    own = {
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "DO_NOT_TRACK": "1",
    }
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}, **own}


@pytest.fixture(scope="session")
def prefect_server(prefect_environment, tmp_path_factory) -> dict[str, str]:
    """The environment with the address of a running Prefect server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as output:
        server = subprocess.Popen(command, env=prefect_environment, stdout=output, stderr=output)
    # Not at the end of the session: Prefect sends its last events when the interpreter exits, and waits for an answer.
    atexit.register(server.terminate)
    deadline = time.monotonic() + START_S
    while not answers(f"{url}/health"):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    return {**prefect_environment, "PREFECT_API_URL": url}


def answers(url: str) -> bool:
    """Whether a web address answers."""
    try:
        with urlopen(url, timeout=2) as response:
            return response.status == 200
    except (URLError, OSError):
        return False
