"""Configuration: what makes another one, and what an older version of the program has recorded."""

import pytest
from pydantic import ValidationError

from data_specs.config import Config, stored_config


def test_workers_and_rounds_do_not_make_another_configuration():
    config = Config()
    assert Config.model_validate({"rounds": 9, "workers": {"separate_workers": 3}}).digest() == config.digest()
    assert Config.model_validate({"gate": {"itt_db": 9.0}}).digest() != config.digest()


def test_a_key_that_an_older_version_did_not_have_does_not_make_another_configuration():
    recorded = Config.model_validate({"gate": {"itt_db": 9.0}}).model_dump(mode="json")
    del recorded["gate"]["sst_db"], recorded["workers"], recorded["tag"]
    assert stored_config(recorded).digest() == Config.model_validate({"gate": {"itt_db": 9.0}}).digest()


def test_a_key_that_this_version_does_not_know_is_left_out_of_what_was_recorded():
    recorded = {**Config().model_dump(mode="json"), "former": {"section": 1}}
    recorded["gate"]["former_db"] = 3.0
    assert stored_config(recorded) == Config()


def test_a_recorded_value_that_does_not_fit_is_an_error():
    with pytest.raises(ValidationError):
        stored_config({"gate": {"itt_db": "loud", "former_db": 3.0}})
