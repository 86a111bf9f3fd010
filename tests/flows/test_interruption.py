"""Ctrl-c in a terminal, which reaches every process of a command."""

import os
import signal
import subprocess
import sys
import time

from tests.flows.corpus import write_corpus

PROGRAM = "import sys; from flows.cli import main; sys.exit(main())"
BEGIN_S, END_S = 300.0, 240.0


def test_ctrl_c_ends_a_run_with_one_line_that_says_how_to_go_on(prefect_environment, tmp_path):
    config = write_corpus(tmp_path / "corpus", gate={"preset": "paper"}, train={"steps": 100_000})
    log = tmp_path / "log"
    arguments = ["run", str(config), "--workspace", str(tmp_path / "workspace")]
    with log.open("w") as output:
        run = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stderr=output,
            env=prefect_environment,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    deadline = time.monotonic() + BEGIN_S
    while "separate ..." not in log.read_text():
        assert run.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(END_S) == 130
    last = log.read_text().splitlines()[-1]
    assert last == "error: interrupted: the same command continues where it stopped"
