"""Calls in processes apart: what kills the process costs its own call, after some attempts; the others go on."""

import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from data_specs.config import WorkersConfig
from pipeline import apart
from pipeline.apart import Apart, DiedError

WORKERS = WorkersConfig(retries=1, retry_delay_s=0.0)


def double(number: int) -> int:
    """A harmless call that prints, as libraries do."""
    print("noise", flush=True)
    os.write(1, b"more noise\n")
    return 2 * number


def process_id(pause_s: float) -> int:
    time.sleep(pause_s)
    return os.getpid()


def die(how: int, note: str) -> None:
    """End the process by a signal, each time with a line in the file ``note``."""
    with open(note, "a") as file:
        file.write(f"{os.getpid()}\n")
    os.kill(os.getpid(), how)


def die_once(note: str) -> str:
    if not os.path.exists(note):
        die(signal.SIGSEGV, note)
    return "lived"


def eat(gigabytes: int) -> int:
    """Really run out of memory: more than the process may have."""
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    return int(np.ones(gigabytes << 30, np.uint8).size)


def refuse(text: str) -> None:
    raise ValueError(text)


def test_results_and_errors_come_back_and_printing_does_no_harm():
    with Apart(double, WORKERS) as call:
        assert [call(number) for number in range(3)] == [0, 2, 4]
    with Apart(refuse, WORKERS) as call, pytest.raises(ValueError, match=r"^by design$"):
        call("by design")


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_call_that_kills_its_process_is_tried_again_and_then_given_up_with_the_signal(tmp_path, how):
    with Apart(die, WORKERS) as call:
        with pytest.raises(DiedError, match=rf"^the process that read it died of {how.name}, 2 times$"):
            call(how, str(tmp_path / "note"))
        assert len(set((tmp_path / "note").read_text().split())) == 2
        with pytest.raises(DiedError, match="2 times"):
            call(how, str(tmp_path / "note"))


def test_a_process_that_died_by_accident_costs_nothing(tmp_path):
    with Apart(die_once, WORKERS) as call:
        assert call(str(tmp_path / "note")) == "lived"


def test_a_call_that_runs_out_of_memory_is_given_up_and_its_process_replaced():
    with Apart(eat, WORKERS) as call, pytest.raises(DiedError, match=r"^out of memory, 2 times$"):
        call(64)


def test_threads_share_few_processes_for_few_calls_and_get_more_for_many(monkeypatch):
    def processes(calls: int) -> int:
        with Apart(process_id, WORKERS) as call, ThreadPoolExecutor(4) as pool:
            return len({*pool.map(call, [0.02] * calls)})

    assert processes(8) == 1
    monkeypatch.setattr(apart, "CALLS_PER_PROCESS", 2)
    assert 1 < processes(40) <= 4


def test_what_cannot_be_imported_there_is_a_fault_and_no_outcome():
    with Apart(Path("nowhere").exists, WORKERS) as call:
        assert call() is False

    class Unknown:
        pass

    with pytest.raises((RuntimeError, AttributeError)), Apart(Unknown, WORKERS) as call:
        call()


def test_processes_end_with_the_one_that_calls_even_when_that_is_killed():
    code = (
        "import time\nfrom data_specs.config import WorkersConfig\nfrom pipeline.apart import Apart\n"
        "call = Apart(abs, WorkersConfig())\nprint(call(-1), flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout.readline() == "1\n"
        children = psutil.Process(caller.pid).children()
        assert children
        caller.kill()
        _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
