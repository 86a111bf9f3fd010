"""A round end to end on a real Ray with the shipped separator: counts add up, and resuming loses and redoes nothing."""

import json
import shutil
import subprocess
import sys

import pytest

from data_specs.config import Config
from data_specs.errors import UserError
from pipeline.ledger import STAGES
from pipeline.round import open_workspace, run_stage
from pipeline.shards import verify_round
from pipeline.workers import stop_ray
from pipeline.workspace import Workspace
from tests.pipeline.clip_lists import write_list

NATURAL = ["Rain;Bark", "Siren;Bark", "Rain;Siren", "Rain", "Rain;Bark;Siren"]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    """Four clips in two work units, a gate that keeps everything, and no training steps."""
    folder = tmp_path_factory.mktemp("corpus")
    return Config.model_validate(
        {
            "corpus": {"kind": "clip_list", "path": write_list(folder, "natural", NATURAL)},
            "single_source": {"kind": "clip_list", "path": write_list(folder, "single", ["Rain", "Bark"] * 2)},
            "separate": {"unit_clips": 2},
            "gate": {"preset": "paper", "itt_db": -70, "sst_db": -65},
            "train": {"steps": 0},
        }
    )


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory) -> Workspace:
    workspace = open_workspace(config, str(tmp_path_factory.mktemp("finished") / "workspace"))
    for stage in STAGES:
        run_stage(stage, workspace, config, 1)
    yield workspace
    stop_ray()


def test_the_counts_of_a_round_add_up_to_its_inputs(finished):
    state = finished.round_state(1)
    counts = state.counts
    assert state.state == "finished"
    assert counts["ingest"].inputs == 5
    assert counts["tag"].inputs == counts["ingest"].kept
    assert counts["tag"].reasons == {"one label": 1}
    assert counts["separate"].inputs == counts["tag"].kept == 4
    assert counts["gate"].inputs == counts["gate"].kept == sum(state.tiers.values()) == 9
    assert state.kept_s == 9.0
    assert set(state.timings_s) == set(STAGES)
    assert state.config["separate"]["unit_clips"] == 2


def test_shards_and_manifest_agree(finished):
    assert len(finished.shards(1)) == 2
    assert verify_round(finished, 1) == []


def test_a_round_that_did_not_train_promotes_nothing(finished):
    state = finished.round_state(1)
    assert not state.promoted
    assert state.promotion["reason"] == "no new checkpoint: train.steps is 0"
    assert finished.current_checkpoint() == "embedded"
    assert (finished.local_folder(1, "report") / "index.html").is_file()


