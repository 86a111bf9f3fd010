"""Checkpoints of others: real files in both of PyTorch's formats, damaged ones, and ones with code in them."""

import contextlib
import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from data_specs.errors import UserError
from models.safe_load import load_weights

WHAT = "a LAION-CLAP checkpoint"
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip format", "format before 1.6"])


class Trap:
    """Unpickled by Python itself, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def saved(path: Path, content: object, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_weights(path, WHAT)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"expected {WHAT} at {path}, found ")
    return line.partition(", found ")[2]


@FORMATS
@pytest.mark.parametrize("nest", ["state_dict", "model", None])
def test_weights_are_found_wherever_trainers_put_them(tmp_path, zipped, nest):
    weights = {"module.a.weight": torch.randn(3, 4), "b": torch.tensor(7)}
    content = {"epoch": 15, nest: weights} if nest else weights
    loaded = load_weights(saved(tmp_path / "w.pt", content, zipped), WHAT)
    assert torch.equal(loaded["a.weight"], weights["module.a.weight"])
    assert torch.equal(loaded["b"], weights["b"])


@FORMATS
@pytest.mark.parametrize("core", [b"numpy._core", b"numpy.core"])
def test_what_trainers_leave_beside_the_weights_is_passed_over(tmp_path, zipped, core):
    content = {"best": np.float64(0.9), "order": np.arange(5), "state_dict": {"b": torch.zeros(2)}}
    path = saved(tmp_path / "w.pt", content, zipped)
    if core == b"numpy.core" and not zipped:  # as NumPy before version 2 wrote it; the zip would need its sums again
        path.write_bytes(path.read_bytes().replace(b"numpy._core", core))
    assert list(load_weights(path, WHAT)) == ["b"]


@FORMATS
def test_code_in_a_checkpoint_is_named_and_not_run(tmp_path, zipped):
    trap = tmp_path / "sprung"
    path = saved(tmp_path / "w.pt", {"state_dict": {"b": torch.zeros(2)}, "x": Trap(trap)}, zipped)
    assert refusal(path) == "a pickle that would run posix.mkdir: nothing of it was run"
    assert not trap.exists()


def test_a_plain_pickle_with_code_is_not_run(tmp_path):
    trap = tmp_path / "sprung"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "w.pt").write_bytes(pickle.dumps(Trap(trap), protocol))
        refusal(tmp_path / "w.pt")
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_what_is_no_checkpoint_is_said_with_its_size(tmp_path, content):
    (tmp_path / "w.pt").write_bytes(content)
    assert f"a file of {len(content)} bytes that is damaged, unfinished" in refusal(tmp_path / "w.pt")


def test_a_missing_file_and_a_checkpoint_without_weights_are_named(tmp_path):
    assert refusal(tmp_path / "gone.pt") == "no file"
    assert refusal(saved(tmp_path / "w.pt", {"epoch": 3, "loss": 0.1})) == "no weights but epoch, loss"
    assert refusal(saved(tmp_path / "w.pt", [torch.zeros(2)])) == "no weights but list"


@FORMATS
def test_whatever_happened_to_the_bytes_only_a_users_error_comes_of_it(tmp_path, zipped):
    path = saved(tmp_path / "w.pt", {"state_dict": {"b": torch.zeros(9)}, "best": np.float64(1)}, zipped)
    whole, rng = path.read_bytes(), random.Random(0)
    for round_number in range(300):
        damaged = bytearray(whole)
        if round_number % 3:
            for _ in range(rng.randrange(1, 6)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        else:
            damaged = damaged[: rng.randrange(len(damaged))]
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            load_weights(path, WHAT)
