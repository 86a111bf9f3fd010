"""Workspaces with rounds whose labels, paths and reasons are full of HTML."""

import pytest

from pipeline.report import write_report
from pipeline.workspace import Workspace
from tests.pipeline.report.rounds import add_round, new_workspace


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A workspace of one's own."""
    return new_workspace(tmp_path)


@pytest.fixture(scope="session")
def written(tmp_path_factory) -> Workspace:
    """A workspace with two rounds and their reports, only for reading."""
    workspace = new_workspace(tmp_path_factory.mktemp("written"))
    add_round(workspace, 2, tiers=("sst", "itt"), sdri_db=5.5)
    for number in (1, 2):
        write_report(workspace, number)
    return workspace
