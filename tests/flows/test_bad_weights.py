"""Bad checkpoints on the command line: one line that says what was expected and found, status 2, nothing run."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from flows.cli import main


class Trap:
    """Unpickled by Python itself, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """Separates a recording with a checkpoint, and gives the one line that says why not."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    soundfile.write(tmp_path / "street.wav", np.zeros(16_000), 16_000)

    def of(checkpoint: Path) -> str:
        arguments = ["--label", "Car", "--out", str(tmp_path / "tracks"), "--checkpoint", str(checkpoint), "--quiet"]
        assert main(["separate", str(tmp_path / "street.wav"), *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert not (tmp_path / "tracks").exists()
        return line

    return of


def test_a_missing_checkpoint(refusal, tmp_path):
    assert "gone" in refusal(tmp_path / "gone")


def test_a_truncated_checkpoint(refusal, tmp_path):
    torch.save({"state_dict": {"decoder_model.bias": torch.zeros(100_000)}}, tmp_path / "short.ckpt")
    whole = (tmp_path / "short.ckpt").read_bytes()
    (tmp_path / "short.ckpt").write_bytes(whole[: len(whole) // 2])
    line = refusal(tmp_path / "short.ckpt")
    assert f"expected a CLAPSep checkpoint at {tmp_path / 'short.ckpt'}, found a file of" in line


def test_a_checkpoint_of_another_network(refusal, tmp_path):
    torch.save({"state_dict": {"conv.weight": torch.zeros(3)}}, tmp_path / "other.ckpt")
    line = refusal(tmp_path / "other.ckpt")
    assert "other.ckpt" in line
    assert "conv" in line


def test_a_checkpoint_with_code_in_it(refusal, tmp_path):
    trap = tmp_path / "sprung"
    torch.save({"state_dict": {"decoder_model.bias": torch.zeros(3)}, "x": Trap(trap)}, tmp_path / "trap.ckpt")
    assert "found a pickle that would run posix.mkdir: nothing of it was run" in refusal(tmp_path / "trap.ckpt")
    assert not trap.exists()
