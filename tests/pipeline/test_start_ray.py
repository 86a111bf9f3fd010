"""A cluster that is not there is told at once, and not waited for."""

import socket

import pytest

from data_specs.config import Config
from data_specs.errors import UserError
from pipeline.workers import start_ray


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_does_not_answer_is_one_line_that_says_what_to_do(monkeypatch, scheme):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"{scheme}127.0.0.1:{free.getsockname()[1]}"  # bound, but nobody listens
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(
            ConnectionError, match=rf"^no Ray cluster answers at RAY_ADDRESS={address} .*: start it, or"
        ):
            start_ray(Config())


@pytest.mark.parametrize("address", ["cluster", "127.0.0.1:", ":6379", "http://head:dashboard"])
def test_what_is_no_address_is_the_users_error(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=r"RAY_ADDRESS is .*: give host:port, ray://host:port or auto"):
        start_ray(Config())
