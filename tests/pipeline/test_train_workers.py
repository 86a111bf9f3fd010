"""Retraining by Ray Train: a real Ray, real workers, a checkpoint that loads."""

import json

import numpy as np
import pytest
import soundfile

from data_specs.config import Config, TrainConfig
from data_specs.records import Clip
from models.checkpoints import checkpoint_hash, load_separator
from pipeline.train_workers import train_round
from pipeline.workers import stop_ray
from pipeline.workspace import Workspace

SMALL = {"steps": 2, "batch_size": 2, "validate_every": 2, "validation_mixtures": 4}


def workspace_with_tones(folder, config: Config, clips: int = 6) -> Workspace:
    """A workspace whose single-source clips are short tones of three labels."""
    folder.mkdir(parents=True, exist_ok=True)
    workspace = Workspace.open(folder / "workspace", config)
    records = []
    for i in range(clips):
        path = folder / f"{i}.wav"
        tone = 0.3 * np.sin(2 * np.pi * (300 + 100 * i) * np.arange(32_000) / 32_000)
        soundfile.write(path, tone, 32_000)
        label = ("Bark", "Rain", "Siren")[i % 3]
        records.append(Clip(clip_id=f"{i:016x}", path=str(path), labels=(label,), duration_s=1.0))
    workspace.write_clips("single_source", records)
    return workspace


@pytest.fixture(scope="module", autouse=True)
def ray_ends():
    yield
    stop_ray()


@pytest.mark.parametrize("train_workers", [1, 2])
def test_a_round_writes_a_new_checkpoint_and_its_curves(tmp_path, train_workers):
    config = Config(train=TrainConfig(**SMALL)).model_copy(
        update={"workers": Config().workers.model_copy(update={"train_workers": train_workers})}
    )
    workspace = workspace_with_tones(tmp_path, config)
    result = train_round(workspace, config, 1)
    assert result.skipped == ""
    assert result.steps == 2
    assert result.single_source_clips == len(workspace.training_clips()) > 0
    folder = workspace.local_folder(1, "checkpoint")
    assert load_separator(str(folder)).config == load_separator("embedded").config
    assert checkpoint_hash(str(folder)) != checkpoint_hash("embedded")
    assert json.loads((folder / "training.json").read_text())["step"] == [2]


def test_without_steps_or_data_there_is_no_checkpoint_and_a_reason(tmp_path):
    idle = Config(train=TrainConfig(**{**SMALL, "steps": 0}))
    assert train_round(workspace_with_tones(tmp_path / "a", idle), idle, 1).skipped == "train.steps is 0"
    config = Config(train=TrainConfig(**SMALL))
    empty = workspace_with_tones(tmp_path / "b", config, clips=0)
    assert "no single-source clip" in train_round(empty, config, 1).skipped
