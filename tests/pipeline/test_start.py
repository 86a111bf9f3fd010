"""The first separator of a workspace is made once from published files, and again when the configuration changes."""

import pytest
import torch

from data_specs.config import Config, ModelConfig
from data_specs.errors import UserError
from models.checkpoints import load_separator
from pipeline.progress import NO_PROGRESS
from pipeline.start import make_start
from pipeline.workspace import Workspace
from tests.models.clapsep_reference import laion_htsat, randomise
from tests.models.test_published import SMALL, laion_file


@pytest.fixture
def laion(tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return str(laion_file(tmp_path / "laion.pt", randomise(laion_htsat(SMALL.encoder), seed=0)))


def a_config(checkpoint: str, clap: str) -> Config:
    return Config(model=ModelConfig(checkpoint=checkpoint, clap=clap, architecture=SMALL))


def started(uri: str, config: Config) -> Workspace:
    workspace = Workspace.open(uri, config)
    make_start(workspace, config, NO_PROGRESS)
    return workspace


def test_the_first_round_starts_from_what_was_made(tmp_path, laion, shared_data):
    published = a_config(str(shared_data / "golden" / "clapsep_tiny_state.safetensors"), "embedded")
    workspace = started(str(tmp_path / "w"), published)
    assert load_separator(workspace.current_checkpoint()).config == SMALL
    assert workspace.is_bare(), "a wrong checkpoint can still be corrected"

    workspace = started(str(tmp_path / "w"), a_config("untrained", laion))
    untrained = load_separator(workspace.current_checkpoint())
    first = workspace.start.read_bytes("separator.safetensors")
    started(str(tmp_path / "w"), a_config("untrained", laion))
    assert workspace.start.read_bytes("separator.safetensors") == first
    weight = torch.load(laion, weights_only=True)["state_dict"]["module.audio_branch.patch_embed.proj.weight"]
    assert torch.equal(untrained.encoder.patch_embed.proj.weight, weight)

    workspace = started(str(tmp_path / "w"), Config())
    assert workspace.current_checkpoint() == "embedded"


def test_a_bad_checkpoint_stops_the_workspace_before_anything_is_taken_in(tmp_path, laion):
    (tmp_path / "bad.ckpt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(UserError, match=r"expected a CLAPSep checkpoint at .*bad\.ckpt, found"):
        started(str(tmp_path / "w"), a_config(str(tmp_path / "bad.ckpt"), "embedded"))
    workspace = Workspace(str(tmp_path / "w"))
    assert workspace.is_bare()
    assert not workspace.start.exists()
