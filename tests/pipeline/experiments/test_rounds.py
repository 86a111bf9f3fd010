"""The experiment of rounds, small: every arm runs on real recordings, nothing leaks, an interruption costs nothing."""

import csv
import json

import numpy as np
import pytest

from data_specs.config import load_config
from data_specs.errors import UserError
from pipeline.experiments.material import SMALL, read_material
from pipeline.experiments.recipes import run_recipes
from pipeline.experiments.rounds import run_rounds
from pipeline.experiments.silence import run_silence
from pipeline.experiments.thresholds import USES, Use, run_thresholds
from pipeline.experiments.training import KeptClip, KeptMixtures, KeptPool, KeptTrack
from pipeline.partitions import RIGHT, WRONG

CONFIG = load_config("experiment", {"gate": {"tracks_min": 16}})


@pytest.fixture(scope="module")
def sources(shared_data) -> str:
    return str(shared_data / "esc10" / "clips.csv")


@pytest.fixture(scope="module")
def material(sources):
    return read_material(
        sources, single=["fold1"], natural=["fold2"], test=["fold3"], config=CONFIG, size=SMALL, seed=0
    )


def test_no_recording_serves_two_purposes(material, sources):
    with open(sources, encoding="utf-8") as file:
        splits = {row["path"].rsplit("/", 1)[-1]: row["split"] for row in csv.DictReader(file)}
    names = [{clip.path.rsplit("/", 1)[-1] for clip in clips} for clips in (material.training, material.calibration)]
    assert names[0].isdisjoint(names[1])
    assert {splits[name] for side in names for name in side} == {"fold1"}
    assert len(material.calibration) == pytest.approx(20, abs=6)
    assert {clip.labels[0] for clip in material.training} == {clip.labels[0] for clip in material.calibration}


def test_other_seeds_hold_back_other_recordings_but_are_tested_on_the_same_scenes(material, sources):
    other = read_material(
        sources, single=["fold1"], natural=["fold2"], test=["fold3"], config=CONFIG, size=SMALL, seed=1
    )
    assert {clip.clip_id for clip in other.calibration} != {clip.clip_id for clip in material.calibration}
    np.testing.assert_array_equal(other.test[0].mixture, material.test[0].mixture)
    assert not np.array_equal(other.natural[0].mixture, material.natural[0].mixture)


def test_a_split_cannot_serve_two_purposes(sources):
    with pytest.raises(UserError, match="a split can serve one purpose only"):
        read_material(sources, single=["fold1"], natural=["fold2"], test=["fold2"], config=CONFIG, size=SMALL, seed=0)


def test_all_arms_run_and_an_interrupted_experiment_goes_on(material, tmp_path):
    def run(arms):
        return run_rounds(material, CONFIG, size=SMALL, rounds=1, seed=0, out=tmp_path, arms=arms)

    run(("calibrated",))
    stored = (tmp_path / "calibrated-1" / "result.json").read_bytes()
    (tmp_path / "oracle-1").mkdir()  # cut off before it had a result
    results = run(("oracle", "calibrated", "oracle-gate"))
    assert [one["arm"] for one in results] == ["start", "oracle", "calibrated", "oracle-gate"]
    assert [one["round"] for one in results] == [0, 1, 1, 1]
    assert (tmp_path / "calibrated-1" / "result.json").read_bytes() == stored
    assert results[1]["kept"] == sum(len(scene.labels) for scene in material.natural)
    gate = json.loads(stored)["gate"]
    assert gate["tracks"] == sum(len(scene.labels) for scene in material.natural)
    assert gate["calibration"]["gate"] == "calibrated", gate["calibration"]["warning"]
    assert 0 <= gate["precision"]["50%"]["stated"] <= 1
    assert set(gate["accepted"]) == set(WRONG | RIGHT)
    assert all(one["paper"] == 1.0 for name, one in gate["accepted"].items() if name == "all to one")
    good = results[3]["gate"]["good_share"] * results[3]["gate"]["tracks"]
    assert results[3]["kept"] == pytest.approx(good)
    assert results[3]["gate"]["kept_precision"] == (1.0 if good else None)


