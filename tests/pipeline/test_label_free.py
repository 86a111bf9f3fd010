"""Separation without labels: every estimate goes to one label at most, and the tracks of labels are their sums."""

import io

import numpy as np
import pytest
import soundfile
import torch

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.labels import label_table
from data_specs.records import Clip
from models.checkpoints import save_unconditional
from pipeline.label_free import LabelFreeSeparator, assign_labels, unconditional_hash
from pipeline.separate import separate_unit
from pipeline.shards import iter_shard
from pipeline.units import WorkUnit
from tests.pipeline.band_separator import BandSeparator
from tests.pipeline.band_tdcn import ToneTagger, band_tdcn
from tests.pipeline.tone_separator import RATE_HZ, tone

CONFIG = Config.model_validate({"audio": {"sample_rate_hz": RATE_HZ}, "tag": {"threshold": 0.5, "labels_max": 3}})


def scores(*heard: dict[str, float]) -> np.ndarray:
    """One row of scores per estimate."""
    table = np.zeros((len(heard), len(label_table().names)), np.float32)
    for row, labels in zip(table, heard, strict=True):
        for label, score in labels.items():
            row[label_table().index(label)] = score
    return table


def assign(*heard: dict[str, float], audible: list[bool] | None = None) -> tuple[tuple[str, ...], list[list[float]]]:
    labels, shares = assign_labels(scores(*heard), np.array(audible or [True] * len(heard)), CONFIG)
    return labels, shares.tolist()


def test_estimates_of_one_label_are_merged_and_the_clearest_label_comes_first():
    labels, shares = assign({"Rain": 0.6}, {"Bark": 0.9, "Rain": 0.7}, {"Rain": 0.8})
    assert labels == ("Bark", "Rain")
    assert shares == [[0, 1, 0], [1, 0, 1]]


def test_what_is_unclear_or_quiet_is_in_no_track():
    labels, shares = assign({"Rain": 0.9}, {"Bark": 0.4}, {"Siren": 0.9}, audible=[True, True, False])
    assert labels == ("Rain",)
    assert shares == [[1, 0, 0]]
    assert assign({"Rain": 0.1}) == ((), [])


def test_a_label_that_contains_another_one_is_taken_for_it():
    labels, shares = assign({"Dog": 0.9}, {"Bark": 0.6}, {"Rain": 0.7})
    assert labels == ("Rain", "Bark")
    assert shares == [[0, 0, 1], [1, 1, 0]]


def test_only_the_clearest_labels_stay_when_there_are_too_many():
    labels, shares = assign({"Rain": 0.6}, {"Bark": 0.9}, {"Siren": 0.8}, {"Speech": 0.7})
    assert labels == ("Bark", "Siren", "Speech")
    assert np.array(shares)[:, 0].tolist() == [0, 0, 0]


def test_scores_that_are_not_finite_are_no_label():
    table = scores({"Rain": 0.9}, {"Bark": 0.9})
    table[0] = np.nan
    assert assign_labels(table, np.array([True, True]), CONFIG)[0] == ("Bark",)


def test_a_clip_comes_apart_into_the_labels_that_are_heard_in_it():
    parts = {label: torch.from_numpy(tone(label)) for label in ("Bark", "Speech")}
    mixtures = torch.stack([parts["Bark"] + parts["Speech"], parts["Speech"]])
    separator = LabelFreeSeparator(band_tdcn(4), ToneTagger(), CONFIG, "bands")
    both, single = separator.find_batch(mixtures)
    assert set(both.labels) == {"Bark", "Speech"}
    assert single.labels == ("Speech",)
    for label, track in zip(both.labels, both.tracks, strict=True):
        assert (track - parts[label]).square().mean() < 0.01 * parts[label].square().mean()


def test_silence_has_no_labels():
    separator = LabelFreeSeparator(band_tdcn(4), ToneTagger(), CONFIG, "bands")
    (found,) = separator.find_batch(torch.zeros(1, RATE_HZ))
    assert found.labels == ()
    assert found.tracks.shape == (0, RATE_HZ)


def with_checkpoint(folder) -> Config:
    separate = {"source": "label_free", "unconditional": str(folder)}
    return Config.model_validate({**CONFIG.model_dump(), "separate": separate})


