"""A round that separates without labels: the command trains the network on its clips, the engine does the rest."""

import json
from pathlib import Path

import pytest
import soundfile
import yaml

from data_specs.config import Config, load_config
from data_specs.errors import UserError
from flows.cli import main
from models.checkpoints import UNCONDITIONAL_FILES, checkpoint_hash, save_unconditional
from pipeline.ledger import STAGES
from pipeline.round import open_workspace, run_stage
from pipeline.sample_stream import SampleStream
from pipeline.shards import iter_round, verify_round
from pipeline.workers import stop_ray
from pipeline.workspace import Workspace
from tests.pipeline.band_tdcn import band_tdcn

RATE_HZ = 32_000


@pytest.fixture(scope="module")
def config_file(tmp_path_factory) -> str:
    """Built-in scenes of two seconds, a gate that keeps everything, labels however unsure the tagger is."""
    folder = tmp_path_factory.mktemp("label_free")
    save_unconditional(band_tdcn(4, sample_rate_hz=RATE_HZ), folder / "start")
    content = {
        "corpus": {"kind": "builtin", "count": 4},
        "single_source": {"kind": "builtin", "count": 96},
        "audio": {"clip_duration_s": 2.0},
        "tag": {"threshold": 0.0},
        "gate": {"preset": "paper", "itt_db": -70, "sst_db": -65},
        "separate": {"unit_clips": 2, "source": "label_free", "unconditional": "trained"},
        "unconditional": {"steps": 2, "batch_size": 2, "duration_s": 1.0, "validation_mixtures": 2},
        "train": {"steps": 0, "batch_size": 2, "itt_share": 0.0, "sst_share": 1.0, "silence_rate": 0.0},
        "report": {"examples_per_label": 1, "examples_max": 2},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return str(folder / "config.yaml")


@pytest.fixture(scope="module")
def config(config_file) -> Config:
    return load_config(config_file)


@pytest.fixture(scope="module")
def workspace(config_file, config, tmp_path_factory) -> Workspace:
    """With the clips, after the command has trained what separates them."""
    folder = tmp_path_factory.mktemp("workspace")
    trained = config.separate.unconditional
    start = trained.replace("trained", "start")
    words = ["--workspace", str(folder), "--out", trained, "--start", start]
    assert main(["--quiet", "train-unconditional", config_file, *words]) == 0
    return Workspace(folder)


@pytest.fixture(scope="module")
def finished(config, workspace) -> Workspace:
    open_workspace(config, workspace.uri)
    for stage in STAGES:
        run_stage(stage, workspace, config, 1)
    yield workspace
    stop_ray()


def test_the_command_trains_on_the_clips_of_the_corpus(workspace, config):
    folder = config.separate.unconditional
    result = json.loads(Path(folder, "training.json").read_text())
    assert (result["clips"], result["steps"]) == (4, 2)
    assert checkpoint_hash(folder, UNCONDITIONAL_FILES) != checkpoint_hash(
        folder.replace("trained", "start"), UNCONDITIONAL_FILES
    )


def test_every_clip_is_separated_without_being_heard_first_and_counts_add_up(finished):
    state = finished.round_state(1)
    counts = state.counts
    assert state.state == "finished"
    assert counts["tag"].kept == counts["separate"].inputs == counts["ingest"].kept == 4
    assert counts["separate"].kept > 0
    assert counts["gate"].inputs == counts["gate"].kept == sum(state.tiers.values())
    assert counts["gate"].kept >= 2 * counts["separate"].kept


def test_rows_shards_and_report_say_where_tracks_come_from(finished, config):
    used = checkpoint_hash(config.separate.unconditional, UNCONDITIONAL_FILES)
    assert finished.round_state(1).unconditional_hash == used
    assert {(track.source, track.checkpoint) for track in finished.tracks(1)} == {("label_free", used)}
    assert verify_round(finished, 1) == []
    assert {sample.meta.source for sample in iter_round(finished, 1)} == {"label_free"}
    report = finished.round_storage(1).child("report")
    kept = finished.round_state(1).counts["gate"].kept
    sources = json.loads(report.read_bytes("summary.json"))["sources"]
    assert sum(amount["tracks"] for amount in sources["label_free"].values()) == kept
    assert "Unconditional separator, then tags" in report.read_bytes("index.html").decode()


def test_training_would_draw_them(finished, config):
    stream = SampleStream(finished, config, 1, length=RATE_HZ, sample_rate_hz=RATE_HZ)
    step = next(iter(stream))
    drawn = [sample.of["supervised"] for sample in step.samples]
    asked = {query.positive for sample in drawn for query in sample.queries} - {None}
    assert step.problems == []
    assert asked
    assert asked <= {track.label for track in finished.tracks(1)}


def test_tracks_of_a_clip_sum_to_what_was_audible_of_it(finished):
    clips = {clip.clip_id: clip for clip in finished.kept_clips("natural")}
    for sample in iter_round(finished, 1):
        mixture, _ = soundfile.read(clips[sample.meta.clip_id].path, dtype="float32")
        rest = mixture * sample.meta.gain - sum(sample.tracks.values())
        assert (rest**2).mean() < 0.1 * (mixture**2).mean()


def test_a_round_does_not_go_on_with_another_unconditional_separator(finished, config):
    done = {"number": 2, "finished": ("tag", "calibrate"), "finished_before": 1, "unconditional_hash": "another"}
    finished.write_round_state(finished.round_state(1).having(**done))
    with pytest.raises(UserError, match="not the checkpoint any more that round 2 began with"):
        run_stage("separate", finished, config, 2)


def test_a_source_without_labels_needs_a_separator(tmp_path):
    (tmp_path / "config.yaml").write_text("separate: {source: label_free}\n")
    with pytest.raises(UserError, match=r"needs separate\.unconditional"):
        load_config(str(tmp_path / "config.yaml"))
