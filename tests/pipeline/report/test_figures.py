"""Figures: themed SVG without style or foreign text, for extreme, empty and hostile data alike."""

from xml.etree import ElementTree

import pytest

from data_specs.records import StageCounts
from data_specs.scores import SCORES
from pipeline.report.figures import (
    category_figure,
    label_figure,
    score_figure,
    time_figure,
    together_figure,
    training_figure,
)
from pipeline.report.flow_figure import flow_figure
from pipeline.report.history import stored_summary
from pipeline.report.summary import RoundSummary, ScoreFigures
from pipeline.report.svg import COLOURS
from pipeline.report.yield_figures import yield_figure
from tests.pipeline.report.rounds import CONFIG, EVIL


@pytest.fixture(scope="module")
def summary(written) -> RoundSummary:
    return stored_summary(written, written.round_state(1), CONFIG)


@pytest.fixture(scope="module")
def figures(summary):
    return [
        score_figure(SCORES[0], summary.scores["re_sdr_db"], summary.thresholds["re_sdr_db"]),
        yield_figure(summary, summary),
        category_figure(summary),
        together_figure(summary),
        label_figure(summary, SCORES[0]),
        time_figure({"tag": 1.0, "train": 7200.0}, {"tag": 2.0}),
        flow_figure({"ingest": StageCounts(inputs=5, kept=4, failed=1, reasons={EVIL: 1})}, summary),
    ]


def test_figures_take_their_colours_from_the_page_and_hold_no_style(figures):
    for figure in figures:
        root = ElementTree.fromstring(figure.svg)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        for element in root.iter():
            assert element.tag.rpartition("}")[2] not in ("style", "metadata", "script")
            assert "style" not in element.attrib
            assert not {*element.attrib.values()} & {*COLOURS.values()}
        assert 'class="fill-' in figure.svg
        assert figure.text.endswith(".")


def test_ids_of_different_figures_never_meet(figures):
    ids = [element.get("id") for figure in figures for element in ElementTree.fromstring(figure.svg).iter()]
    ids = [name for name in ids if name]
    assert ids
    assert len(ids) == len(set(ids))


def test_labels_and_reasons_in_figures_stay_text(figures):
    together, flow = figures[3], figures[-1]
    for figure in (together, flow):
        text = "".join(ElementTree.fromstring(figure.svg).itertext())
        assert "<script>" in text
        assert "<script>" not in figure.svg


def test_a_label_with_dollars_is_not_read_as_mathematics(summary):
    labels = tuple("$\\frac{1$" if name == EVIL else name for name in summary.together_labels)
    figure = together_figure(summary.model_copy(update={"together_labels": labels}))
    assert "$\\frac{1$" in figure.svg


def test_thresholds_are_drawn_into_the_histogram(figures):
    text = "".join(ElementTree.fromstring(figures[0].svg).itertext())
    assert "ITT 10" in text
    assert "SST 15" in text


@pytest.mark.parametrize("bins", [{}, {"sst": {-480: 1, 960: 1}}, {"rejected": {0: 1}}])
def test_histograms_take_empty_and_extreme_scores(bins):
    assert score_figure(SCORES[0], ScoreFigures(width=0.125, bins=bins), {"itt": 10.0}).svg.endswith("</svg>")


def test_the_flow_has_every_loss_and_adds_up(summary):
    counts = {
        "ingest": StageCounts(inputs=100, kept=90, dropped=9, failed=1, reasons={"too short": 9, "not audio": 1}),
        "tag": StageCounts(inputs=90, kept=50, dropped=40, reasons={f"reason {n}": 8 for n in range(5)}),
        "separate": StageCounts(inputs=50, kept=50),
    }
    figure = flow_figure(counts, summary)
    text = "".join(ElementTree.fromstring(figure.svg).itertext())
    for words in ("too short", "not audio", "2 more reasons", "100", "90 clips", "50 clips", "SST", "rejected"):
        assert words in text
    assert ("Ingested", "100", "90", "not audio", "1") in figure.rows
    assert flow_figure({}, summary) is None


def test_training_needs_something_to_draw():
    assert training_figure({}) is None
    assert training_figure({"loss": [1.0]}).text == "In 1 step the loss went from 1.00 to 1.00."
    assert training_figure({"step": [5], "loss": [2.0], "validation_sdri_db": [1.0]}) is not None