def test_silence_rates_are_trained_from_one_start(material, tmp_path):
    model = CONFIG.model.model_copy(update={"silence_floor_db": -3.0})
    config = CONFIG.model_copy(update={"model": model})
    results = run_silence(material, config, rates=(0.0, 1.0), size=SMALL, seed=0, out=tmp_path)
    names = ["α = 0.00", "α = 0.00, floor -3 dB", "α = 1.00", "α = 1.00, floor -3 dB"]
    assert [one["arm"] for one in results] == names
    bare, floored, trained, _ = (one["metrics"] for one in results)
    assert bare["silence_sdr_db"] < trained["silence_sdr_db"]
    assert {"silence_sdr_db_pos", "silence_si_sdr_db", "sdri_db"} <= set(bare)
    assert floored["silence_sdr_db"] > bare["silence_sdr_db"] + 10  # of the same weights
    assert floored["sdri_db"] != bare["sdri_db"]


def test_recipes_are_compared_on_the_same_scenes(material, tmp_path):
    slow = load_config("experiment", {"train": {"learning_rate": 1e-4, "steps": 1, "batch_size": 1}})
    recipes = {"experiment": CONFIG, "own/slow.yaml": slow}
    results = run_recipes(material, CONFIG, recipes=recipes, size=SMALL, seed=0, out=tmp_path)
    assert [(one["arm"], one["steps"]) for one in results] == [("experiment", SMALL.start_steps), ("own/slow.yaml", 1)]
    assert results[0]["metrics"] != results[1]["metrics"]
    edited = {
        "own/slow.yaml": load_config("experiment", {"train": {"learning_rate": 1e-2, "steps": 1, "batch_size": 1}})
    }
    (again,) = run_recipes(material, CONFIG, recipes=edited, size=SMALL, seed=0, out=tmp_path)
    assert again["metrics"] != results[1]["metrics"]
    longer = {"longer.yaml": load_config("experiment", {"audio": {"clip_duration_s": 8.0}})}
    with pytest.raises(UserError, match=r"longer\.yaml: recipes are compared on the same scenes, but its audio is"):
        run_recipes(material, CONFIG, recipes=longer, size=SMALL, seed=0, out=tmp_path)


def test_thresholds_decide_what_an_arm_trains_on(material, tmp_path):
    results = run_thresholds(material, CONFIG, uses=(Use(None, None), Use(-60, 60)), size=SMALL, seed=0, out=tmp_path)
    assert [one["arm"] for one in results] == ["start", "single-source", "ITT > -60 dB, SST > 60 dB"]
    assert results[1]["minutes"] == {"itt": 0, "sst": 0}
    tracks = sum(len(scene.labels) for scene in material.natural)
    assert results[2]["minutes"] == {"itt": pytest.approx(tracks * 5 / 60), "sst": 0}
    assert results[1]["metrics"] != results[2]["metrics"]
    assert len({use.name for use in USES}) == len(USES) == 6


def test_a_kept_clip_is_cropped_as_a_whole():
    ramp = np.arange(100, dtype=np.float32)
    mixture, tracks = KeptMixtures([KeptClip(3 * ramp, {"Bark": ramp, "Rain": 2 * ramp})]).draw(
        np.random.default_rng(0), 10
    )
    np.testing.assert_array_equal(mixture, tracks["Bark"] + tracks["Rain"])
    assert len(mixture) == 10
    assert tracks["Bark"][0] > 0


def test_kept_tracks_are_drawn_by_their_weight():
    tracks = [KeptTrack("Bark", np.full(10, level, np.float32), weight) for level, weight in ((1, 9.0), (2, 1.0))]
    rng = np.random.default_rng(0)
    drawn = [float(KeptPool(tracks).draw("Bark", rng, 4)[0]) for _ in range(200)]
    assert drawn.count(1.0) / 200 == pytest.approx(0.9, abs=0.06)
