"""A round with every objective switched on: what one round tagged and separated, learned from in several ways."""

import json
import math
import shutil

import pytest

from data_specs.config import Config
from models.checkpoints import load_separator
from pipeline.label_queries import round_encoder
from pipeline.round import STAGES, open_workspace, run_stage
from pipeline.round_material import tagged_clips
from pipeline.train_rank import TrainTask, train_rank
from pipeline.train_round import train_round
from pipeline.workers import stop_ray
from pipeline.workspace import Workspace
from tests.pipeline.clip_lists import write_list

CAPTIONS = ["rain falls while a dog barks", "somebody whistles"]
NATURAL = ["Rain;Bark", "Siren;Bark", "Rain;Siren", "Chime"]
SINGLE = ["Rain", "Bark", "Siren", "Chime"] * 2
TRAIN = {"steps": 2, "batch_size": 2, "validate_every": 2, "validation_mixtures": 4}
UNTIL_TRAINING = STAGES[: STAGES.index("train")]
ALL = {
    "objectives": {"supervised": 1.0, "weak": 0.2, "audio_query": 1.0},
    "text_query": {"kind": "dropout"},
}
ALONE = {
    "weak": {"objectives": {"weak": 1.0}},
    "audio queries": {"objectives": {"audio_query": 1.0}, "audio_query": {"kind": "pca"}},
}


@pytest.fixture(scope="module")
def separated(tmp_path_factory):
    """A workspace whose first round has come to its training, and its configuration."""
    folder = tmp_path_factory.mktemp("corpus")
    config = Config.model_validate(
        {
            "corpus": {"kind": "clip_list", "path": write_list(folder, "natural", NATURAL, CAPTIONS)},
            "single_source": {"kind": "clip_list", "path": write_list(folder, "single", SINGLE)},
            "audio": {"clip_duration_s": 1.0},
            "evaluate": {"mixtures": 2, "held_out_share": 0.5},
            "gate": {"preset": "paper"},
            "train": TRAIN,
        }
    )
    workspace = open_workspace(config, str(folder / "workspace"))
    for stage in UNTIL_TRAINING:
        run_stage(stage, workspace, config, 1)
    return workspace, config


@pytest.fixture(scope="module", autouse=True)
def _ray_ends():
    yield
    stop_ray()


def taught(separated, folder, train: dict, *, ranks: int = 1) -> tuple[Workspace, Config]:
    """A copy of the workspace, whose round goes on with another way to learn."""
    original, config = separated
    shutil.copytree(original.uri, folder)
    workspace = Workspace(folder)
    changed = Config.model_validate(
        {**config.model_dump(mode="json"), "train": {**TRAIN, **train}, "workers": {"train_workers": ranks}}
    )
    workspace.write_round_state(workspace.round_state(1).having(config=changed.model_dump(mode="json")))
    return workspace, changed


def history(workspace: Workspace) -> dict:
    written = json.loads((workspace.local_folder(1, "checkpoint") / "training.json").read_text())
    assert len(written["loss"]) == 2
    assert all(map(math.isfinite, written["loss"]))
    return written


def test_a_round_learns_by_all_objectives_on_two_ranks(separated, tmp_path):
    workspace, config = taught(separated, tmp_path / "workspace", ALL, ranks=2)
    for stage in STAGES[len(UNTIL_TRAINING) :]:
        state = run_stage(stage, workspace, config, 1)
    assert state.state == "finished"
    assert state.training["skipped"] == ""
    assert state.metrics["candidate"]["pos"]["sdri_db"]["n"] > 0
    assert -1 <= state.training["other_cosine"] <= state.training["matching_cosine"] <= 1
    written = history(workspace)
    assert set(written["parts"]) == set(config.train.objectives)
    sums = [sum(step) for step in zip(*written["parts"].values(), strict=True)]
    assert sums == pytest.approx(written["loss"])


@pytest.mark.parametrize("name", ALONE)
def test_an_objective_alone_makes_a_checkpoint(separated, name, tmp_path):
    workspace, config = taught(separated, tmp_path / "workspace", ALONE[name])
    task = TrainTask(workspace, config, 1, "key", round_encoder(workspace, config))
    train_rank(task, rank=0, world_size=1, prepare=lambda separator: separator)
    assert history(workspace)["parts"] == {}
    made = load_separator(str(workspace.local_folder(1, "checkpoint")))
    assert made.config.query_projection == ("pca" if name == "audio queries" else "none")


def test_weak_supervision_asks_by_captions_where_there_are_any(separated):
    workspace, _ = separated
    pool = tagged_clips(workspace, 1, 32_000)
    texts = {pool.texts(number) for number in range(len(pool))}
    assert texts == {("rain falls", "a dog barks"), ("somebody whistles",), ("Rain", "Siren"), ("Chime",)}


def test_an_objective_without_anything_to_learn_from_is_named(separated, tmp_path):
    train = {"objectives": {"weak": 1.0}, "weak": {"mixtures": 9}}
    workspace, config = taught(separated, tmp_path / "workspace", train)
    reason = "weak supervision needs 9 natural clips with labels or captions, there are 4"
    assert train_round(workspace, config, 1).skipped == reason
