"""Taking corpora in: what the user must repair is said before any work, and the held-out set is fair."""

from collections import Counter

import numpy as np
import pytest
import soundfile

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import Clip, StageCounts
from data_specs.soundscapes import EVENTS
from pipeline.intake import hold_out, one_label_only, recording_of, take_in
from pipeline.progress import NO_PROGRESS
from pipeline.workspace import Workspace

LABELS = ("Rain", "Bark", "Siren")


def write_list(folder, name: str, labels: list[str]) -> str:
    """A clip list of short noises, one per entry of ``labels``."""
    lines = ["path,labels"]
    for number, own in enumerate(labels):
        path = folder / f"{name}{number}.wav"
        seed = sum(map(ord, name)) + number
        soundfile.write(path, 0.1 * np.random.default_rng(seed).normal(size=8000), 8000)
        lines.append(f"{path.name},{own}")
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return str(folder / f"{name}.csv")


def a_config(natural: str, single_source: str) -> Config:
    return Config.model_validate(
        {
            "corpus": {"kind": "clip_list", "path": natural},
            "single_source": {"kind": "clip_list", "path": single_source},
            "audio": {"sample_rate_hz": 8000},
        }
    )


@pytest.fixture
def config(tmp_path) -> Config:
    natural = write_list(tmp_path, "natural", ["Rain;Bark", "Siren;Bark", ""])
    return a_config(natural, write_list(tmp_path, "single", [*LABELS * 3, "Rain;Bark", ""]))


def test_both_corpora_are_ingested_once(tmp_path, config):
    uri = str(tmp_path / "w")
    workspace = take_in(uri, config, NO_PROGRESS)
    assert len(workspace.kept_clips("natural")) == 3
    counts = StageCounts.of(workspace.clips("single_source"))
    assert counts.inputs == 11
    assert counts.reasons == {"no label on a single-source clip": 1, "several labels in a single-source clip": 1}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "w" / "clips").iterdir()}
    take_in(uri, config, NO_PROGRESS)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "w" / "clips").iterdir()} == before


def test_every_label_is_held_out_and_trained_on(tmp_path, config):
    workspace = take_in(str(tmp_path / "w"), config, NO_PROGRESS)
    held_out, training = workspace.held_out_clips(), workspace.training_clips()
    assert Counter(clip.labels[0] for clip in held_out) == dict.fromkeys(LABELS, 1)
    assert Counter(clip.labels[0] for clip in workspace.calibration_clips()) == dict.fromkeys(LABELS, 1)
    assert Counter(clip.labels[0] for clip in training) == dict.fromkeys(LABELS, 1)
    assert not {clip.path for clip in held_out} & {clip.path for clip in training}


def test_built_in_corpora_are_rendered_into_the_workspace(tmp_path):
    builtin = {"kind": "builtin", "count": 2 * len(EVENTS)}
    config = Config.model_validate(
        {"corpus": {**builtin, "count": 3}, "single_source": builtin, "audio": {"clip_duration_s": 1.0}}
    )
    workspace = take_in(str(tmp_path / "w"), config, NO_PROGRESS)
    assert len(workspace.kept_clips("natural")) == 3
    assert all(len(clip.labels) > 1 for clip in workspace.kept_clips("natural"))
    assert {clip.labels[0] for clip in workspace.held_out_clips()} == set(EVENTS)
    assert {clip.labels[0] for clip in workspace.training_clips()} == set(EVENTS)


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (["Rain", "Bark"], "no clip of .*natural.csv has two labels, so there is nothing to separate"),
        (["Dog;Bark", "Rain"], "no clip of .*natural.csv has two labels"),  # a bark is a dog
        ([], "natural.csv"),
    ],
)
def test_a_corpus_with_nothing_to_separate_is_refused_before_any_work(tmp_path, config, labels, error):
    bad = a_config(write_list(tmp_path, "natural", labels), config.single_source.path)
    with pytest.raises(UserError, match=error):
        take_in(str(tmp_path / "w"), bad, NO_PROGRESS)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("labels", [["Rain", "Rain"], ["Dog", "Bark"], ["Rain;Bark", ""], ["No such label", "Rain"]])
def test_single_source_clips_that_cannot_be_mixed_are_refused_before_any_work(tmp_path, config, labels):
    bad = a_config(config.corpus.path, write_list(tmp_path, "single", labels))
    with pytest.raises(UserError, match="no two clips with one label each that are unrelated") as refusal:
        take_in(str(tmp_path / "w"), bad, NO_PROGRESS)
    assert ("labels that AudioSet has not: 'No such label'" in str(refusal.value)) == ("No such label" in labels)
    assert not (tmp_path / "w").exists()


def test_too_few_recordings_to_hold_any_out_are_refused(tmp_path, config):
    bad = a_config(config.corpus.path, write_list(tmp_path, "single", ["Rain", "Bark"]))
    with pytest.raises(UserError, match="no two unrelated labels are held out; give two recordings or more"):
        take_in(str(tmp_path / "w"), bad, NO_PROGRESS)


def test_a_corpus_of_which_no_file_can_be_used_is_refused_with_the_reason(tmp_path, config):
    for number in range(3):
        (tmp_path / f"natural{number}.wav").unlink()
    with pytest.raises(UserError, match=r"none of the 3 clips of .*natural.csv can be used; most often: missing file"):
        take_in(str(tmp_path / "w"), config, NO_PROGRESS)


def test_a_wrong_path_can_be_corrected_in_the_same_workspace(tmp_path, config):
    uri = str(tmp_path / "w")
    Workspace.open(uri, a_config("nowhere.csv", config.single_source.path))
    assert take_in(uri, config, NO_PROGRESS).config == config


def test_the_held_out_choice_depends_on_content_and_keeps_recordings_together():
    clips = [
        Clip(
            clip_id=f"{number:016x}",
            path=f"audio/1-{number // 3}-{'ABC'[number % 3]}.ogg",
            labels=(LABELS[number % 9 // 3],),
        )
        for number in range(90)
    ]
    first, second = hold_out(clips, 0.2), hold_out(list(reversed(clips)), 0.2)
    assert {clip.clip_id for clip in first if clip.split == "held_out"} == {
        clip.clip_id for clip in second if clip.split == "held_out"
    }
    sides = {(recording_of(clip.path), clip.split) for clip in first}
    assert len(sides) == 30
    assert Counter(side for _, side in sides) == {"held_out": 6, "": 24}


def test_a_held_out_split_of_the_corpus_is_respected():
    clips = [Clip(clip_id=f"{n}", path=f"{n}", labels=("Rain",), split="held_out" if n == 3 else "x") for n in range(9)]
    assert hold_out(clips, 0.5) == clips


def test_clips_that_were_not_kept_stay_as_they_are():
    clips = [Clip(clip_id="a", path="a", outcome="dropped", reason="silent", labels=("Rain", "Bark"))]
    assert hold_out(one_label_only(clips), 0.5) == clips


def test_takes_of_a_recording_are_told_from_recordings():
    assert recording_of("x/1-172649-A.ogg") == recording_of("x/1-172649-B-40.wav") == "x/1-172649"
    assert recording_of("x/bark-A.ogg") == "x/bark-A.ogg"
