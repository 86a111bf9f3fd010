"""Checkpoints in their published formats, written once for all tests of the models."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.models.public_formats import write_cnn14, write_laion_clap, write_tokenizer


class Published(NamedTuple):
    """A file, and the model of its own package that was saved in it."""

    path: Path
    model: Any


@pytest.fixture(scope="session")
def laion_clap(tmp_path_factory) -> Published:
    """A folder as a user has it offline: the checkpoint, and the tokenizer beside it."""
    folder = tmp_path_factory.mktemp("laion-clap")
    write_tokenizer(folder / "roberta-base" / "tokenizer.json")
    path = folder / "630k-audioset-best.pt"
    with pytest.MonkeyPatch.context() as patch:
        return Published(path, write_laion_clap(path, patch))


@pytest.fixture(scope="session")
def cnn14(tmp_path_factory) -> Published:
    path = tmp_path_factory.mktemp("panns") / "Cnn14_mAP=0.431.pth"
    return Published(path, write_cnn14(path))


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """A user's cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"
