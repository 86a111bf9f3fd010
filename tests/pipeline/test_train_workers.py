"""Retraining by Ray Train: a real Ray, real workers, a checkpoint that loads."""

import json
import threading

import numpy as np
import psutil
import pytest
import soundfile

from data_specs.config import Config, TrainConfig
from data_specs.errors import UserError
from data_specs.records import Clip, Track
from models.checkpoints import checkpoint_hash, load_separator
from pipeline.train_round import train_round
from pipeline.workers import stop_ray
from pipeline.workspace import Workspace
from tests.round_process import title_of

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


def with_workers(config: Config, **workers) -> Config:
    return config.model_copy(update={"workers": config.workers.model_copy(update=workers)})


def test_two_ranks_train_to_the_same_loss_as_one_and_one_may_be_killed(tmp_path):
    """One rank; two; and two of which one is killed after the first checkpoint."""
    config = Config(train=TrainConfig(**{**SMALL, "steps": 6, "checkpoint_every": 2, "validate_every": 3}))
    curves = []
    for name, ranks in (("one", 1), ("two", 2), ("killed", 2)):
        own = with_workers(config, train_workers=ranks)
        workspace = workspace_with_tones(tmp_path / name, own)
        killer = RankKiller(workspace, enabled=name == "killed")
        with killer:
            result = train_round(workspace, own, 1)
        assert (result.skipped, result.steps, result.problems) == ("", 6, {})
        assert result.single_source_clips == len(workspace.training_clips()) > 0
        assert killer.killed == killer.enabled
        folder = workspace.local_folder(1, "checkpoint")
        assert load_separator(str(folder)).config == load_separator("embedded").config
        assert checkpoint_hash(str(folder)) != checkpoint_hash("embedded")
        curves.append(json.loads((folder / "training.json").read_text()))
        assert not workspace.round_storage(1).is_file("training.pt")
    one, two, killed = curves
    assert one["step"] == [3, 6]
    assert two["loss"] == pytest.approx(one["loss"], abs=1e-3)
    assert two["validation_sdri_db"] == pytest.approx(one["validation_sdri_db"], abs=1e-3)
    assert killed["loss"] == two["loss"]
    assert killed["validation_sdri_db"] == two["validation_sdri_db"]


class RankKiller:
    """Meanwhile, kill one rank as soon as the first state is saved."""

    def __init__(self, workspace: Workspace, *, enabled: bool) -> None:
        self.enabled, self.killed = enabled, False
        self._workspace = workspace
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        if self.enabled:
            self._thread.start()

    def __exit__(self, *error):
        self._over.set()
        if self.enabled:
            self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            if self._workspace.round_storage(1).is_file("training.pt"):
                family = psutil.Process().children(recursive=True)
                ranks = [one for one in family if title_of(one).startswith("ray::RayTrainWorker")]
                if ranks:
                    ranks[-1].kill()
                    self.killed = True
                    return


def test_a_damaged_shard_is_named_and_training_goes_on(tmp_path):
    config = Config(train=TrainConfig(**SMALL, itt_share=1.0))
    workspace = workspace_with_tones(tmp_path, config)
    track = Track(track_id="t", clip_id="c", label="Bark", index=0, tier="itt", shard="u.tar")
    workspace.commit_unit(1, "u", [track], b"no tar")
    result = train_round(workspace, config, 1)
    assert (result.skipped, result.steps) == ("", 2)
    assert list(result.problems) == ["u.tar: not a whole tar file (truncated header)"]


def test_a_batch_that_ranks_cannot_share_is_the_users_error(tmp_path):
    config = with_workers(Config(train=TrainConfig(**SMALL)), train_workers=3)
    with pytest.raises(UserError, match=r"train.batch_size \(2\) must be a multiple of workers.train_workers \(3\)"):
        train_round(workspace_with_tones(tmp_path, config), config, 1)


def test_without_steps_or_data_there_is_no_checkpoint_and_a_reason(tmp_path):
    idle = Config(train=TrainConfig(**{**SMALL, "steps": 0}))
    assert train_round(workspace_with_tones(tmp_path / "a", idle), idle, 1).skipped == "train.steps is 0"
    config = Config(train=TrainConfig(**SMALL))
    empty = workspace_with_tones(tmp_path / "b", config, clips=0)
    assert "no single-source clip" in train_round(empty, config, 1).skipped
