"""Weight files are read as data: what is not weights is refused in one line, and nothing in a file is run."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from data_specs.errors import UserError
from models.weight_files import mismatch, read_weights

WEIGHTS = {"layer.weight": torch.arange(6.0).view(2, 3), "layer.count": torch.tensor(3)}


class Exploit:
    """Makes a folder when it is unpickled."""

    def __init__(self, proof: Path):
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)


def refused(path: Path, match: str) -> None:
    with pytest.raises(UserError, match=match) as error:
        read_weights(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_every_format_gives_the_tensors_by_name(tmp_path, kind):
    path = tmp_path / "weights"
    if kind == "safetensors":
        save_file(WEIGHTS, path)
    else:
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=kind == "zip")
    found = read_weights(path)
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in WEIGHTS.items())


def test_what_training_frameworks_wrap_around_weights_is_taken_off(tmp_path):
    path = tmp_path / "checkpoint.pt"
    prefixed = {f"module.{name}": tensor for name, tensor in WEIGHTS.items()}
    metrics = {"best": np.float64(0.9), "step": np.int64(7), "ok": np.bool_(True)}
    torch.save({"epoch": 3, "state_dict": prefixed, "optimizer": {"state": {0: torch.ones(1)}}, **metrics}, path)
    assert read_weights(path).keys() == WEIGHTS.keys()


@pytest.mark.parametrize("kind", ["plain", "zip", "legacy"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, kind):
    path, proof = tmp_path / "evil.ckpt", tmp_path / "proof"
    content = {"state_dict": WEIGHTS, "callbacks": Exploit(proof)}
    if kind == "plain":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    refused(path, "no whole checkpoint" if kind == "plain" else r"refused: expected weights, found the code \w+\.mkdir")
    assert not proof.exists()
    torch.load(path, weights_only=False) if kind != "plain" else pickle.loads(path.read_bytes())
    assert proof.exists(), "this file does run code where it is let"


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, kind, share):
    path = tmp_path / "weights"
    weights = {"layer.weight": torch.randn(200, 100)}
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "zip")
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    refused(path, "no whole checkpoint|damaged|refused")


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04", b"\x80\x02\x8a", bytes(4096), b"<html>" * 99])
def test_other_content_is_refused(tmp_path, content):
    path = tmp_path / "weights"
    path.write_bytes(content)
    refused(path, "no whole checkpoint")


def test_other_zip_files_and_other_pickles_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("photo.jpg", b"x")
    refused(tmp_path / "photos.zip", "damaged")
    torch.save([1, 2, 3], tmp_path / "list.pt")
    refused(tmp_path / "list.pt", "expected tensors by name, found list")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    refused(tmp_path / "module.pt", "refused: expected weights, found the code torch.nn.modules.linear.Linear")


@pytest.mark.parametrize("name", ["nowhere.ckpt", "."])
def test_what_is_no_file_is_refused(tmp_path, name):
    refused(tmp_path / name, "is not a file")


def test_a_mismatch_names_the_keys_and_stays_short():
    found = WEIGHTS | {"layer.weight": torch.zeros(2, 2), "surplus": torch.zeros(1)}
    del found["layer.count"]
    assert mismatch(WEIGHTS, WEIGHTS) == ""
    assert mismatch(WEIGHTS, found) == (
        "of another size: layer.weight (expected (2, 3), found (2, 2)); missing: layer.count; left over: surplus"
    )
    assert mismatch(WEIGHTS, WEIGHTS | {f"key{i}": torch.zeros(1) for i in range(20)}).endswith("key7 and 12 more")
