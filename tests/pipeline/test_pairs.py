"""Pair lists: both formats, the CLAPSep protocol, and a count for every pair that cannot be used."""

import csv

import numpy as np
import pytest
import soundfile
import torch

from data_specs.errors import UserError
from pipeline.pairs import OWN_COLUMNS, PUBLISHED_COLUMNS, caption_labels, evaluate_pairs, read_pairs
from tests.pipeline.tone_separator import RATE_HZ, ToneSeparator, tone

OPTIONS = {"sample_rate_hz": RATE_HZ}


@pytest.fixture
def root(tmp_path):
    for label in ("Bark", "Rain", "Siren"):
        soundfile.write(tmp_path / f"{label}.wav", tone(label), RATE_HZ, subtype="FLOAT")
    soundfile.write(tmp_path / "loud.wav", tone("Speech", level=0.99), RATE_HZ, subtype="FLOAT")
    soundfile.write(tmp_path / "short.flac", tone("Rain", seconds=0.4), RATE_HZ)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE_HZ), RATE_HZ)
    (tmp_path / "broken.wav").write_text("no audio")
    return tmp_path


class _Listener(ToneSeparator):
    """Also keeps the mixtures it was given."""

    def separate_batch(self, mixtures, labels, *, negatives=None):
        self.heard = [*getattr(self, "heard", []), *mixtures]
        return super().separate_batch(mixtures, labels, negatives=negatives)


