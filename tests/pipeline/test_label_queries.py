"""The vectors of the labels in a workspace: made before any work, and all that separation workers need."""

import shutil

import pytest

from data_specs.config import Config, ModelConfig, TagConfig
from data_specs.errors import UserError
from models.checkpoints import EMBEDDED_FOLDER
from pipeline.label_queries import prepare_queries, round_encoder
from pipeline.progress import NO_PROGRESS
from pipeline.unit_jobs import load_separator
from pipeline.workspace import Workspace


@pytest.fixture
def own_clap(tmp_path) -> str:
    folder = tmp_path / "clap"
    folder.mkdir()
    for name in ("clap.safetensors", "clap.json"):
        shutil.copy(EMBEDDED_FOLDER / name, folder)
    return str(folder)


def test_a_worker_needs_no_query_encoder(tmp_path, own_clap):
    config = Config(model=ModelConfig(clap=own_clap))
    workspace = Workspace.open(tmp_path / "workspace", config)
    prepare_queries(workspace, config, NO_PROGRESS)
    assert workspace.is_bare(), "a wrong model can still be corrected"
    encoder = round_encoder(workspace, config)
    shutil.rmtree(own_clap)
    separator = load_separator(config, "embedded", encoder)
    assert separator.encoder.embed_text(["Bark"]).shape == (1, 128)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": ModelConfig(clap="gone.pt")},
            r"no query encoder 'gone.pt': expected a file, .* embedded, laion-clap",
        ),
        ({"model": ModelConfig(panns="gone.pth"), "tag": TagConfig(tagger="panns")}, r"no weights 'gone.pth'"),
        ({"tag": TagConfig(tagger="panns")}, r"panns is not on this machine .* put Cnn14_mAP=0.431.pth from https://"),
    ],
)
def test_missing_files_are_found_before_any_work(tmp_path, monkeypatch, changes, message):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    config = Config(**changes)
    with pytest.raises(UserError, match=message):
        prepare_queries(Workspace.open(tmp_path / "workspace", config), config, NO_PROGRESS)
