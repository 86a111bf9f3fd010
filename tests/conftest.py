"""Fixtures shared by all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.round_process import UndisturbedRound
from tests.s3 import BUCKET, FaultyProxy, S3Server

# Tests run in several processes (pytest-xdist), which share the cores. Read by torch and numpy at their import: threads
# that wait for each other on busy cores make small operations up to a hundred times slower.
if os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read when huggingface_hub is imported, whoever does that first: no test asks a hub, and none waits for its retries.
os.environ["HF_HUB_OFFLINE"] = "1"


LONGEST = ("test_documents", "test_end_to_end", "test_round_on_failing_s3", "test_kill", "test_cluster", "test_rounds")
"""Files of minutes. They begin first, so that the processes that share the tests end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def pytest_addoption(parser: pytest.Parser) -> None:
    """The suite kills a round a few times; more takes longer."""
    parser.addoption("--kills", type=int, default=4, help="kills of tests/test_kill.py, of its kinds in turn")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> UndisturbedRound:
    """A small round in a process of its own, which those that are disturbed are compared with."""
    return UndisturbedRound.run(tmp_path_factory.mktemp("round"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real audio beside the project; tests that need it are skipped where it is missing."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real audio at {folder}")
    return folder


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory) -> Iterator[S3Server]:
    """A store that speaks S3, for the whole session."""
    with S3Server.start(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


@pytest.fixture
def s3(s3_server, tmp_path, monkeypatch) -> str:
    """The address of an empty folder in the store; the environment says how to reach it."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def s3_proxy(s3, s3_server, monkeypatch) -> Iterator[FaultyProxy]:
    """A proxy that clients reach the store by."""
    with FaultyProxy(s3_server.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.environment(proxy.port)["AWS_ENDPOINT_URL"])
        yield proxy
