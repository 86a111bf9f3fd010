"""Fetching and forgetting weight files, and what doctor says of them."""

import hashlib
import json

import pytest

from flows.cli import main
from models import weights as module
from models.weights import PublicWeights
from tests.models.file_server import serving

CONTENT = b"weights" * 1000


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A publisher of one weight file, and a user with an empty cache."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("DATA_ENGINE_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serving() as files:
        files.files["tagger.pth"] = CONTENT
        tagger = PublicWeights(
            what="a tagger",
            file="tagger.pth",
            url=files.url("tagger.pth"),
            size_bytes=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(),
        )
        monkeypatch.setattr(module, "public_weights", lambda: {"tagger": tagger})
        yield files


def facts_of_tagger(capsys, status: int = 0) -> dict:
    capsys.readouterr()
    assert main(["doctor", "--json"]) == status
    (tagger,) = json.loads(capsys.readouterr().out)["public_weights"]["files"]
    return tagger


def test_weights_are_fetched_once_and_doctor_knows_them(server, tmp_path, capsys):
    before = facts_of_tagger(capsys)
    assert (before["path"], before["verified"], before["expected_bytes"]) == (None, False, len(CONTENT))
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "not here (7.0 kB): a tagger" in out
    assert "data-engine weights fetch NAME gets one" in " ".join(out.split())
    for _ in range(2):
        assert main(["weights", "fetch", "tagger", "--json"]) == 0
        (fetched,) = json.loads(capsys.readouterr().out)
    path = tmp_path / "cache" / "data-engine" / "weights" / "tagger.pth"
    assert (fetched["path"], fetched["size_bytes"]) == (str(path), len(CONTENT))
    assert len(server.asked) == 1
    after = facts_of_tagger(capsys)
    assert (after["path"], after["size_bytes"], after["verified"]) == (str(path), len(CONTENT), True)
    assert main(["doctor"]) == 0
    assert "7.0 kB, verified, " in capsys.readouterr().out


def test_a_folder_to_carry_is_found_by_the_environment(server, tmp_path, capsys, monkeypatch):
    assert main(["weights", "fetch", "tagger", "--out", str(tmp_path / "carried"), "--quiet"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'carried' / 'tagger.pth'}\n"
    monkeypatch.setenv("DATA_ENGINE_WEIGHTS", str(tmp_path / "carried"))
    assert facts_of_tagger(capsys)["path"] == str(tmp_path / "carried" / "tagger.pth")


def test_a_file_that_is_not_the_published_one_is_a_problem(server, tmp_path, capsys):
    assert main(["weights", "fetch", "tagger"]) == 0
    path = tmp_path / "cache" / "data-engine" / "weights" / "tagger.pth"
    path.write_bytes(CONTENT[:-1])
    assert "has 6999 bytes instead of 7000: delete it" in facts_of_tagger(capsys, status=1)["problem"]
    path.write_bytes(CONTENT[::-1])
    assert not facts_of_tagger(capsys)["verified"]
    assert main(["weights", "fetch", "tagger"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "expected sha256" in line


def test_names_that_are_not_known_are_refused(server, capsys):
    assert main(["weights", "fetch", "taggre"]) == 2
    assert "no weights are known as 'taggre': choose from tagger" in capsys.readouterr().err


def test_a_changed_file_of_ones_own_is_taken_after_forgetting_it(server, tmp_path, capsys):
    mine = tmp_path / "mine.pt"
    mine.write_bytes(b"first")
    module.WeightStore().file(str(mine))
    mine.write_bytes(b"second")
    assert main(["weights", "forget", str(mine)]) == 0
    assert capsys.readouterr().out == f"{mine}: forgotten\n"
    assert module.WeightStore().file(str(mine)).sha256 == hashlib.sha256(b"second").hexdigest()
    assert main(["weights", "forget", str(tmp_path / "other.pt")]) == 0
    assert "was not known" in capsys.readouterr().out
