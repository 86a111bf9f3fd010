"""Scoring on mixtures with known sources: query modes, absent labels, statistics, batches."""

import json
import math

import pytest
import torch

from data_specs.labels import label_table
from pipeline.metrics import CEILING_DB, sdr_db
from pipeline.scoring import EvalMixture, EvalTarget, draw_absent_label, evaluate_mixtures, statistic
from tests.pipeline.tone_separator import ToneSeparator, tone


def mixture_of(labels, *, seconds=1.0, absent="Toot", scored=None) -> EvalMixture:
    targets = tuple(
        EvalTarget(label, torch.from_numpy(tone(label, seconds)), scored=scored is None or label in scored)
        for label in labels
    )
    total = torch.stack([target.waveform for target in targets]).sum(dim=0)
    return EvalMixture("-".join(labels), total, targets, absent)


MIXTURES = [mixture_of(["Bark", "Rain"]), mixture_of(["Siren", "Speech", "Rain"]), mixture_of(["Bark", "Speech"])]


def test_metrics_have_the_form_of_the_design_and_survive_json():
    metrics = evaluate_mixtures(ToneSeparator(), MIXTURES)
    names = {"sdr_db", "sdri_db", "si_sdr_db", "si_sdri_db", "bss_sdr_db", "bss_sdri_db"}
    names |= {"silence_sdr_db", "silence_si_sdr_db"}
    assert set(metrics["pos"]) == names
    assert set(metrics["pos_neg"]) == names | {"re_sdr_db"}
    assert set(metrics["pos"]["sdr_db"]) == {"mean", "std", "median", "n"}
    assert metrics["pos"]["sdri_db"]["n"] == 7
    assert metrics["pos_neg"]["silence_sdr_db"]["n"] == metrics["pos_neg"]["re_sdr_db"]["n"] == 3
    assert metrics["checkpoint"] == "tones"
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_negative_queries_and_a_perfect_separator_are_told_apart():
    metrics = evaluate_mixtures(ToneSeparator(leak=0.1), MIXTURES, bss_mixtures=0)
    assert metrics["pos_neg"]["sdri_db"]["mean"] > metrics["pos"]["sdri_db"]["mean"] + 5
    assert metrics["pos"]["silence_sdr_db"]["mean"] == pytest.approx(20.0, abs=0.1)
    assert metrics["pos_neg"]["silence_sdr_db"]["mean"] > 40
    assert metrics["pos_neg"]["re_sdr_db"]["mean"] > 20


def test_a_separator_that_returns_the_mixture_improves_nothing():
    metrics = evaluate_mixtures(_Identity(), MIXTURES, bss_mixtures=0)
    for mode in ("pos", "pos_neg"):
        assert metrics[mode]["sdri_db"]["mean"] == metrics[mode]["si_sdri_db"]["mean"] == 0.0
        assert metrics[mode]["silence_sdr_db"]["mean"] == 0.0


def test_figures_are_those_of_the_metrics_themselves():
    separator, mixture = ToneSeparator(), MIXTURES[0]
    (tracks,) = separator.separate_batch(mixture.mixture[None], [["Bark", "Rain"]], negatives=[[["Rain"], ["Bark"]]])
    references = torch.stack([target.waveform for target in mixture.targets])
    metrics = evaluate_mixtures(separator, [mixture], bss_mixtures=0)
    assert metrics["pos_neg"]["sdr_db"]["mean"] == pytest.approx(sdr_db(tracks, references).mean().item())


def test_the_separator_is_asked_once_per_batch_with_both_kinds_of_query():
    separator = ToneSeparator()
    evaluate_mixtures(separator, [mixture_of(["Bark", "Rain"])], bss_mixtures=0)
    assert separator.calls == [
        (
            1,
            [["Bark", "Rain", "Toot"] * 2],
            [[[], [], [], ["Rain"], ["Bark"], ["Bark", "Rain"]]],
        )
    ]


def test_only_neighbours_of_equal_length_share_a_batch_and_sizes_do_not_change_figures():
    mixtures = [*MIXTURES, mixture_of(["Bark", "Rain"], seconds=0.5), *MIXTURES]
    separator = ToneSeparator()
    together = evaluate_mixtures(separator, mixtures, batch_size=2, bss_mixtures=0)
    assert [size for size, _, _ in separator.calls] == [2, 1, 1, 2, 1]
    apart = evaluate_mixtures(ToneSeparator(), mixtures, batch_size=1, bss_mixtures=0)
    assert apart == together


def test_labels_are_scored_with_negatives_and_unscored_targets_are_not_scored():
    metrics = evaluate_mixtures(ToneSeparator(), [mixture_of(["Bark", "Rain"], scored=["Rain"])], bss_mixtures=0)
    assert set(metrics["labels"]) == {"Rain"}
    assert metrics["labels"]["Rain"]["n"] == metrics["pos"]["sdr_db"]["n"] == 1
    assert metrics["labels"]["Rain"]["sdri_db"] == metrics["pos_neg"]["sdri_db"]["mean"]


def test_bss_sdr_can_be_kept_to_the_first_mixtures():
    metrics = evaluate_mixtures(ToneSeparator(), MIXTURES, bss_mixtures=1)
    assert metrics["pos"]["bss_sdri_db"]["n"] == 2
    assert metrics["pos"]["sdri_db"]["n"] == 7


def test_a_mixture_without_an_absent_label_has_no_silence_score():
    metrics = evaluate_mixtures(ToneSeparator(), [mixture_of(["Bark", "Rain"], absent=None)], bss_mixtures=0)
    assert "silence_sdr_db" not in metrics["pos"]


def test_a_diverged_separator_gives_no_mean_instead_of_a_crash_or_a_number():
    metrics = evaluate_mixtures(ToneSeparator(leak=math.nan), MIXTURES, bss_mixtures=0)
    assert metrics["pos_neg"]["sdri_db"] == {"mean": None, "std": None, "median": None, "n": 7}
    json.dumps(metrics, allow_nan=False)


def test_no_mixtures_give_empty_metrics():
    metrics = evaluate_mixtures(ToneSeparator(), [])
    assert metrics["mixtures"] == 0
    assert metrics["pos"] == {}


def test_a_perfectly_silent_answer_reaches_the_ceiling_and_not_infinity():
    metrics = evaluate_mixtures(ToneSeparator(leak=0.0), [mixture_of(["Bark", "Rain"])], bss_mixtures=0)
    assert metrics["pos"]["silence_sdr_db"]["mean"] == CEILING_DB


def test_absent_labels_are_unrelated_to_all_present_ones_and_always_the_same():
    table = label_table()
    for number in range(50):
        absent = draw_absent_label(str(number), ["Bark", "Rain"], ["Bark", "Dog", "Animal", "Speech", "Siren"])
        assert absent in {"Speech", "Siren"}
        assert absent == draw_absent_label(str(number), ["Bark", "Rain"], ["Bark", "Dog", "Animal", "Speech", "Siren"])
    far = draw_absent_label("x", ["Bark"], ["Dog", "Bark"])
    assert far in table.names
    assert not table.related(far, "Bark")


def test_statistics_are_population_ones():
    assert statistic([1.0, 3.0, 8.0]) == {"mean": 4.0, "std": pytest.approx(math.sqrt(26 / 3)), "median": 3.0, "n": 3}
    assert statistic([]) == {"mean": None, "std": None, "median": None, "n": 0}


class _Identity:
    checkpoint_hash = "identity"

    def separate_batch(self, mixtures, labels, *, negatives=None):
        return [mixture.expand(len(row), -1) for mixture, row in zip(mixtures, labels, strict=True)]
