"""Evaluation of a round with the shipped separator: both checkpoints, the same mixtures, remembered by hash."""

import json
import math

import pytest
import soundfile
import torch

from data_specs.config import Config
from data_specs.records import Clip
from models.checkpoints import checkpoint_hash, load_separator, save_separator
from pipeline.evaluate import BSS_MIXTURES, evaluate_round
from pipeline.progress import NO_PROGRESS
from pipeline.promote import decide
from pipeline.workspace import HELD_OUT, Workspace
from tests.pipeline.tone_separator import RATE_HZ, tone

CONFIG = Config.model_validate({"audio": {"clip_duration_s": 1.0}, "evaluate": {"mixtures": 5}})


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """Six held-out tones, and a candidate whose weights differ a little from the shipped ones."""
    workspace = Workspace.open(tmp_path / "workspace", CONFIG)
    clips = []
    for number in range(6):
        label = ("Bark", "Rain", "Siren")[number % 3]
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, tone(label, level=0.05 * (number + 1)), RATE_HZ)
        clips.append(Clip(clip_id=f"{number:016x}", path=str(path), labels=(label,), split=HELD_OUT, duration_s=1.0))
    workspace.write_clips("single_source", clips)
    return workspace


def add_candidate(workspace: Workspace, *, scale: float) -> None:
    separator = load_separator("embedded")
    with torch.no_grad():
        for parameter in separator.parameters():
            parameter.mul_(scale)
    with workspace.writing_folder(1, "checkpoint") as folder:
        save_separator(separator, folder)


class _Said:
    def __init__(self):
        self.lines = []

    def task(self, description, total):
        return NO_PROGRESS.task(description, total)

    def say(self, text):
        self.lines.append(text)


def test_both_checkpoints_meet_the_same_mixtures_and_metrics_lie_beside_the_candidate(workspace):
    add_candidate(workspace, scale=0.999)
    metrics = evaluate_round(workspace, CONFIG, 1)
    assert metrics["current"]["set"] == metrics["candidate"]["set"]
    assert metrics["current"]["checkpoint"] == checkpoint_hash("embedded") != metrics["candidate"]["checkpoint"]
    assert metrics["current"]["mixtures"] == 5
    assert metrics["current"]["pos_neg"]["bss_sdri_db"]["n"] >= 2 * BSS_MIXTURES
    for side in metrics.values():
        for mode in ("pos", "pos_neg"):
            assert all(math.isfinite(row["mean"]) for row in side[mode].values())
    written = workspace.round_storage(1).child("checkpoint").read_bytes("metrics.json")
    assert json.loads(written) == metrics["candidate"]
    assert decide(metrics["current"], metrics["candidate"], CONFIG).candidate_sdri_db is not None


def test_a_checkpoint_that_was_evaluated_is_not_evaluated_again(workspace):
    add_candidate(workspace, scale=1.0)
    evaluate_round(workspace, CONFIG, 1)
    names = workspace.storage.files("evaluations")
    assert len(names) == 2
    for name in names:
        kept = json.loads(workspace.storage.read_bytes(f"evaluations/{name}"))
        workspace.storage.write_bytes(f"evaluations/{name}", json.dumps({**kept, "mixtures": -1}).encode())
    again = evaluate_round(workspace, CONFIG, 1)
    assert [again[side]["mixtures"] for side in ("current", "candidate")] == [-1, -1]


def test_a_diverged_candidate_is_reported_and_not_promoted(workspace):
    add_candidate(workspace, scale=math.nan)
    metrics = evaluate_round(workspace, CONFIG, 1)
    assert metrics["candidate"]["pos_neg"]["sdri_db"]["mean"] is None
    assert not decide(metrics["current"], metrics["candidate"], CONFIG).promoted


def test_a_round_that_trained_nothing_has_no_candidate(workspace):
    metrics = evaluate_round(workspace, CONFIG, 1)
    assert metrics["candidate"] == {}
    assert "trained none" in decide(metrics["current"], metrics["candidate"], CONFIG).reason


def test_held_out_clips_that_vanished_are_left_out_and_said(workspace, tmp_path):
    add_candidate(workspace, scale=1.0)
    for number in (0, 1):  # 5 of 6 clips come first in a mixture, so at least one of these does
        (tmp_path / f"{number}.wav").unlink()
    said = _Said()
    metrics = evaluate_round(workspace, CONFIG, 1, said)
    assert 0 < metrics["current"]["mixtures"] < 5
    assert any("left out: missing file" in line for line in said.lines)
