"""Separation without labels: every estimate goes to one label at most, and the tracks of labels are their sums."""

import numpy as np
import pytest
import torch

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.labels import label_table
from models.checkpoints import save_unconditional
from pipeline.label_free import LabelFreeSeparator, assign_labels
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


def test_a_separator_of_another_rate_is_refused_with_what_to_do(tmp_path):
    save_unconditional(band_tdcn(2, sample_rate_hz=16_000), tmp_path)
    with pytest.raises(UserError, match=r"works at 16000 Hz.*set audio.sample_rate_hz"):
        LabelFreeSeparator.load(CONFIG, str(tmp_path))


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(UserError, match=r"unconditional\.safetensors is missing"):
        LabelFreeSeparator.load(CONFIG, str(tmp_path))
