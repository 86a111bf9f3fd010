"""Yield over thresholds and over wanted probabilities: at what decided, it is what the gate kept."""

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from data_specs.config import Config
from data_specs.records import Track, table_of
from pipeline.calibration import summarise
from pipeline.cuts import CutDetector
from pipeline.gate import CalibratedGate
from pipeline.quality import CalibrationTrack, Prediction
from pipeline.report.scan import Totals
from pipeline.report.yield_figures import wanted_figure, yield_figure
from pipeline.workspace import Workspace
from tests.pipeline.report.rounds import tracks_of

CONFIG = Config.model_validate({"gate": {"preset": "calibrated", "itt_probability": 0.7, "sst_probability": 0.85}})
LABELS = ("Bark", "Rain", "Siren", "Bell")
CALIBRATION = {"gate": "calibrated", "caution": 0.2, "known": LABELS[:3], "vetoed": LABELS[2:3]}


class Told:
    """A quality model that was told what to say."""

    def predict(self, scores):
        return [Prediction(0.0, one["probability"]) for one in scores]


class ToldCuts(CutDetector):
    """A detector of cuts that was told which tracks are."""

    def __init__(self):
        super().__init__(None)

    def probability(self, scores):
        return [float(one["cut"]) for one in scores]


def decided_rows(count: int = 400) -> list[Track]:
    """Tracks as the calibrated gate decides them; every label, probability and remix meets every other.

    Some are cuts of their clips, some copies.
    """
    generator = np.random.default_rng(0)
    gate = CalibratedGate(
        CONFIG.gate, Told(), Told(), cuts=ToldCuts(), vetoed=LABELS[2:3], known=LABELS[:3], caution=0.2
    )
    rows = []
    for place in range(count):
        labels = generator.choice(LABELS, size=generator.integers(1, 4), replace=False).tolist()
        remix_db, sure = float(generator.choice([5.0, 20.0])), generator.choice([0.0, 0.7])
        own = [sure + (1 - sure) * float(p) for p in generator.uniform(size=len(labels))]
        ruled_out = generator.uniform(size=(2, len(own))) < 0.1
        scores = [
            {"probability": p, "re_sdr_db": remix_db, "cut": cut, "mixture_similarity": float(copy)}
            for p, cut, copy in zip(own, *ruled_out, strict=True)
        ]
        (decisions,) = gate.decide([SimpleNamespace(labels=labels, scores=scores)])
        for row, decision, probability in zip(tracks_of(f"c{place}", "sst", labels), decisions, own, strict=True):
            found = {"tier": decision.tier, "reason": decision.reason, "re_sdr_db": remix_db}
            rows.append(row.model_copy(update={**found, "good_probability": probability}))
    return rows


@pytest.fixture(scope="module")
def rows():
    return decided_rows()


def summary_of(rows, folder, calibration):
    totals = Totals(CONFIG, calibration)
    totals.add(table_of(Track, rows))
    return totals.summary(Workspace.open(folder, CONFIG), 1, CONFIG)


@pytest.fixture(scope="module")
def summary(rows, tmp_path_factory):
    return summary_of(rows, tmp_path_factory.mktemp("wanted"), CALIBRATION)


def test_the_probabilities_that_decided_keep_exactly_what_the_gate_kept(rows, summary):
    wanted = summary.thresholds["good_probability"]
    kept = summary.wanted_at(wanted["itt"])
    assert kept.tracks == sum(row.tier != "rejected" for row in rows) > 50
    assert kept.tracks_s == pytest.approx(summary.kept.seconds)
    sst = summary.wanted_at(wanted["sst"])
    own = [row for row in rows if row.tier == "sst"]
    assert (sst.sst_tracks, sst.sst_clips) == (len(own), len({row.clip_id for row in own}))
    assert sst.sst_tracks > 10


def test_the_yield_falls_with_the_probability(summary):
    for field in ("tracks", "tracks_s", "sst_clips", "sst_tracks", "sst_s"):
        values = [getattr(row, field) for row in summary.wanted]
        assert values == sorted(values, reverse=True)


def test_batches_may_be_cut_between_clips(rows, summary, tmp_path):
    totals = Totals(CONFIG, CALIBRATION)
    middle = next(place for place in range(300, 400) if rows[place].clip_id != rows[place - 1].clip_id)
    for part in (rows[:middle], rows[middle:]):
        totals.add(table_of(Track, part))
    assert totals.summary(Workspace.open(tmp_path, CONFIG), 1, CONFIG).wanted == summary.wanted


def test_a_round_of_the_papers_gate_states_no_probability(rows, tmp_path):
    summary = summary_of(rows, tmp_path, {"gate": "paper", "caution": 0.0})
    assert summary.wanted == ()
    assert "10 dB keeps" in yield_figure(summary, None).text


def known_tracks(count: int = 300) -> list[CalibrationTrack]:
    """Calibration tracks whose remix says how good they are, most of the time."""
    generator = np.random.default_rng(1)
    found = []
    for place in range(count):
        level_db = float(generator.uniform(-10, 20))
        scores = {"re_sdr_db": level_db + float(generator.normal(0, 3)), "softness": float(generator.uniform())}
        found.append(CalibrationTrack(scores, level_db, 0.0, LABELS[place % 2], str(place % 40), "", str(place)))
    return found


def test_the_figure_marks_what_decided_and_says_how_much_of_it_is_good(rows, tmp_path):
    calibration = summarise(known_tracks(), [], CONFIG).model_dump(mode="json")
    summary = summary_of(rows, tmp_path, calibration)
    figure = wanted_figure(summary, calibration, summary.model_copy(update={"round": 0}))
    text = "".join(ElementTree.fromstring(figure.svg).itertext())
    for words in ("ITT 0.70", "SST 0.85", "kept in round 0", "good, as the gate says"):
        assert words in text
    assert "0.70 for ITT keeps" in figure.text
    assert "of such tracks on known scenes are good, the gate says" in figure.text
    decided = next(row for row in figure.rows if row[0] == "0.70 ITT")
    precise = next(row for row in calibration["reliability"] if row["wanted"] == 0.7)
    assert decided[-2:] == (f"{100 * precise['stated']:.0f} %", f"{100 * precise['true']:.0f} %")
    assert abs(precise["stated"] - precise["true"]) < 0.1


def test_a_calibration_of_an_older_version_gives_a_figure_without_precision(summary):
    figure = wanted_figure(summary, CALIBRATION, None)
    assert "known scenes" not in figure.svg + figure.text
