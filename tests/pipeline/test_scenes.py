"""Scenes and events on disk, from built-in events and from real recordings."""

import csv
import json

import numpy as np
import pytest
import soundfile

from data_specs.config import Config, CorpusConfig
from data_specs.corpus import read_corpus
from data_specs.errors import UserError
from data_specs.records import CorpusEntry
from data_specs.soundscapes import BuiltinSource, SceneRecipe, compose_scene, remake_scene
from pipeline.scenes import ClipSource, write_events, write_scenes

CONFIG = Config.model_validate({"audio": {"sample_rate_hz": 16_000}})


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(out, count=3, seed=0, source=None):
    return write_scenes(source or BuiltinSource(), count=count, out=out, config=CONFIG, seed=seed, duration_s=1.5)


@pytest.fixture
def esc10(shared_data):
    entries = read_corpus(CorpusConfig(kind="clip_list", path=str(shared_data / "esc10" / "clips.csv"), split="fold1"))
    return ClipSource(entries)


def test_scenes_come_with_truth_that_sums_to_the_clip(tmp_path):
    clips = rows(write(tmp_path))
    truth = rows(tmp_path / "truth.csv")
    assert len(clips) == 3
    assert list(clips[0]) == ["path", "labels", "split"]
    assert list(truth[0]) == ["clip", "k", "label", "path"]
    for clip in clips:
        mixture, rate = soundfile.read(tmp_path / clip["path"])
        own = [row for row in truth if row["clip"] == clip["path"]]
        assert [row["label"] for row in own] == clip["labels"].split(";")
        total = sum(soundfile.read(tmp_path / row["path"])[0] for row in own)
        background = (tmp_path / own[0]["path"]).with_name("background.flac")
        if background.exists():
            total = total + soundfile.read(background)[0]
        assert rate == 16_000
        np.testing.assert_allclose(total, mixture, atol=1e-3)


def test_the_same_call_gives_the_same_bytes_elsewhere_and_rerun(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    first = files(tmp_path / "a")
    assert first == files(tmp_path / "b")
    assert not any(name.startswith(".") for name in first)
    write(tmp_path / "a")
    assert files(tmp_path / "a") == first


def test_a_rerun_makes_only_what_is_missing(tmp_path):
    write(tmp_path)
    before = files(tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")}
    recipe = sorted(tmp_path.glob("recipes/*.json"))[0]
    recipe.unlink()
    write(tmp_path)
    assert files(tmp_path) == before
    made_again = {
        path.parent.name if path.parent.name != "audio" else path.stem
        for path in stamps
        if path.stat().st_mtime_ns != stamps[path]
    }
    assert made_again == {recipe.stem}


def test_more_scenes_keep_the_first_ones_and_another_seed_gives_others(tmp_path):
    few, more, other = (
        {row["path"] for row in rows(write(tmp_path / name, count, seed))}
        for name, count, seed in (("few", 2, 0), ("more", 3, 0), ("other", 2, 1))
    )
    assert few < more
    assert not few & other


def test_a_recipe_on_disk_gives_the_clip_again(tmp_path):
    write(tmp_path, count=1)
    (recipe,) = tmp_path.glob("recipes/*.json")
    scene = remake_scene(SceneRecipe.model_validate_json(recipe.read_text("utf-8")), BuiltinSource())
    stored, _ = soundfile.read(tmp_path / "audio" / f"{recipe.stem}.flac")
    np.testing.assert_allclose(scene.mixture, stored, atol=1e-4)


def test_real_single_source_clips_make_scenes_that_are_made_again(esc10, tmp_path):
    for seed in range(3):
        scene = compose_scene(esc10, seed=seed, config=CONFIG.soundscapes, duration_s=6.0, sample_rate_hz=16_000)
        total = np.sum([track.waveform for track in scene.tracks], axis=0) + scene.background_or_silence
        np.testing.assert_allclose(total, scene.mixture, atol=1e-6)
        again = remake_scene(SceneRecipe.model_validate_json(scene.recipe.model_dump_json()), esc10)
        np.testing.assert_array_equal(again.mixture, scene.mixture)
        assert {track.label for track in scene.tracks} <= set(esc10.labels)
    clips = rows(write(tmp_path, count=2, source=esc10))
    recipe = json.loads((tmp_path / "recipes" / clips[0]["path"][6:].replace(".flac", ".json")).read_text("utf-8"))
    assert not any(track["origin"]["path"].startswith("/") for track in recipe["tracks"])


def test_silence_at_the_ends_of_a_recording_is_no_part_of_the_event(tmp_path):
    tone = np.zeros(16_000, np.float32)
    tone[4_000:8_000] = 0.5 * np.sin(np.arange(4_000))
    soundfile.write(tmp_path / "tone.wav", tone, 16_000)
    source = ClipSource([CorpusEntry(path=str(tmp_path / "tone.wav"), labels=("Beep, bleep",))])
    event = source.draw("Beep, bleep", np.random.default_rng(0), 5.0, 16_000)
    assert len(event.waveform) == pytest.approx(4_000, abs=640)


def test_events_are_a_clip_list_with_labels_in_turn(tmp_path):
    call = {"count": 5, "duration_s": 0.5, "sample_rate_hz": 16_000, "seed": 1, "labels": ["Bark", "Rain"]}
    clips = rows(write_events(out=tmp_path / "a", **call))
    assert [row["labels"] for row in clips] == ["Bark", "Rain", "Bark", "Rain", "Bark"]
    assert len({row["path"] for row in clips}) == 5
    assert soundfile.info(tmp_path / "a" / clips[0]["path"]).frames == 8_000
    write_events(out=tmp_path / "b", **call)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_an_entry_with_an_ancestor_beside_its_label_counts_and_others_are_noted(tmp_path):
    path = str(tmp_path / "a.wav")
    soundfile.write(path, np.full(1_600, 0.1), 16_000)
    source = ClipSource(
        [
            CorpusEntry(path=path, labels=("Dog", "Bark")),
            CorpusEntry(path=path, labels=("Rain", "Bark")),
            CorpusEntry(path=path),
        ]
    )
    assert list(source.labels) == ["Bark"]
    assert source.notes == ("2 sources without exactly one label are left out",)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "empty"),
        ([CorpusEntry(path="nowhere.wav", labels=("Bark",))], "do not exist, the first is nowhere.wav"),
        ([CorpusEntry(path=__file__)], "exactly one label"),
        ([CorpusEntry(path=__file__, labels=("Brak",))], "Brak"),
    ],
)
def test_a_bad_list_of_sources_is_a_user_error_of_one_line(entries, message):
    with pytest.raises(UserError, match=message) as caught:
        ClipSource(entries)
    assert "\n" not in str(caught.value)


def test_a_source_that_is_not_audio_is_named(tmp_path):
    (tmp_path / "noise.wav").write_text("not audio", "utf-8")
    source = ClipSource([CorpusEntry(path=str(tmp_path / "noise.wav"), labels=("Rain",))])
    with pytest.raises(UserError, match=r"noise\.wav"):
        source.draw("Rain", np.random.default_rng(0), 1.0, 16_000)


def test_silent_sources_are_a_user_error(tmp_path):
    soundfile.write(tmp_path / "zeros.wav", np.zeros(16_000), 16_000)
    source = ClipSource([CorpusEntry(path=str(tmp_path / "zeros.wav"), labels=("Rain",))])
    with pytest.raises(UserError, match="silent"):
        source.draw("Rain", np.random.default_rng(0), 1.0, 16_000)
