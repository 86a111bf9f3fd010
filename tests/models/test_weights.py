"""Known weights: the table, where files are looked for, and what is said when one is missing or not the right one."""

import hashlib
import re

import pytest

from data_specs.errors import UserError
from models.weights import PublicWeights, WeightStore, public_weights
from tests.models.file_server import serving

CONTENT = b"these are the weights"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with serving() as files:
        files.files["published/tagger.pth"] = CONTENT
        yield files


def store(server, tmp_path, **changes):
    weights = {
        "what": "a tagger",
        "file": "tagger.pth",
        "url": server.url("published/tagger.pth") if server else "http://127.0.0.1:9/tagger.pth",
        "size_bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        **changes,
    }
    folders = [tmp_path / "own", tmp_path / "cache"]
    return WeightStore({"tagger": PublicWeights(**weights)}, folders=folders, record=tmp_path / "checksums.json")


def test_the_table_names_whole_addresses_and_whole_checksums():
    assert {"laion-clap", "laion-clap-tiny", "roberta-base", "panns", "clapsep"} <= set(public_weights())
    for weights in public_weights().values():
        assert weights.url.startswith("https://")
        assert re.fullmatch("[0-9a-f]{64}|", weights.sha256)


def test_known_weights_are_downloaded_once(server, tmp_path):
    told = []
    file = store(server, tmp_path).file("tagger", lambda name, done, total: told.append((name, done, total)))
    assert file == (tmp_path / "cache" / "tagger.pth", hashlib.sha256(CONTENT).hexdigest())
    assert told[-1] == ("tagger", len(CONTENT), len(CONTENT))
    assert store(server, tmp_path).file("tagger") == file
    assert len(server.asked) == 1


def test_a_file_in_the_users_own_folder_is_taken_first(server, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "tagger.pth").write_bytes(CONTENT)
    assert store(server, tmp_path).file("tagger").path == tmp_path / "own" / "tagger.pth"
    assert server.asked == []


@pytest.mark.parametrize(
    ("content", "message"),
    [(CONTENT[:-1], "expected 21 bytes, found 20"), (CONTENT[::-1], "expected sha256 .*, found ")],
)
def test_a_file_that_is_not_the_published_one_is_refused(server, tmp_path, content, message):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "tagger.pth").write_bytes(content)
    with pytest.raises(UserError, match=message):
        store(server, tmp_path).file("tagger")


def test_without_a_published_checksum_the_first_download_decides(server, tmp_path):
    open_store = store(server, tmp_path, sha256="", size_bytes=None)
    file = open_store.file("tagger")
    file.path.write_bytes(CONTENT[::-1])
    with pytest.raises(UserError, match="changed since its first use"):
        open_store.file("tagger")


def test_where_downloads_are_forbidden_the_error_says_what_to_put_where(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE forbids .* put tagger.pth from http.* into .*own or .*cache"):
        store(server, tmp_path).file("tagger")
    assert server.asked == []


def test_a_path_is_taken_as_it_is_and_verified(tmp_path):
    path = tmp_path / "mine.pt"
    path.write_bytes(b"first")
    mine = store(None, tmp_path)
    assert mine.file(str(path)).sha256 == hashlib.sha256(b"first").hexdigest()
    path.write_bytes(b"second")
    with pytest.raises(UserError, match="changed since its first use"):
        mine.file(str(path))
    with pytest.raises(UserError, match=r"no weights 'gone.pt': expected a file, found none; or one of tagger"):
        mine.file("gone.pt")


def test_the_environment_names_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ENGINE_WEIGHTS", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert WeightStore().folders == [tmp_path / "models", tmp_path / "cache" / "data-engine" / "weights"]
    target = tmp_path / "models" / "roberta-base" / "tokenizer.json"
    assert WeightStore().find("roberta-base") is None
    target.parent.mkdir(parents=True)
    target.write_text("{}")
    assert WeightStore().find("roberta-base") == target