def write(path, columns, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def test_an_own_list_is_evaluated_and_every_pair_is_counted(root):
    rows = [
        ("Bark.wav", "Bark", "Rain.wav", "Rain"),
        ("Bark.wav", "bark", "Siren.wav", "Siren"),
        ("Bark.wav", "Bark", "Rain.wav", "Dog"),
        ("Bark.wav", "Bark", "gone.wav", "Rain"),
        ("Bark.wav", "Bark", "silent.wav", "Rain"),
        ("Bark.wav", "Bark", "broken.wav", "Rain"),
        ("Bark.wav", "Brak", "Rain.wav", "Rain"),
    ]
    metrics = evaluate_pairs(ToneSeparator(), write(root / "pairs.csv", OWN_COLUMNS, rows), root, **OPTIONS)
    pairs = metrics["pairs"]
    assert (pairs["inputs"], pairs["kept"], pairs["dropped"], pairs["failed"]) == (7, 2, 4, 1)
    assert pairs["missing_files"] == ["gone.wav"]
    assert pairs["reasons"]["the labels of target and interferer are related"] == 1
    assert any("did you mean 'Bark'" in reason for reason in pairs["reasons"])
    assert metrics["pos_neg"]["sdri_db"]["n"] == 2
    assert metrics["pos_neg"]["bss_sdri_db"]["n"] == 2
    assert set(metrics["labels"]) == {"Bark"}
    assert metrics["protocol"]["snr_db"] == 0.0


def test_a_published_list_is_queried_with_its_captions_and_keeps_related_pairs(root):
    rows = [
        ("Bark.wav", "The sounds of Bark", "Siren.wav", "The sound of Siren"),
        ("Bark.wav", "The sounds of Bark and Rain", "Rain.wav", "The sound of Rain"),
        ("Bark.wav", "A dog is heard", "Rain.wav", "Rain falls on a roof"),
    ]
    separator = ToneSeparator()
    path = write(root / "list.csv", PUBLISHED_COLUMNS, rows)
    metrics = evaluate_pairs(separator, path, root, batch_size=1, **OPTIONS)
    assert metrics["pairs"]["kept"] == 3
    assert metrics["pairs"]["kept_though_related"] == 1
    assert metrics["pos"]["silence_sdr_db"]["n"] == 2
    asked = [labels[0][0] for _, labels, _ in separator.calls]
    assert asked == ["The sounds of Bark", "The sounds of Bark and Rain", "A dog is heard"]
    strict = evaluate_pairs(ToneSeparator(), path, root, keep_related=False, **OPTIONS)
    assert strict["pairs"]["kept"] == 2


def test_pairs_are_mixed_at_0_db_over_the_shorter_clip(root):
    separator = _Listener()
    path = write(root / "pairs.csv", OWN_COLUMNS, [("Bark.wav", "Bark", "short.wav", "Rain")])
    evaluate_pairs(separator, path, root, **OPTIONS)
    (mixture,) = separator.heard
    target = torch.from_numpy(tone("Bark"))[: len(mixture)]
    assert len(mixture) == round(0.4 * RATE_HZ)
    ratio = target.square().sum() / (mixture - target).square().sum()
    assert 10 * torch.log10(ratio) == pytest.approx(0.0, abs=0.01)


def test_mixture_and_target_are_scaled_to_a_peak_of_0_9_only_when_the_mixture_clips(root):
    separator = _Listener(leak=0.0)
    path = write(root / "pairs.csv", OWN_COLUMNS, [("loud.wav", "Speech", "Rain.wav", "Rain")])
    metrics = evaluate_pairs(separator, path, root, **OPTIONS)
    assert separator.heard[0].abs().max() == pytest.approx(0.9)
    assert metrics["pos"]["sdr_db"]["mean"] > 15


def test_the_duration_limits_the_clips_and_limit_the_pairs(root):
    separator = _Listener()
    path = write(root / "pairs.csv", OWN_COLUMNS, [("Bark.wav", "Bark", "Rain.wav", "Rain")] * 3)
    metrics = evaluate_pairs(separator, path, root, duration_s=0.25, limit=2, **OPTIONS)
    assert [len(mixture) for mixture in separator.heard] == [2000, 2000]
    assert metrics["pairs"]["inputs"] == 2


def test_bad_lists_are_one_line_that_says_what_to_do(root):
    wrong = write(root / "wrong.csv", ("a", "b"), [("1", "2")])
    with pytest.raises(UserError, match="target_path,target_label,interferer_path,interferer_label"):
        evaluate_pairs(ToneSeparator(), wrong, root, **OPTIONS)
    with pytest.raises(UserError, match="cannot read the pair list"):
        evaluate_pairs(ToneSeparator(), root / "none.csv", root, **OPTIONS)
    lost = write(root / "lost.csv", OWN_COLUMNS, [("gone.wav", "Bark", "Rain.wav", "Rain")])
    with pytest.raises(UserError, match=r"none of 1 pairs can be evaluated.*file missing: 1"):
        evaluate_pairs(ToneSeparator(), lost, root, **OPTIONS)


@pytest.mark.parametrize(
    ("caption", "labels"),
    [
        ("The sounds of Sheep, Bleat and Speech", ("Sheep", "Bleat", "Speech")),
        ("the sound of Narration, monologue", ("Narration, monologue",)),
        ("The sounds of Bathtub (filling or washing) and Water", ("Bathtub (filling or washing)", "Water")),
        ("The sounds of Drum and bass, Music, Techno and Speech", ("Drum and bass", "Music", "Techno", "Speech")),
        ("the sound of washing machine", ()),
        ("The sounds of Bark and something else", ()),
        ("A duck quacks", ()),
        ("", ()),
    ],
)
def test_captions_that_list_labels_are_understood(caption, labels):
    assert caption_labels(caption) == labels


def test_the_published_lists_are_read_as_they_are(shared_data):
    for name, count in (("audiocaps", 4785), ("audioset", 18_869), ("esc", 7500)):
        pairs, published = read_pairs(shared_data / "eval" / f"{name}_eval.csv")
        assert published
        assert len(pairs) == count
        assert not any(pair.problem for pair in pairs)
        assert all(pair.target_labels for pair in pairs) is (name == "audioset")


def test_real_pairs_are_evaluated_in_full(shared_data):
    metrics = evaluate_pairs(
        ToneSeparator(), shared_data / "esc10" / "pairs.csv", shared_data / "esc10", limit=4, **OPTIONS
    )
    assert metrics["pairs"]["kept"] == 4
    assert all(np.isfinite(metrics["pos"][name]["mean"]) for name in ("sdri_db", "si_sdri_db", "bss_sdri_db"))
