"""What a round's training leaves in the workspace: the state that it goes on from, and the result when it is done.

Both name what they belong to, so that a state or a result of another configuration or starting checkpoint counts as
none. ``training.pt`` lies in the round's folder while the training is under way; ``training.json`` is published after
the checkpoint beside it.

Example::

    key = training_key(workspace, config, 1)
    save_state(workspace, 1, key, {"training": training.state_dict(), "problems": {}})
    load_state(workspace, 1, key)      # the same; None with another key
"""

import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from data_specs.config import Config
from data_specs.records import content_id
from models.checkpoints import checkpoint_hash
from pipeline.workspace import Workspace

STATE_FILE = "training.pt"
RESULT_FILE = "training.json"


def training_key(workspace: Workspace, config: Config, round_number: int) -> str:
    """What a state and a result belong to: another configuration or starting checkpoint makes them useless."""
    start = checkpoint_hash(workspace.current_checkpoint(before_round=round_number))
    return content_id(config.digest(), start, round_number)


def save_state(workspace: Workspace, round_number: int, key: str, state: Mapping[str, Any]) -> None:
    """Publish the state of a training that is under way."""
    with tempfile.TemporaryDirectory(prefix="data-engine-train-") as folder:
        torch.save({"key": key, **state}, Path(folder) / STATE_FILE)
        workspace.round_storage(round_number).upload(Path(folder) / STATE_FILE, STATE_FILE)


def load_state(workspace: Workspace, round_number: int, key: str) -> dict[str, Any] | None:
    """The last state of this very training, or None."""
    storage = workspace.round_storage(round_number)
    if not storage.is_file(STATE_FILE):
        return None
    state = torch.load(io.BytesIO(storage.read_bytes(STATE_FILE)), map_location="cpu", weights_only=True)
    return state if state["key"] == key else None


def delete_state(workspace: Workspace, round_number: int) -> None:
    """The training is done: nothing goes on from its state."""
    workspace.round_storage(round_number).delete(STATE_FILE)


def save_result(workspace: Workspace, round_number: int, key: str, result: Mapping[str, Any]) -> None:
    """Publish what a training did; its checkpoint has to be there already."""
    content = json.dumps({"key": key, **result})
    workspace.round_storage(round_number).child("checkpoint").write_bytes(RESULT_FILE, content.encode())


def load_result(workspace: Workspace, round_number: int, key: str) -> dict[str, Any] | None:
    """The result of this very training, or None while it is not done."""
    folder = workspace.round_storage(round_number).child("checkpoint")
    if not folder.is_file(RESULT_FILE):
        return None
    result = json.loads(folder.read_bytes(RESULT_FILE))
    return result if result["key"] == key else None
