"""Training the unconditional separator on a workspace's clips: no labels needed, and what is wrong is said first."""

import numpy as np
import pytest
import soundfile

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import Clip
from models.checkpoints import load_unconditional, save_unconditional
from pipeline.unconditional_train import train_unconditional
from pipeline.workspace import Workspace
from tests.pipeline.band_tdcn import band_tdcn

RATE_HZ = 8000
NETWORK = {
    "outputs": 3,
    "sample_rate_hz": RATE_HZ,
    "window_length": 128,
    "hop_length": 64,
    "width": 8,
    "hidden": 8,
    "blocks": 2,
}


def config_of(**fields) -> Config:
    train = {"steps": 2, "batch_size": 2, "duration_s": 0.3, "validation_mixtures": 2, "network": NETWORK}
    return Config.model_validate({"audio": {"sample_rate_hz": RATE_HZ}, "unconditional": {**train, **fields}})


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """Sixty clips of noise, every second one with a label."""
    rng = np.random.default_rng(0)
    clips = []
    for number in range(60):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, 0.1 * rng.normal(size=4000), RATE_HZ)
        labels = ("Rain",) if number % 2 else ()
        clips.append(Clip(clip_id=f"c{number}", path=str(path), labels=labels, duration_s=0.5))
    workspace = Workspace.open(tmp_path / "workspace", config_of())
    workspace.write_clips("natural", clips)
    return workspace


@pytest.mark.parametrize("semantic_weight", [0.0, 1.0])
def test_it_trains_on_some_clips_and_measures_on_others(workspace, tmp_path, semantic_weight):
    config = config_of(semantic_weight=semantic_weight)
    result = train_unconditional(workspace, config, tmp_path / "out")
    assert result.clips + result.held_back == 60
    assert 4 <= result.held_back <= 12
    assert load_unconditional(str(tmp_path / "out")).config == config.unconditional.network
    assert (tmp_path / "out" / "training.json").is_file()


def test_the_same_seed_gives_the_same_weights_and_a_former_one_is_trained_on(workspace, tmp_path):
    results = [train_unconditional(workspace, config_of(), tmp_path / name) for name in ("a", "b")]
    assert results[0].loss_db == results[1].loss_db
    more = train_unconditional(workspace, config_of(), tmp_path / "c", start=str(tmp_path / "a"))
    assert more.loss_before_db == results[0].loss_db


def test_what_cannot_be_trained_is_said_before_the_work(workspace, tmp_path):
    save_unconditional(band_tdcn(2, sample_rate_hz=16_000), tmp_path / "other")
    with pytest.raises(UserError, match="other is for 16000 Hz, clips have 8000 Hz"):
        train_unconditional(workspace, config_of(), tmp_path / "out", start=str(tmp_path / "other"))
    workspace.write_clips(
        "natural", [Clip(**{**clip.model_dump(), "labels": ()}) for clip in workspace.clips("natural")]
    )
    with pytest.raises(UserError, match="needs clips with labels"):
        train_unconditional(workspace, config_of(semantic_weight=1.0), tmp_path / "out")
    workspace.write_clips("natural", workspace.clips("natural")[:1])
    with pytest.raises(UserError, match="MixIT needs two at least"):
        train_unconditional(workspace, config_of(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_recording_that_vanished_is_named(workspace, tmp_path):
    for path in tmp_path.glob("*.wav"):
        path.unlink()
    with pytest.raises(UserError, match=r"\.wav.*run again"):
        train_unconditional(workspace, config_of(), tmp_path / "out")
