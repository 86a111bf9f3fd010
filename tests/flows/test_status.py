"""Which rounds are left to run, and what a summary says."""

import os

import pytest

from data_specs.config import Config, load_config
from flows.status import absolute_config, overrides_of, rounds_to_run, summary
from pipeline.claim import claimed
from pipeline.ledger import STAGES, RoundState
from pipeline.workspace import Workspace

ALL = len(STAGES)


def with_rounds(folder, *finished_stages: int) -> Workspace:
    """A workspace whose n-th round has so many finished stages."""
    workspace = Workspace.open(folder, Config())
    for number, count in enumerate(finished_stages, start=1):
        state = RoundState(number=number, config={"seed": 0})
        for stage in STAGES[:count]:
            state = state.with_stage(stage, seconds=0.5)
        workspace.write_round_state(state)
    return workspace


@pytest.mark.parametrize(
    ("finished_stages", "wanted", "left"),
    [
        ((), {}, [1, 2]),
        ((), {"rounds": 1}, [1]),
        ((ALL,), {"rounds": 3}, [2, 3]),
        ((ALL, 2), {}, [2]),
        ((ALL, ALL), {}, []),
        ((ALL, ALL), {"add_rounds": 1}, [3]),
        ((ALL, 2), {"add_rounds": 1}, [2]),
        ((ALL, 2), {"add_rounds": 2}, [2, 3]),
    ],
)
def test_rounds_that_are_not_finished_are_left(tmp_path, finished_stages, wanted, left):
    assert rounds_to_run(with_rounds(tmp_path, *finished_stages), Config(rounds=2), **wanted) == left


def test_a_round_that_is_set_aside_is_passed_over_and_its_number_is_not_used_again(tmp_path):
    workspace = with_rounds(tmp_path, ALL, 2)
    other = Config.model_validate({"gate": {"itt_db": 5.0}})
    assert rounds_to_run(workspace, other, rounds=2) == [3]
    assert rounds_to_run(workspace, other, add_rounds=2) == [3, 4]
    for name in ("natural", "single_source"):
        workspace.write_clips(name, [])
    Workspace.open(workspace.uri, other)
    assert [row["state"] for row in summary(workspace)["rounds"]] == ["finished", "set aside"]
    assert summary(workspace)["resume"]["round"] == 3


def test_the_summary_says_where_a_resume_begins(tmp_path):
    workspace = with_rounds(tmp_path, ALL, 2)
    assert summary(workspace)["resume"] == {"round": 1, "stage": "ingest", "units_done": 0}
    for name in ("natural", "single_source"):
        workspace.write_clips(name, [])
    assert summary(workspace)["resume"] == {"round": 2, "stage": STAGES[2], "units_done": 0}
    assert summary(workspace, rounds=1)["resume"] is None


def test_the_summary_says_who_works_in_the_workspace(tmp_path):
    workspace = with_rounds(tmp_path, 2)
    with claimed(workspace.storage, purpose="run"):
        assert summary(workspace)["in_use_by"].startswith(f"run (process {os.getpid()} on ")
    assert summary(workspace)["in_use_by"] == ""


def test_a_clip_list_takes_the_place_of_the_configured_corpus():
    config = load_config("demo", overrides_of("/recordings/clips.csv"))
    assert (config.corpus.kind, config.corpus.path) == ("clip_list", "/recordings/clips.csv")
    assert config.single_source == load_config("demo").single_source
    assert overrides_of(None) == {}


def test_a_configuration_means_the_same_from_every_folder(tmp_path, monkeypatch):
    (tmp_path / "corpus.yaml").write_text("corpus: {kind: folder, path: audio}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    here = load_config(absolute_config("corpus.yaml"))
    assert here.corpus.path == str(tmp_path / "audio")
    assert absolute_config("demo") == "demo"
