"""What a calibration says of itself: figures, vetoes, caution, and why it falls back."""

import numpy as np
import pytest

from data_specs.config import Config
from pipeline.calibration import Calibration, gate_of, summarise
from pipeline.gate import CalibratedGate, PaperGate
from pipeline.quality import CalibrationTrack

CONFIG = Config.model_validate({"gate": {"preset": "calibrated"}})


def table(count: int = 300, seed: int = 0, blind: bool = False, labels=("Bark", "Rain")) -> list[CalibrationTrack]:
    """Tracks whose softness tells their quality, unless ``blind``."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        soft = rng.uniform()
        level_db = 12 - 20 * (rng.uniform() if blind else soft) + rng.normal()
        made.append(
            CalibrationTrack({"softness": soft}, level_db, 0.0, labels[number % len(labels)], f"r{number % 20}")
        )
    return made


def scores(count: int, low: float, high: float) -> list[dict[str, float]]:
    return [{"softness": float(value)} for value in np.random.default_rng(1).uniform(low, high, count)]


def test_a_calibration_states_the_precision_that_it_found():
    summary = summarise(table(), scores(100, 0, 1), CONFIG)
    assert (summary.gate, summary.warning, summary.tracks, summary.sources) == ("calibrated", "", 300, 20)
    assert summary.auc > 0.95
    for at in ("10%", "25%", "50%"):
        assert summary.precision[at]["stated"] == pytest.approx(summary.precision[at]["true"], abs=0.06)


def test_clips_that_look_like_the_scenes_cost_no_caution():
    assert summarise(table(), scores(200, 0, 1), CONFIG).caution == 0


def test_clips_that_differ_from_the_scenes_make_it_cautious_and_say_so():
    summary = summarise(table(), scores(200, 2, 3), CONFIG)
    assert summary.shift_auc > 0.99
    assert summary.caution == pytest.approx(0.5, abs=0.02)
    assert summary.warning == "clips differ from the scenes (AUC 1.00): keeping less"


def test_too_few_clips_to_compare_are_no_shift():
    assert summarise(table(), scores(5, 2, 3), CONFIG).shift_auc is None


@pytest.mark.parametrize(
    ("tracks", "reason"),
    [
        ([], "0 calibration tracks are fewer than gate.tracks_min (60)"),
        (table(40), "40 calibration tracks are fewer than gate.tracks_min (60)"),
        ([one for one in table() if one.si_sdr_db > 5], "all calibration tracks are good: nothing to tell apart"),
        (table(blind=True), "the scores do not tell good tracks from bad ones"),
    ],
)
def test_a_calibration_that_cannot_be_used_leaves_it_to_the_paper_and_says_why(tracks, reason):
    summary = summarise(tracks, [], CONFIG)
    assert summary.gate == "paper"
    assert summary.warning.startswith(reason)
    assert summary.warning.endswith("; the paper's thresholds decide")
    assert isinstance(gate_of(tracks, summary, CONFIG), PaperGate)


def test_a_label_further_from_the_truth_than_the_mixture_is_vetoed():
    worse = [CalibrationTrack(one.scores, one.si_sdr_db, 20.0, "Toot", one.source) for one in table(20, seed=2)]
    rare = [CalibrationTrack(one.scores, one.si_sdr_db, 20.0, "Siren", one.source) for one in table(3, seed=3)]
    summary = summarise([*table(), *worse, *rare], [], CONFIG)
    assert summary.vetoed == ("Toot",)
    assert summary.known == ("Bark", "Rain", "Siren", "Toot")


def test_the_gate_of_a_calibration_knows_its_vetoes():
    tracks = table()
    summary = summarise(tracks, [], CONFIG)
    gate = gate_of(tracks, Calibration(**{**summary.model_dump(), "vetoed": ("Bark",)}), CONFIG)
    assert isinstance(gate, CalibratedGate)
