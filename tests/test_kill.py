"""kill -9 at random points of a round: the finished round equals the undisturbed one to the last byte.

One kill of each kind in the suite; ``pytest -n 0 tests/test_kill.py --kills 20 -s`` for twenty and where they hit.
"""

import random
import shutil
import time
from collections import Counter
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import psutil
import pytest

from data_specs.config import Config
from pipeline.workspace import Workspace
from tests.round_process import PATIENCE_S, results, start_round, title_of

KINDS = ("worker", "training", "driver", "ray")
SEED = 1


def victims(kind: str, driver: psutil.Process) -> list[psutil.Process]:
    """What to kill: one worker, one rank, the driver, or everything that Ray has started; [] when there is none."""
    with suppress(psutil.NoSuchProcess):
        if kind == "driver":
            return [driver]
        family = driver.children(recursive=True)
        if kind == "ray":
            return family
        title = {"worker": "ray::MapWorker", "training": "ray::RayTrainWorker"}[kind]
        return [one for one in family if title_of(one).startswith(title)][:1]
    return []


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def descendants(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


@pytest.mark.timeout(4 * 3600)
def test_a_round_that_is_killed_again_and_again_equals_the_undisturbed_one(undisturbed, tmp_path, request):
    kills = int(request.config.getoption("kills"))
    left = Counter(islice(cycle(KINDS), kills))
    rng = random.Random(SEED)
    where: Counter[str] = Counter()
    rounds, gap_s = 0, undisturbed.seconds / 4
    while left.total():
        rounds += 1
        assert rounds <= 2 * kills, f"not all kills found a victim: {left}"
        workspace, before = str(tmp_path / f"killed{rounds}"), left.total()
        while not survived(workspace, undisturbed.config, gap_s, left, where, rng):
            pass
        if left.total() == before:
            gap_s /= 2  # a round may be faster now, or what is left to kill lives for a short time only
        assert results(workspace) == undisturbed.results
        shutil.rmtree(workspace)
        print(
            f"{where.total()} of {kills} kills, {rounds} rounds equal to the undisturbed one: {dict(where)}", flush=True
        )


def survived(
    workspace: str, config: Config, gap_s: float, left: Counter[str], where: Counter[str], rng: random.Random
) -> bool:
    """Start the round, kill every ``gap_s`` at most until its driver is gone; whether the round is finished."""
    driver = start_round(workspace, config)
    family: set[psutil.Process] = set()
    while driver.poll() is None:
        due = time.monotonic() + rng.uniform(0, gap_s)
        while time.monotonic() < due and driver.poll() is None:
            family.update(descendants(driver))
            time.sleep(0.05)
        kinds = [kind for kind in left.elements() if victims(kind, driver)]
        if kinds and driver.poll() is None:
            kind = rng.choice(kinds)
            stage = next_stage(workspace)
            family.update(descendants(driver))
            kill(victims(kind, driver))
            left[kind] -= 1
            where[f"{kind} in {stage}"] += 1
            if kind in ("driver", "ray"):
                break
    status = driver.wait(PATIENCE_S)
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)  # Ray's agents look after their parent now and then
    assert not alive, f"left over: {[title_of(one) for one in alive]}"
    return status == 0


def next_stage(workspace: str) -> str:
    """Where the round is."""
    if not Path(workspace).exists():
        return "start"
    opened = Workspace(workspace)
    return str(opened.round_state(1).next_stage) if opened.round_numbers() else "ingest"