def test_a_separator_of_another_rate_is_refused_with_what_to_do(tmp_path):
    save_unconditional(band_tdcn(2, sample_rate_hz=16_000), tmp_path)
    with pytest.raises(UserError, match=r"works at 16000 Hz.*set audio.sample_rate_hz"):
        LabelFreeSeparator.load(with_checkpoint(tmp_path), ToneTagger())


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(UserError, match=r"unconditional\.\w+ is missing"):
        LabelFreeSeparator.load(with_checkpoint(tmp_path), ToneTagger())
    with pytest.raises(UserError, match=r"unconditional\.\w+ is missing"):
        unconditional_hash(with_checkpoint(tmp_path))
    assert unconditional_hash(CONFIG) == ""


def test_what_has_no_labels_to_ask_for_is_separated_beside_what_has(tmp_path):
    clips = []
    for name, parts in {"asked": ("Bark", "Speech"), "heard": ("Bark", "Siren"), "single": ("Speech",)}.items():
        soundfile.write(tmp_path / f"{name}.wav", sum(tone(part) for part in parts), RATE_HZ, subtype="FLOAT")
        clips.append(Clip(clip_id=name, path=str(tmp_path / f"{name}.wav"), duration_s=1.0))
    clips.append(Clip(clip_id="gone", path=str(tmp_path / "gone.wav"), duration_s=1.0))
    unit = WorkUnit(unit_id="0-a", clips=tuple(clips), labels=(("Bark", "Speech"), (), (), ()))
    label_free = LabelFreeSeparator(band_tdcn(4), ToneTagger(), CONFIG, "bands")
    result = separate_unit(unit, CONFIG, BandSeparator("weights"), label_free=label_free)
    rows = [(row.clip_id, row.label, row.source, row.checkpoint, row.outcome) for row in result.tracks]
    assert rows[:2] == [
        ("asked", "Bark", "labels", "weights", "kept"),
        ("asked", "Speech", "labels", "weights", "kept"),
    ]
    assert sorted(rows[2:4]) == [
        ("heard", "Bark", "label_free", "bands", "kept"),
        ("heard", "Siren", "label_free", "bands", "kept"),
    ]
    assert rows[4:] == [
        ("single", "", "label_free", "bands", "dropped"),
        ("gone", "", "label_free", "bands", "failed"),
    ]
    assert result.tracks[4].reason == "one label"
    samples = list(iter_shard(io.BytesIO(result.shard)))
    assert [(sample.meta.clip_id, sample.meta.source) for sample in samples] == [
        ("asked", "labels"),
        ("heard", "label_free"),
    ]
    for track in samples[1].meta.tracks:
        error = samples[1].tracks[track.index] - tone(track.label)
        assert np.mean(error**2) < 0.01 * np.mean(tone(track.label) ** 2)


def test_a_clip_without_labels_fails_where_nothing_can_separate_it(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone("Bark"), RATE_HZ)
    clip = Clip(clip_id="a", path=str(tmp_path / "a.wav"), duration_s=1.0)
    (row,) = separate_unit(WorkUnit(unit_id="0-a", clips=(clip,), labels=((),)), CONFIG, BandSeparator()).tracks
    assert (row.outcome, row.label) == ("failed", "")
    assert "needs an unconditional separator" in row.reason


def test_a_network_that_gives_no_finite_values_fails_its_clips_and_finds_nothing_silently(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone("Bark"), RATE_HZ)
    clip = Clip(clip_id="a", path=str(tmp_path / "a.wav"), duration_s=1.0)
    broken = band_tdcn(4)
    torch.nn.init.constant_(broken.last[-1].bias, torch.nan)
    label_free = LabelFreeSeparator(broken, ToneTagger(), CONFIG, "broken")
    unit = WorkUnit(unit_id="0-a", clips=(clip,), labels=((),))
    (row,) = separate_unit(unit, CONFIG, BandSeparator(), label_free=label_free).tracks
    assert (row.outcome, row.reason) == (
        "failed",
        "separation failed: the unconditional separator gave values that are not finite",
    )
