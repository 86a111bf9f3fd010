"""Problems: each check finds what it is for, and says nothing about a good round."""

import pytest

from pipeline.ledger import STAGES, RoundState
from pipeline.report.history import Past
from pipeline.report.problems import find_problems
from pipeline.report.summary import Amount, Disagreements, Failure, LabelFigures, RoundSummary, ScoreFigures


def label(name="Bark", kept=80, rejected=20, near_silent=0):
    tiers = {
        "sst": Amount(tracks=kept, seconds=10.0 * kept),
        "rejected": Amount(tracks=rejected, seconds=10.0 * rejected),
    }
    return LabelFigures(label=name, category="Animal", tiers=tiers, near_silent=near_silent)


def scores(center):
    return {"re_sdr_db": ScoreFigures(width=1.0, bins={"sst": {center + step: 50 for step in range(10)}})}


def good(number=1, **changes):
    fields = {
        "round": number,
        "tracks": 100,
        "tiers": {"sst": Amount(tracks=80, seconds=800.0), "rejected": Amount(tracks=20, seconds=200.0)},
        "labels": (label(),),
        "scores": scores(10),
        "heard": Disagreements(checked=50, clips=1, labels={"Bark": 1}),
    }
    return RoundSummary(**{**fields, **changes})


def calibration(**changes):
    precision = {"10%": {"stated": 0.95, "true": 0.93}, "50%": {"stated": 0.8, "true": 0.75}}
    return {"calibration": {"gate": "calibrated", "warning": "", "tracks": 400, "precision": precision, **changes}}


def state(**changes):
    side = {"labels": {"Bark": {"sdri_db": 5.0, "n": 9}}}
    fields = {
        "number": 1,
        "finished": STAGES,
        "metrics": {"current": side, "candidate": side},
        "promotion": {"promoted": True, "reason": "better"},
    }
    return RoundState(**{**fields, **changes})


def titles(state_, summary, earlier=()):
    return [problem.title for problem in find_problems(state_, summary, earlier).problems]


def test_a_good_round_has_no_problems_and_says_what_was_checked():
    findings = find_problems(state(), good(2), [Past(state(), good(1))])
    assert findings.problems == ()
    assert "no kept track is nearly silent" in findings.fine


@pytest.mark.parametrize(("n", "level"), [(9, "bad"), (1, "watch")])
def test_a_label_that_few_mixtures_call_worse_is_only_worth_a_look(n, level):
    side = {"labels": {"Bark": {"sdri_db": -1.0, "n": n}}}
    (problem,) = find_problems(state(metrics={"current": side, "candidate": side}), good(), []).problems
    assert (problem.level, problem.labels) == (level, ("Bark",))


def test_a_fall_says_when_the_gate_is_another_one():
    fallen = {"tiers": {"sst": Amount(tracks=40, seconds=400.0), "rejected": Amount(tracks=60, seconds=600.0)}}
    other = good(2, thresholds={"good_probability": {"itt": 0.7}}, **fallen)
    details = [problem.detail for problem in find_problems(state(), other, [Past(state(), good(1))]).problems]
    assert details[0].endswith("Here a calibrated gate decided, before the paper's thresholds.")


def test_what_could_not_be_checked_is_not_called_fine():
    first = find_problems(state(metrics={}, promotion=None), RoundSummary(round=1), []).fine
    assert first == ("the round is finished", "no input failed", "no recording breaks off")
    assert "the gate knows what its scores are worth" in find_problems(state(**calibration()), good(), []).fine


def test_a_gate_that_keeps_its_promises_within_the_error_of_few_tracks_is_no_problem():
    assert titles(state(**calibration()), good()) == []
    few = calibration(tracks=40, precision={"10%": {"stated": 0.95, "true": 0.75}})
    assert titles(state(**few), good()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"failures": (Failure(stage="tag", reason="not audio", count=3),)}, "3 inputs of tag failed"),
        (
            {"heard": Disagreements(checked=50, clips=20, labels={"Bark": 20})},
            "does not hear a label that came with",
        ),
        ({"empty_tracks": Disagreements(checked=9, clips=3, labels={"Bark": 3})}, "the track's own label"),
        ({"truncated": 1, "truncated_examples": ("a.wav",)}, "1 recording breaks off before the header says"),
        ({"near_silent": 2}, "2 kept tracks nearly silent (2.5 % of the kept ones)"),
        (
            {"tiers": {"rejected": Amount(tracks=100)}, "labels": (label(kept=0, rejected=100),)},
            "The gate kept no track",
        ),
        ({"labels": (label(), label("Rain", kept=0, rejected=7))}, "1 label with no kept track at all"),
    ],
)
def test_a_check_finds_what_it_is_for(changes, words):
    assert any(words in title for title in titles(state(), good(**changes)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"failure": "train: out of memory"}, "The round stopped with an error"),
        ({"finished": STAGES[:2]}, "The round is not finished"),
        ({"promotion": {"promoted": False, "reason": "worse"}}, "The new separator was not promoted"),
        ({"metrics": {"current": {"labels": {"Rain": {"sdri_db": -1.0, "n": 9}}}}}, "makes 1 label worse than"),
        (
            {
                "metrics": {
                    "current": {"labels": {"Rain": {"sdri_db": 4.0, "n": 9}}},
                    "candidate": {"labels": {"Rain": {"sdri_db": 2.0, "n": 9}}},
                }
            },
            "more than 1 dB worse on 1 label",
        ),
        (calibration(gate="paper", warning="too few tracks", precision={}), "The gate could not be calibrated"),
        (calibration(warning="clips differ from the scenes"), "The gate is cautious"),
        (calibration(precision={"25%": {"stated": 0.9, "true": 0.7}}), "The gate promises more than it keeps"),
        (calibration(vetoed=["Rain"]), "1 label without kept tracks, because separation makes them worse"),
    ],
)
def test_a_check_of_the_round_finds_what_it_is_for(changes, words):
    assert any(words in title for title in titles(state(**changes), good()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tiers": {"sst": Amount(tracks=70), "rejected": Amount(tracks=30)}}, "The gate keeps less than in round 1"),
        ({"scores": scores(4)}, "Re-SDR has drifted since round 1: median"),
        ({"labels": (label(kept=40, rejected=60),)}, "1 label with a much smaller kept share than in round 1"),
    ],
)
def test_a_fall_against_the_last_round_is_a_problem(changes, words):
    assert any(words in title for title in titles(state(), good(2, **changes), [Past(state(), good(1))]))


def test_a_rise_against_the_last_round_is_none():
    better = good(2, scores=scores(20), tiers={"sst": Amount(tracks=100)}, labels=(label(kept=100, rejected=0),))
    assert titles(state(), better, [Past(state(), good(1))]) == []


def test_a_small_round_has_not_drifted():
    few = {"re_sdr_db": ScoreFigures(width=1.0, bins={"sst": {4: 20}})}
    assert titles(state(), good(2, scores=few), [Past(state(), good(1))]) == []


def test_the_worst_comes_first():
    found = find_problems(state(finished=STAGES[:2]), good(near_silent=40), ()).problems
    assert [problem.level for problem in found] == ["bad", "watch"]
