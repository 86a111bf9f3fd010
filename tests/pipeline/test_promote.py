"""Promotion: no worse within the tolerance, and never without a finite figure."""

import pytest

from data_specs.config import Config
from pipeline.promote import decide

CONFIG = Config()
TOLERANT = Config.model_validate({"evaluate": {"tolerance_db": 0.5}})


def metrics(sdri_db, mixtures="same", *, si_sdri_db=1.0):
    return {"pos_neg": {"sdri_db": mean(sdri_db), "si_sdri_db": mean(si_sdri_db)}, "set": mixtures}


def mean(value):
    return {"mean": value, "std": 1.0, "median": value, "n": 4}


@pytest.mark.parametrize(
    ("before", "after", "config", "promoted"),
    [
        (5.0, 5.1, CONFIG, True),
        (5.0, 5.0, CONFIG, True),
        (5.0, 4.99, CONFIG, False),
        (5.0, 4.6, TOLERANT, True),
        (5.0, 4.4, TOLERANT, False),
        (-3.0, -2.0, CONFIG, True),
    ],
)
def test_a_candidate_replaces_when_it_is_no_worse_within_the_tolerance(before, after, config, promoted):
    decision = decide(metrics(before), metrics(after), config)
    assert decision.promoted is promoted
    assert f"SDRi {after:.2f} dB instead of {before:.2f}" in decision.reason
    assert (decision.current_sdri_db, decision.candidate_sdri_db) == (before, after)


def test_a_better_sdri_does_not_buy_a_worse_si_sdri():
    decision = decide(metrics(5.0, si_sdri_db=3.0), metrics(5.5, si_sdri_db=2.5), CONFIG)
    assert not decision.promoted
    assert decision.reason.endswith("worse in SI-SDRi")
    assert (decision.current_si_sdri_db, decision.candidate_si_sdri_db) == (3.0, 2.5)


@pytest.mark.parametrize("broken", [metrics(None), metrics(float("nan")), metrics(float("inf")), {"pos_neg": {}}, {}])
def test_a_candidate_without_a_finite_figure_never_replaces(broken):
    decision = decide(metrics(-50.0), broken, TOLERANT)
    assert not decision.promoted
    assert "candidate" in decision.reason
    assert decision.candidate_sdri_db is None


@pytest.mark.parametrize("broken", [metrics(None), metrics(float("nan")), {"pos": {}}, {}])
def test_nothing_replaces_a_checkpoint_that_could_not_be_evaluated(broken):
    decision = decide(broken, metrics(9.0), CONFIG)
    assert not decision.promoted
    assert "current" in decision.reason


def test_figures_of_different_mixtures_are_not_compared():
    decision = decide(metrics(1.0, "one"), metrics(9.0, "other"), CONFIG)
    assert not decision.promoted
    assert "different mixtures" in decision.reason
