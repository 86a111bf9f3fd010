"""Scenes with known truth are scored by their truth; what cannot be read is counted."""

import csv

import pytest

from data_specs.errors import UserError
from pipeline.audio import encode_flac
from pipeline.scene_truth import evaluate_scenes
from tests.pipeline.tone_separator import RATE_HZ, ToneSeparator, tone

SCENES = {"audio/a.flac": ("Bark", "Rain"), "audio/b.flac": ("Siren", "Speech", "Bark")}


@pytest.fixture
def scenes(tmp_path):
    rows = []
    for clip, labels in SCENES.items():
        tracks = {label: tone(label) for label in labels}
        for k, (label, waveform) in enumerate(tracks.items()):
            path = f"truth/{clip[6]}/{k}.flac"
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(encode_flac(waveform, RATE_HZ))
            rows.append((clip, k, label, path))
        (tmp_path / clip).parent.mkdir(exist_ok=True)
        (tmp_path / clip).write_bytes(encode_flac(sum(tracks.values()), RATE_HZ))
    with (tmp_path / "truth.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("clip", "k", "label", "path"), *rows])
    return tmp_path


def test_every_track_of_every_scene_is_scored(scenes):
    metrics = evaluate_scenes(ToneSeparator(), scenes, sample_rate_hz=RATE_HZ)
    assert metrics["scenes"]["kept"] == metrics["mixtures"] == 2
    assert metrics["pos_neg"]["sdri_db"]["n"] == 5
    assert metrics["pos_neg"]["si_sdri_db"]["mean"] > 20
    assert set(metrics["labels"]) == {"Bark", "Rain", "Siren", "Speech"}


def test_a_scene_that_cannot_be_read_is_counted_and_the_others_are_scored(scenes):
    (scenes / "audio/a.flac").write_bytes(b"no audio")
    counts = evaluate_scenes(ToneSeparator(), scenes, sample_rate_hz=RATE_HZ)["scenes"]
    assert (counts["inputs"], counts["kept"], counts["failed"]) == (2, 1, 1)


def test_a_folder_without_truth_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no truth\.csv"):
        evaluate_scenes(ToneSeparator(), tmp_path, sample_rate_hz=RATE_HZ)


def test_scenes_of_which_none_can_be_read_are_refused(scenes):
    for clip in SCENES:
        (scenes / clip).unlink()
    with pytest.raises(UserError, match="none of the 2 scenes"):
        evaluate_scenes(ToneSeparator(), scenes, sample_rate_hz=RATE_HZ)
