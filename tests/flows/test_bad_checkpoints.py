"""A checkpoint that cannot be used is one line of what was expected and found, status 2, and nothing in it is run."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from flows.cli import main
from models.checkpoints import EMBEDDED_FOLDER


class Exploit:
    """Makes a folder when it is unpickled."""

    def __init__(self, proof: Path):
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)


def missing(path: Path) -> str:
    return "no checkpoint"


def truncated(path: Path) -> str:
    torch.save({"decoder_model.film.norm.bias": torch.randn(10_000)}, path)
    path.write_bytes(path.read_bytes()[:20_000])
    return "expected a CLAPSep checkpoint at"


def other_architecture(path: Path) -> str:
    save_file({"conv1.weight": torch.zeros(3)}, path)
    return "with decoder_model.*, found conv1.*"


def with_code(path: Path) -> str:
    torch.save({"state_dict": {}, "callbacks": Exploit(path.with_name("proof"))}, path)
    return "mkdir"


def a_web_page(path: Path) -> str:
    path.write_text("<html>Not found</html>" * 1000)
    return "expected a CLAPSep checkpoint at"


def of_another_size(path: Path) -> str:
    """Weights of the embedded separator beside the configuration of a wider one."""
    path.mkdir()
    weights = (EMBEDDED_FOLDER / "separator.safetensors").read_bytes()
    (path / "separator.safetensors").write_bytes(weights)
    text = (EMBEDDED_FOLDER / "config.json").read_text()
    (path / "config.json").write_text(text.replace('"mask_width": 160', '"mask_width": 320'))
    return "mask_net.first.bias (expected (320,), found (160,))"


@pytest.mark.parametrize("make", [missing, truncated, other_architecture, with_code, a_web_page, of_another_size])
def test_a_bad_checkpoint_is_refused(make, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    soundfile.write(tmp_path / "street.wav", 0.1 * np.random.default_rng(0).normal(size=8000), 8000)
    path = tmp_path / "best_model.ckpt"
    said = make(path)
    arguments = ["separate", str(tmp_path / "street.wav"), "--label", "Bark", "--out", str(tmp_path / "tracks")]
    assert main([*arguments, "--checkpoint", str(path)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert said in line
    assert str(path) in line
    assert not (tmp_path / "tracks").exists()
    assert not (tmp_path / "proof").exists()


def test_the_golden_checkpoint_is_not_of_the_paper_s_size(shared_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    soundfile.write(tmp_path / "street.wav", 0.1 * np.random.default_rng(0).normal(size=8000), 8000)
    golden = str(shared_data / "golden" / "clapsep_tiny_state.safetensors")
    arguments = ["separate", str(tmp_path / "street.wav"), "--label", "Bark", "--out", str(tmp_path / "tracks")]
    assert main([*arguments, "--checkpoint", golden]) == 2
    assert "patch_embed.proj.weight (expected (128, 1, 4, 4), found (16, 1, 4, 4))" in capsys.readouterr().err
