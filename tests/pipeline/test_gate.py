"""Gates: the paper's thresholds on the remix, and the calibrated one on what scores are worth."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_specs.config import GateConfig
from pipeline.cuts import CutDetector
from pipeline.gate import SWAPPED, CalibratedGate, PaperGate
from pipeline.quality import CalibrationTrack, QualityModel

GATE = PaperGate(GateConfig())


class ScoredClip(NamedTuple):
    labels: tuple[str, ...]
    scores: list[dict[str, float | None]]


def decide(re_sdr_db: float | None, re_si_sdr_db: float | None, tracks: int = 2):
    scores = [{"re_sdr_db": re_sdr_db, "re_si_sdr_db": re_si_sdr_db}] * tracks
    return GATE.decide([ScoredClip(("Bark",) * tracks, scores)])[0]


@pytest.mark.parametrize(
    ("re_sdr_db", "re_si_sdr_db", "tier", "reason"),
    [
        (15.1, 15.1, "sst", ""),
        (15.0, 20.0, "itt", ""),
        (20.0, 10.1, "itt", ""),
        (10.0, 20.0, "rejected", "Re-SDR not above 10 dB"),
        (20.0, 10.0, "rejected", "Re-SISDR not above 10 dB"),
        (9.0, 8.0, "rejected", "Re-SDR and Re-SISDR not above 10 dB"),
    ],
)
def test_both_scores_must_exceed_the_threshold(re_sdr_db, re_si_sdr_db, tier, reason):
    assert set(decide(re_sdr_db, re_si_sdr_db)) == {(tier, reason, None)}


@given(re_sdr_db=st.floats(-60, 120), re_si_sdr_db=st.floats(-60, 120), tracks=st.integers(1, 5))
def test_every_track_gets_a_decision_and_only_rejections_have_reasons(re_sdr_db, re_si_sdr_db, tracks):
    decisions = decide(re_sdr_db, re_si_sdr_db, tracks)
    assert len(decisions) == tracks
    assert all((decision.tier == "rejected") == bool(decision.reason) for decision in decisions)


def test_the_papers_gate_rejects_scores_that_are_not_there():
    assert {decision.reason for decision in decide(None, 20.0)} == {"scores are not finite"}


def model(seed: int = 0) -> QualityModel:
    """Knows that softness spoils a track, whatever its remix is."""
    rng = np.random.default_rng(seed)
    tracks = []
    for number in range(300):
        soft = rng.uniform(0, 1)
        scores = {"re_sdr_db": rng.uniform(0, 30), "softness": soft, "idempotence_db": rng.normal()}
        level_db = 12 - 20 * soft + rng.normal()
        tracks.append(CalibrationTrack(scores, level_db, 0.0, "Bark", f"recording {number % 20}"))
    return QualityModel.fit(tracks, good_db=5.0)


MODEL = model()


def calibrated(**options) -> CalibratedGate:
    options = {"known": ("Bark", "Rain"), **options}
    return CalibratedGate(GateConfig(preset="calibrated"), MODEL, MODEL, **options)


def clip(*softness: float | None, re_sdr_db: float = 20.0, labels: tuple[str, ...] = ("Bark", "Rain")) -> ScoredClip:
    return ScoredClip(
        labels[: len(softness)],
        [{"re_sdr_db": re_sdr_db, "softness": one, "idempotence_db": 0.0} for one in softness],
    )


def tiers(gate: CalibratedGate, one: ScoredClip) -> list[str]:
    return [decision.tier for decision in gate.decide([one])[0]]


def test_the_calibrated_gate_decides_track_by_track():
    assert tiers(calibrated(), clip(0.05, 0.9)) == ["itt", "rejected"]


def test_a_clip_trains_with_its_own_tracks_only_when_all_are_good_and_explain_it():
    assert tiers(calibrated(), clip(0.05, 0.05)) == ["sst", "sst"]
    assert tiers(calibrated(), clip(0.05, 0.05, re_sdr_db=9.0)) == ["itt", "itt"]


def test_every_decision_carries_what_was_expected_of_the_track():
    good, bad = calibrated().decide([clip(0.05, 0.9)])[0]
    assert good.prediction.good_probability > 0.9 > 0.1 > bad.prediction.good_probability
    assert good.prediction.si_sdr_db > 5 > bad.prediction.si_sdr_db
    assert (good.reason, bad.reason) == ("", "SI-SDR above 5 dB not probable enough (< 0.70)")


def test_caution_keeps_less():
    kept = [
        sum(tier != "rejected" for soft in np.linspace(0, 1, 60) for tier in tiers(calibrated(caution=c), clip(soft)))
        for c in (0.0, 0.5, 0.95)
    ]
    assert kept[0] >= kept[1] > kept[2]


def test_a_label_that_the_separator_makes_worse_is_not_kept():
    decision = calibrated(vetoed=("Bark",)).decide([clip(0.05)])[0][0]
    assert (decision.tier, decision.reason) == ("rejected", "label that the separator makes worse")


def test_a_label_without_calibration_clips_must_be_surer():
    between = next(
        soft
        for soft in np.linspace(0, 1, 200)
        if 0.72 < calibrated().decide([clip(soft)])[0][0].prediction.good_probability < 0.83
    )
    assert tiers(calibrated(), clip(between)) == ["itt"]
    unknown = calibrated(known=()).decide([clip(between)])[0][0]
    assert (unknown.tier, unknown.reason) == ("rejected", "label without calibration clips, not sure enough")


def test_a_score_that_is_not_finite_keeps_a_track_out():
    assert calibrated().decide([clip(None)])[0][0].reason == "scores are not finite"


class SilentIsCut(CutDetector):
    """Takes what is mostly silent for a cut."""

    def __init__(self):
        super().__init__(None)

    def probability(self, scores):
        return [one.get("silence_share", 0.0) for one in scores]


def test_a_cut_of_the_clip_is_not_kept_whatever_else_speaks_for_it():
    gate, one = calibrated(cuts=SilentIsCut()), clip(0.05, 0.05)
    assert tiers(gate, one) == ["sst", "sst"]
    one.scores[0]["silence_share"] = 0.9
    cut, other = gate.decide([one])[0]
    assert (cut.tier, cut.reason) == ("rejected", "divides the clip without separating it")
    assert cut.prediction.good_probability > 0.9
    assert other.tier == "itt"
    assert gate.in_doubt([one]) == [(0, 1)]


def test_a_copy_of_the_clip_is_not_kept_beside_other_labels():
    one, single = clip(0.05, 0.05), clip(0.05)
    one.scores[0]["mixture_similarity"] = single.scores[0]["mixture_similarity"] = 0.9999
    copy, other = calibrated().decide([one])[0]
    assert (copy.tier, copy.reason) == ("rejected", "copy of the clip")
    assert other.tier == "itt"
    assert calibrated().in_doubt([one]) == [(0, 1)]
    assert tiers(calibrated(), single) == ["sst"]  # of one label, the clip is the track


@pytest.mark.parametrize(
    ("texts", "recordings", "reason"), [(-0.1, -0.1, SWAPPED), (-0.1, 0.1, ""), (0.1, -0.1, ""), (-0.1, None, "")]
)
def test_tracks_that_texts_and_recordings_put_under_each_others_labels_are_not_kept(texts, recordings, reason):
    one = clip(0.05, 0.05)
    for scores in one.scores:
        scores["order_margin_heard"] = texts
        if recordings is not None:
            scores["order_margin_reference"] = recordings
    assert {decision.reason for decision in calibrated().decide([one])[0]} == {reason}
    assert bool(calibrated().in_doubt([one])) == (reason == "")


def test_only_tracks_with_a_chance_get_a_second_look():
    assert calibrated().in_doubt([clip(0.05, 1.0), clip(1.0, 0.05)]) == [(0, 0), (1, 1)]


def test_clips_are_decided_alike_alone_and_together():
    clips = [clip(0.05, 0.9), clip(0.5), clip(0.9, 0.2)]
    assert calibrated().decide(clips) == [calibrated().decide([one])[0] for one in clips]
