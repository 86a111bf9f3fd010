"""Memory over Ray's limit all the time: the stage ends with one line instead of waiting for ever."""

import threading
import time

import pytest

from data_specs.config import Config
from data_specs.errors import UserError
from pipeline import starvation
from pipeline.round import open_workspace, run_stage
from pipeline.starvation import told_when_starved
from pipeline.workers import stop_ray
from tests.round_process import small_round


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(starvation, "PATIENCE_S", 6.0)
    monkeypatch.setattr(starvation, "CHECK_S", 0.5)


def test_a_stage_that_ray_leaves_no_memory_ends_with_one_line(impatient, tmp_path, monkeypatch):
    stop_ray()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.02")  # read by Ray when it starts; more than that is in use
    config: Config = small_round(tmp_path)
    workspace = open_workspace(config, str(tmp_path / "workspace"))
    try:
        # Ray Data gives up by itself now and then, when it loses the right process at the right time.
        with pytest.raises((UserError, MemoryError), match=r"Ray lets nothing work above 2%: end other programs or"):
            run_stage("tag", workspace, config, 1)
    finally:
        stop_ray()
    assert "memory is in use" in workspace.round_state(1).failure
    monkeypatch.delenv("RAY_memory_usage_threshold")
    assert "tag" in run_stage("tag", workspace, config, 1).finished
    stop_ray()


def test_memory_that_is_short_for_a_while_only_ends_nothing(impatient, monkeypatch):
    monkeypatch.setattr(starvation, "_ray_runs", lambda: True)
    monkeypatch.setattr(starvation, "_taken", lambda: float(time.monotonic() < until))
    until = time.monotonic() + 4
    with told_when_starved():
        threading.Event().wait(8)


def test_an_interruption_by_somebody_else_stays_one(impatient):
    with pytest.raises(KeyboardInterrupt), told_when_starved():
        raise KeyboardInterrupt


def test_what_fails_while_memory_is_short_is_told_as_that(impatient, monkeypatch):
    monkeypatch.setattr(starvation, "_is_short", lambda: True)
    with pytest.raises(MemoryError, match="end other programs"), told_when_starved():
        raise RuntimeError("the actor died")
    with pytest.raises(UserError, match="no such file"), told_when_starved():
        raise UserError("no such file")
