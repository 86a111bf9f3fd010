"""The table of scores and the track manifest name the same columns."""

from data_specs.records import Track
from data_specs.scores import SCORES


def test_every_score_is_a_column_of_the_track_manifest_that_may_be_missing():
    for score in SCORES:
        assert Track.model_fields[score.name].annotation == float | None


def test_every_optional_number_of_a_track_is_a_score():
    columns = {name for name, field in Track.model_fields.items() if field.annotation == float | None}
    assert columns == {score.name for score in SCORES}
