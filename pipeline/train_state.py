"""What a round's training leaves in the workspace: the state that it goes on from, and the result when it is done.

Both name what they belong to, so that a state or a result of another configuration or starting checkpoint counts as
none. ``training.pt`` lies in the round's folder while the training is under way; ``training.json`` is published after
the checkpoint beside it.

Example::

    key = training_key(workspace, config, 1)
    save_state(workspace, 1, key, {"training": training.state_dict(), "problems": {}})
    load_state(workspace, 1, key)      # the same; None with another key
"""

import hashlib
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
from pipeline.checksums import sha256_of
from pipeline.workspace import Workspace

STATE_FILE = "training.pt"
RESULT_FILE = "training.json"

_HEAD_BYTES = 65  # a SHA-256 in hexadecimal and the end of its line


def training_key(workspace: Workspace, config: Config, round_number: int) -> str:
    """What a state and a result belong to: another configuration or starting checkpoint makes them useless."""
    start = checkpoint_hash(workspace.current_checkpoint(before_round=round_number))
    return content_id(config.digest(), start, round_number)


class DamagedStateError(Exception):
    """A state is not what was saved: the training has to begin anew."""


def save_state(workspace: Workspace, round_number: int, key: str, state: Mapping[str, Any]) -> None:
    """Publish the state of a training that is under way: its SHA-256 in a line, then the state."""
    with (
        tempfile.TemporaryDirectory(prefix="data-engine-train-") as folder,
        (Path(folder) / STATE_FILE).open("w+b") as file,
    ):
        file.write(bytes(_HEAD_BYTES))
        torch.save({"key": key, **state}, file)
        file.seek(_HEAD_BYTES)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        file.write(f"{digest}\n".encode())
        file.flush()
        workspace.round_storage(round_number).upload(Path(folder) / STATE_FILE, STATE_FILE)


def load_state(workspace: Workspace, round_number: int, key: str) -> dict[str, Any] | None:
    """The last state of this very training, or None.

    Raises:
        DamagedStateError: it does not match its checksum.
    """
    storage = workspace.round_storage(round_number)
    if not storage.is_file(STATE_FILE):
        return None
    data = storage.read_bytes(STATE_FILE)
    content = data[_HEAD_BYTES:]
    if f"{sha256_of(content)}\n".encode() != data[:_HEAD_BYTES]:
        raise DamagedStateError(f"{STATE_FILE} does not match its checksum, the training began anew")
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
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
