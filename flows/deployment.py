"""The Prefect deployment ``nightly``: the flow ``data-engine`` on a schedule, served by this process.

Where no Prefect server is configured, one is started on this machine for as long as the deployment is served, with the
database of ``~/.prefect`` that the ``prefect`` command uses too.

Example::

    serve_nightly(config="corpus.yaml", clips=None, rounds=1, workspace="./workspace", cron="0 2 * * *")
    # then, anywhere else:  prefect deployment run data-engine/nightly
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import EntrypointType
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import ValidationError

from data_specs.errors import UserError
from flows.console import print_line
from flows.data_engine import data_engine

NAME = "nightly"
LOCAL_HOST, LOCAL_PORT = "127.0.0.1", 4200
LOCAL_URL = f"http://{LOCAL_HOST}:{LOCAL_PORT}/api"
SERVER_START_S = 180.0


def serve_nightly(*, config: str, clips: str | None, rounds: int, workspace: str, cron: str) -> None:
    """Register the deployment and run what it is asked for, one run at a time, until interrupted.

    Args:
        config, clips, workspace: as the flow takes them; absolute paths, since runs start in another folder.
        rounds: rounds that every run adds.
        cron: when runs start by themselves.

    Raises:
        UserError: not a cron line, or no Prefect server answers.
    """
    try:
        CronSchedule(cron=cron)
    except ValidationError:
        raise UserError(f"{cron!r} is not a cron line: give five fields, such as '0 2 * * *'") from None
    with prefect_server() as url:
        print_line(f"Serving data-engine/{NAME} at {url} (schedule {cron}); ctrl-c stops.")
        print_line(f"Start a run now: PREFECT_API_URL={url} prefect deployment run data-engine/{NAME}")
        data_engine.serve(
            name=NAME,
            cron=cron,
            parameters={"config": config, "clips": clips, "workspace": workspace, "add_rounds": rounds},
            description="Adds rounds to a workspace of the sound data engine.",
            limit=2,  # one works; another one is there to tell that the workspace is in use
            print_starting_message=False,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )


@contextmanager
def prefect_server() -> Iterator[str]:
    """The address of the configured Prefect server, or of one that lives as long as the block.

    Raises:
        UserError: the configured server does not answer, or none can be started.
    """
    configured = PREFECT_API_URL.value()
    if configured:
        if not _answers(configured):
            raise UserError(f"no Prefect server answers at {configured}: start one with prefect server start")
        yield configured
        return
    if _answers(LOCAL_URL):
        with temporary_settings({PREFECT_API_URL: LOCAL_URL}):
            yield LOCAL_URL
        return
    print_line(f"No Prefect server is configured: starting one at {LOCAL_URL} ...")
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", LOCAL_HOST, "--port", str(LOCAL_PORT)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # ctrl-c stops the serving first, which still has to pause the schedule on the server
    )
    try:
        _wait_for(server)
        with temporary_settings({PREFECT_API_URL: LOCAL_URL}):
            yield LOCAL_URL
    finally:
        server.terminate()
        server.wait()


def _answers(url: str) -> bool:
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        return client.api_healthcheck() is None


def _wait_for(server: subprocess.Popen) -> None:
    deadline = time.monotonic() + SERVER_START_S
    while not _answers(LOCAL_URL):
        if server.poll() is not None or time.monotonic() > deadline:
            raise UserError(f"cannot start a Prefect server at {LOCAL_URL}: run prefect server start to see why")
        time.sleep(0.5)
