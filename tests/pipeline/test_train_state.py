"""The state of a training under way: it comes back whole, for the very same training, or is known to be damaged."""

import pytest
import torch

from data_specs.config import Config
from pipeline.train_state import STATE_FILE, DamagedStateError, delete_state, load_state, save_state
from pipeline.workspace import Workspace


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    workspace = Workspace.open(tmp_path, Config())
    save_state(workspace, 1, "key", {"training": {"weight": torch.arange(1000.0)}, "problems": {"a.tar: missing": 2}})
    return workspace


def test_a_state_comes_back_as_it_was_saved_and_only_for_its_own_training(workspace):
    state = load_state(workspace, 1, "key")
    assert torch.equal(state["training"]["weight"], torch.arange(1000.0))
    assert state["problems"] == {"a.tar: missing": 2}
    assert load_state(workspace, 1, "another key") is None
    assert load_state(workspace, 2, "key") is None
    delete_state(workspace, 1)
    assert load_state(workspace, 1, "key") is None


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:2000] + b"x" + data[2001:], lambda _: b""]
)
def test_a_damaged_state_is_told_and_not_gone_on_from(workspace, damage):
    path = workspace.round_storage(1).local_path / STATE_FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedStateError, match=r"^training.pt does not match its checksum"):
        load_state(workspace, 1, "key")
