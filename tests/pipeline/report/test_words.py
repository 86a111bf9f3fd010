"""Words: numbers read as people write them."""

import pytest

from pipeline.report.tables import training_facts
from pipeline.report.words import amount_of_time, number


@pytest.mark.parametrize(("value", "text"), [(-0.001, "0.00"), (-0.3, "−0.30"), (None, "–"), (2, "2.00")])
def test_nothing_has_no_sign(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (0.002, "< 0.1 s"), (42.0, "42 s"), (750.0, "12.5 min")])
def test_times_take_the_unit_that_suits_them(seconds, text):
    assert amount_of_time(seconds) == text


def test_facts_of_a_training_are_in_words_and_name_what_was_left_out():
    facts = training_facts({"steps": 1200, "validation_sdri_db": 4.5, "skipped": "", "problems": {"a.tar": 2}})
    assert facts == {"steps": "1,200", "validation SDRi": "4.50 dB", "left out, because it cannot be read": "a.tar"}