def test_a_finished_round_is_passed_through_without_torch_or_ray(finished, config):
    code = (
        "import sys\n"
        "from data_specs.config import Config\n"
        "from pipeline.round import STAGES, open_workspace, run_stage\n"
        f"config = Config.model_validate_json({config.model_dump_json()!r})\n"
        f"workspace = open_workspace(config, {finished.uri!r})\n"
        "print(*{run_stage(stage, workspace, config, 1).state for stage in STAGES}, {'torch', 'ray'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["finished", "set()"]


def test_a_round_that_was_killed_goes_on_with_the_units_that_are_missing(finished, config, tmp_path):
    shutil.copytree(finished.uri, tmp_path / "killed")
    killed = Workspace(tmp_path / "killed")
    folder = tmp_path / "killed" / "rounds" / "001"
    first, second = sorted(killed.committed_units(1))
    (folder / "tracks" / f"{second}.parquet").unlink()  # killed between shard and manifest
    (folder / "shards" / f"{second}.tar").write_bytes(b"another shard")
    killed.write_round_state(finished.round_state(1).having(finished=("tag", "calibrate"), counts={}))
    untouched = (folder / "tracks" / f"{first}.parquet").stat().st_mtime_ns

    state = run_stage("separate", killed, config, 1)
    assert (folder / "tracks" / f"{first}.parquet").stat().st_mtime_ns == untouched
    assert state.counts["separate"] == finished.round_state(1).counts["separate"]
    assert state.tiers == finished.round_state(1).tiers
    assert killed.tracks(1) == finished.tracks(1)
    for name in finished.shards(1):
        redone, original = (w.round_storage(1).read_bytes(f"shards/{name}") for w in (killed, finished))
        assert redone == original


def test_the_next_round_starts_from_the_same_tags(finished, config, tmp_path):
    shutil.copytree(finished.uri, tmp_path / "next")
    workspace = Workspace(tmp_path / "next")
    run_stage("tag", workspace, config, 2)
    assert workspace.tags(2) == workspace.tags(1)
    assert workspace.round_state(2).next_stage == "calibrate"


def test_stages_and_rounds_have_their_order(config, tmp_path):
    workspace = open_workspace(config, str(tmp_path / "workspace"))
    with pytest.raises(ValueError, match="round 1 goes on with tag, not with train"):
        run_stage("train", workspace, config, 1)
    with pytest.raises(ValueError, match="round 2 cannot begin before round 1 is finished"):
        run_stage("tag", workspace, config, 2)


def test_an_error_is_in_the_round_and_gone_after_a_success(config, tmp_path):
    broken = Config.model_validate({**config.model_dump(), "model": {"checkpoint": str(tmp_path / "none")}})
    workspace = open_workspace(broken, str(tmp_path / "workspace"))
    run_stage("tag", workspace, broken, 1)
    run_stage("calibrate", workspace, broken, 1)
    with pytest.raises(UserError, match="no checkpoint"):
        run_stage("separate", workspace, broken, 1)
    content = json.loads(workspace.storage.read_bytes("rounds/001/round.json"))
    assert content["state"] == "failed"
    assert content["failure"].startswith("separate: no checkpoint")
    assert workspace.round_state(1).next_stage == "separate"


class Told:
    """Collects what a progress is told."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_the_clips_of_another_configuration_are_refused(finished, config):
    other = config.model_copy(update={"seed": 5})
    with pytest.raises(UserError, match=r"another configuration \(seed differs\)"):
        open_workspace(other, finished.uri)


def test_a_changed_configuration_starts_a_new_round_and_loses_nothing_of_the_old_one(finished, config, tmp_path):
    shutil.copytree(finished.uri, tmp_path / "changed")
    uri = str(tmp_path / "changed")
    workspace = open_workspace(config, uri)
    begun = run_stage("tag", workspace, config, 2)
    other = config.model_copy(update={"gate": config.gate.model_copy(update={"itt_db": -60.0})})
    told = Told()
    open_workspace(other, uri, told)
    assert told.lines[0] == "The configuration has changed (gate.itt_db); a new round uses it."
    assert told.lines[1].startswith("Round 2, begun with the other configuration, is set aside as it is, before its")
    with pytest.raises(UserError, match="round 2 was begun with another configuration"):
        run_stage(begun.next_stage, workspace, other, 2)
    assert run_stage("tag", workspace, other, 3).config["gate"]["itt_db"] == -60.0

    back = Told()
    open_workspace(config, uri, back)
    assert back.lines[-1] == "Round 2 was begun with this configuration and goes on."
    assert workspace.round_state(2) == begun
    assert run_stage(begun.next_stage, workspace, config, 2).state == "started"
    assert workspace.set_aside(config) == {3}


def test_what_an_owner_withdraws_leaves_a_finished_round_and_its_report_says_so(finished, config, tmp_path):
    shutil.copytree(finished.uri, tmp_path / "workspace")
    (tmp_path / "takedown.csv").write_text("path\nnatural0.wav\n")
    withdrawing = config.model_copy(update={"takedown": str(tmp_path / "takedown.csv")})
    workspace = open_workspace(withdrawing, str(tmp_path / "workspace"))
    (gone,) = (clip.clip_id for clip in finished.clips("natural") if clip.path.endswith("/natural0.wav"))
    assert workspace.round_state(1).state == "finished"
    assert {track.clip_id for track in finished.tracks(1)} - {track.clip_id for track in workspace.tracks(1)} == {gone}
    assert verify_round(workspace, 1) == []
    report = workspace.local_folder(1, "report")
    assert "withdrawn by its owner" in (report / "index.html").read_text()
    named = [path.name for path in report.rglob("*") if path.is_file() and gone.encode() in path.read_bytes()]
    assert named == []
    assert not any(gone in path.name for path in report.rglob("*"))
