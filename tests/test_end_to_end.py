"""The whole loop as a user runs it, on real recordings where they are at hand: two rounds, then everything is opened.

Small on purpose: a few scenes and training steps prove the path, not the quality.
"""

import json
import subprocess
import sys
import tarfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import webdataset
import yaml

SMALL = {
    "audio": {"clip_duration_s": 5.0},
    "separate": {"unit_clips": 3},
    "gate": {"preset": "paper", "itt_db": 3.0, "sst_db": 6.0},  # low, so that a few scenes are enough to get shards
    "train": {"steps": 2, "batch_size": 2, "validate_every": 2, "validation_mixtures": 4},
    "evaluate": {"mixtures": 3},
}


def engine(*arguments: object, cwd: Path) -> str:
    """What ``data-engine`` prints; it must succeed."""
    command = [sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main())", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def adds_up(counts: dict) -> bool:
    return counts["inputs"] == counts["kept"] + counts["dropped"] + counts["failed"]


@pytest.fixture(scope="module")
def finished(shared_data, tmp_path_factory) -> Path:
    """A folder with ESC-10 scenes and a workspace of two finished rounds over them."""
    folder = tmp_path_factory.mktemp("esc10")
    sources = shared_data / "esc10" / "clips.csv"
    engine("soundscapes", "--sources", sources, "--count", 6, "--duration", 5, "--out", folder / "scenes", cwd=folder)
    config = {
        **SMALL,
        "rounds": 2,
        "corpus": {"kind": "clip_list", "path": "scenes/clips.csv"},
        "single_source": {"kind": "clip_list", "path": str(sources), "split": "fold1"},
    }
    (folder / "corpus.yaml").write_text(yaml.safe_dump(config))
    engine("run", "corpus.yaml", "--workspace", "workspace", cwd=folder)
    return folder


def test_counts_of_every_stage_add_up(finished):
    status = json.loads(engine("status", "workspace", "--json", cwd=finished))
    assert [one["state"] for one in status["rounds"]] == ["finished", "finished"]
    assert status["resume"] is None
    for one in status["rounds"]:
        counts = one["counts"]
        assert all(adds_up(stage) for stage in counts.values())
        assert counts["ingest"]["inputs"] == 6
        assert counts["tag"]["inputs"] == counts["ingest"]["kept"]
        assert counts["separate"]["inputs"] == counts["tag"]["kept"]
        assert sum(one["tiers"].values()) == counts["gate"]["inputs"]
        assert one["promotion"]["reason"]


def test_shards_and_manifests_open_with_plain_tools(finished):
    shards = sorted((finished / "workspace").glob("rounds/*/shards/*.tar"))
    assert shards
    for shard in shards:
        with tarfile.open(shard) as tar:
            names = tar.getnames()
        keys = [name.partition(".")[0] for name in names]
        assert len(set(keys)) == 1 + sum(a != b for a, b in pairwise(keys)), "keys are contiguous"
        samples = list(webdataset.WebDataset(str(shard), shardshuffle=False))
        assert {sample["__key__"] for sample in samples} == set(keys)
    for part in (finished / "workspace").glob("rounds/*/tracks/*.parquet"):
        rows = pq.read_table(part).to_pylist()
        assert all(row["reason"] for row in rows if row["outcome"] != "kept")
    engine("shards", "verify", "workspace", cwd=finished)


def test_the_last_checkpoint_separates_a_recording_into_files_that_sum_to_it(finished, shared_data):
    recording = shared_data / "ambience" / "storm.ogg"
    checkpoint = finished / "workspace/rounds/002/checkpoint"
    arguments = ("--label", "Rain", "--label", "a dog barks", "--out", "stems", "--checkpoint", checkpoint)
    engine("separate", recording, *arguments, cwd=finished)
    original, rate = soundfile.read(recording, dtype="float32", always_2d=True)
    files = [path for path in (finished / "stems").iterdir() if path.suffix != ".png"]
    stems = [soundfile.read(path, dtype="float32", always_2d=True) for path in files]
    assert len(stems) == 3
    assert {own_rate for _, own_rate in stems} == {rate}
    assert np.abs(sum(stem for stem, _ in stems) - original).max() < 1e-4


def test_a_finished_workspace_is_not_touched_again(finished):
    before = {path: path.stat().st_mtime_ns for path in (finished / "workspace").rglob("*") if path.is_file()}
    assert "nothing is left to do" in engine("run", "corpus.yaml", "--workspace", "workspace", cwd=finished)
    after = {path: path.stat().st_mtime_ns for path in (finished / "workspace").rglob("*") if path.is_file()}
    assert after == before


def test_recordings_without_labels_are_left_to_the_tagger(shared_data, tmp_path):
    config = {
        **SMALL,
        "rounds": 1,
        "corpus": {"kind": "folder", "path": str(shared_data / "ambience")},
        "single_source": {"kind": "builtin", "count": 96},
        "audio": {"clip_duration_s": 10.0},
    }
    (tmp_path / "corpus.yaml").write_text(yaml.safe_dump(config))
    engine("run", "corpus.yaml", "--workspace", "workspace", cwd=tmp_path)
    (one,) = json.loads(engine("status", "workspace", "--json", cwd=tmp_path))["rounds"]
    assert one["state"] == "finished"
    assert adds_up(one["counts"]["tag"])
    (tags,) = (tmp_path / "workspace").glob("rounds/001/tags/*.parquet")
    assert {row["source"] for row in pq.read_table(tags).to_pylist()} == {"clap"}
    assert one["counts"]["tag"]["kept"] > 0
