"""A whole round in a bucket: corpora, shards, manifests and checkpoint are read and written there, on a real Ray."""

import numpy as np
import pytest
import soundfile

from data_specs.config import Config
from pipeline.ledger import STAGES
from pipeline.round import open_workspace, run_stage
from pipeline.shards import iter_round, verify_round
from pipeline.storage import Storage
from pipeline.workers import stop_ray
from pipeline.workspace import Workspace

NATURAL = ["Rain;Bark", "Siren;Bark", "Rain;Siren"]


@pytest.fixture
def config(s3, tmp_path) -> Config:
    """Three clips in two work units, a gate that keeps everything, and one training step."""
    for name, labels in (("natural", NATURAL), ("single", ["Rain", "Bark"] * 2)):
        lines = ["path,labels"]
        for number, own in enumerate(labels):
            samples = 0.1 * np.random.default_rng(len(name) + number).normal(size=32_000)
            soundfile.write(tmp_path / "a.flac", samples, 32_000)
            Storage(s3).upload(tmp_path / "a.flac", f"audio/{name}{number}.flac")
            lines.append(f"{name}{number}.flac,{own}")
        Storage(s3).write_bytes(f"lists/{name}.csv", "\n".join(lines).encode())
    corpora = {
        corpus: {"kind": "clip_list", "path": f"{s3}/lists/{name}.csv", "audio_root": f"{s3}/audio"}
        for corpus, name in (("corpus", "natural"), ("single_source", "single"))
    }
    return Config.model_validate(
        {
            **corpora,
            "separate": {"unit_clips": 2},
            "gate": {"preset": "paper", "itt_db": -70, "sst_db": -65},
            "train": {"steps": 1, "batch_size": 1, "validation_mixtures": 1},
            "evaluate": {"mixtures": 2},
        }
    )


def test_a_round_of_a_bucket_is_whole_and_the_next_one_starts_from_it(config, s3):
    workspace = open_workspace(config, f"{s3}/workspace")
    try:
        for stage in STAGES:
            run_stage(stage, workspace, config, 1)
    finally:
        stop_ray()
    state = workspace.round_state(1)
    assert state.state == "finished"
    assert state.counts["separate"].kept == 3
    assert verify_round(workspace, 1) == []
    assert {sample.meta.source_path for sample in iter_round(workspace, 1)} == {
        f"{s3}/audio/natural{number}.flac" for number in range(3)
    }
    folder = workspace.round_storage(1)
    assert folder.child("report").is_file("index.html")
    assert "separator.safetensors" in folder.child("checkpoint").files()
    assert state.checkpoint_out_hash

    promoted = state.having(promotion={"promoted": True, "reason": ""})
    workspace.write_round_state(promoted)
    start = Workspace(workspace.uri).current_checkpoint(before_round=2)
    assert start != "embedded"
    from models.checkpoints import checkpoint_hash

    assert checkpoint_hash(start) == state.checkpoint_out_hash
