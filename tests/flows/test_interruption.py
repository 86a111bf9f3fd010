"""A run that is stopped from outside, by ctrl-c or by SIGTERM: one line, nothing left behind, and it goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline.claim import holder_of
from pipeline.storage import Storage
from tests.flows.corpus import write_corpus

PROGRAM = "import sys; from flows.cli import main; sys.exit(main())"
BEGIN_S, END_S = 300.0, 240.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A corpus whose round stays in training, and the workspace of all tests, which go on with it in turn."""
    made = tmp_path_factory.mktemp("interrupted")
    write_corpus(made / "corpus", gate={"preset": "paper"}, train={"steps": 100_000})
    return made


def to_all(process: psutil.Popen, number: int) -> None:
    """As a terminal does, and a service manager."""
    os.killpg(process.pid, number)


def to_one(process: psutil.Popen, number: int) -> None:
    """As ``kill`` does, and a container's end."""
    process.send_signal(number)


def stopped_run(
    folder: Path, environment: dict[str, str], moment: str, stop: Callable[[psutil.Popen], None]
) -> tuple[int, list[str]]:
    """Start the run, stop it when it says ``moment``; its status and its words, when all of its processes are gone."""
    log = folder / "log"
    arguments = ["run", str(folder / "corpus" / "config.yaml"), "--workspace", str(folder / "workspace")]
    with log.open("w") as output:
        run = psutil.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    deadline = time.monotonic() + BEGIN_S
    while moment not in log.read_text():
        assert run.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    family = run.children(recursive=True)
    stop(run)
    status = run.wait(END_S)
    _, left = psutil.wait_procs(family, timeout=END_S / 8)
    names = []
    for one in left:
        with suppress(psutil.Error):
            names.append(" ".join(one.cmdline())[:200])
            one.kill()
    assert not names, f"left behind: {names}"
    return status, log.read_text().splitlines()


# In this order: each goes on where the one before was stopped.
@pytest.mark.parametrize(
    ("number", "sent", "moment", "stage"),
    [
        (signal.SIGINT, to_all, "separate ...", "separate (0 work units are done)"),
        (signal.SIGTERM, to_one, "train: ", "train"),  # while it waits for Ray
        (signal.SIGTERM, to_all, "train ...", "train"),
    ],
    ids=["ctrl-c", "SIGTERM to the command", "SIGTERM to all of its processes"],
)
def test_a_run_that_is_stopped_ends_with_one_line_that_says_how_to_go_on(
    prefect_environment, folder, number, sent, moment, stage
):
    status, lines = stopped_run(folder, prefect_environment, moment, lambda run: sent(run, number))
    assert status == 130
    assert lines[-1] == f"error: interrupted: round 1 stopped at stage {stage}; the same command continues there"
    assert not [line for line in lines if "Traceback" in line or line.startswith(" ")], lines
    assert holder_of(Storage(folder / "workspace")) == ""
    assert not list((folder / "workspace" / "claims").glob("*"))
