"""Separation on a real Ray: units are committed by the workers, and a lost worker costs nothing but time."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import ray
import soundfile

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import Clip, TaggedClip, content_id
from pipeline.separate import WorkUnit, separate_unit, work_units
from pipeline.shards import verify_round
from pipeline.workers import separate_units, stop_ray
from pipeline.workspace import Workspace
from tests.pipeline import band_separator
from tests.pipeline.band_separator import BandSeparator, load_bands

CONFIG = Config.model_validate({"audio": {"sample_rate_hz": 8000}})


@pytest.fixture(scope="module", autouse=True)
def ray_ends():
    ray.cloudpickle.register_pickle_by_value(band_separator)  # workers cannot import test modules
    yield
    stop_ray()


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.open(tmp_path / "workspace", CONFIG)


@pytest.fixture
def units(tmp_path) -> list[WorkUnit]:
    clips = []
    for number in range(6):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(number).normal(size=4000), 8000)
        clips.append(Clip(clip_id=content_id(number), path=str(path), duration_s=0.5))
    tags = [TaggedClip(clip_id=clip.clip_id, labels=("Rain", "Bark"), scores=(1.0, 1.0)) for clip in clips]
    return work_units(clips, tags, 2)


def test_every_unit_is_done_although_a_worker_is_killed(workspace, units, tmp_path):
    marker = str(tmp_path / "was killed")

    def load_and_die_once(config: Config, checkpoint: str) -> BandSeparator:
        if not os.path.exists(marker):
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return load_bands(config, checkpoint)

    done = list(separate_units(workspace, CONFIG, 1, units, load=load_and_die_once))
    assert os.path.exists(marker)
    assert sorted(one.unit_id for one in done) == [unit.unit_id for unit in units]
    assert sum(one.clips for one in done) == 6
    assert verify_round(workspace, 1) == []
    for unit in units:
        here = separate_unit(unit, CONFIG, BandSeparator("embedded"))
        assert workspace.unit_tracks(1, unit.unit_id) == list(here.tracks)
        assert workspace.storage.read_bytes(f"rounds/001/shards/{unit.unit_id}.tar") == here.shard


def test_what_the_user_can_fix_comes_out_as_such(workspace, units):
    def load(config: Config, checkpoint: str) -> BandSeparator:
        raise UserError("no checkpoint there")

    with pytest.raises(UserError, match=r"^no checkpoint there$"):
        list(separate_units(workspace, CONFIG, 1, units, load=load))
    assert workspace.committed_units(1) == set()


def test_a_fault_of_a_worker_says_what_happened(workspace, units):
    def load(config: Config, checkpoint: str) -> BandSeparator:
        raise ZeroDivisionError("by design")

    with pytest.raises(RuntimeError, match=r"work unit 00000\d-\w+ failed: ZeroDivisionError: by design"):
        list(separate_units(workspace, CONFIG, 1, units, load=load))


def test_without_units_nothing_is_started(workspace):
    assert list(separate_units(workspace, CONFIG, 1, [])) == []
