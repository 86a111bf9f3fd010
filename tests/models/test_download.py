"""Downloads from a real server: whole, cut off, changed in between, refused, and without a server."""

import os
import socket
import threading

import pytest

from data_specs.errors import UserError
from models.download import ATTEMPTS, download
from tests.models.file_server import serving

CONTENT = os.urandom(300_000)


@pytest.fixture
def server():
    with serving() as files:
        files.files["weights.pt"] = CONTENT
        yield files


def test_a_file_arrives_whole_and_its_progress_is_told(server, tmp_path):
    told = []
    download(server.url("moved/weights.pt"), tmp_path / "new" / "w.pt", on_bytes=lambda *done: told.append(done))
    assert (tmp_path / "new" / "w.pt").read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in (tmp_path / "new").iterdir() if not path.name.startswith(".")] == ["w.pt"]


def test_what_was_cut_off_goes_on_from_there(server, tmp_path):
    server.cuts = [100_000, 250_000]
    download(server.url("weights.pt"), tmp_path / "w.pt", patience_s=0)
    assert (tmp_path / "w.pt").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=100000-", "bytes=250000-"]


def test_after_giving_up_the_next_call_goes_on(server, tmp_path):
    server.cuts = [50_000] * ATTEMPTS
    with pytest.raises(UserError, match=r"stopped at 50000 bytes .* goes on from there"):
        download(server.url("weights.pt"), tmp_path / "w.pt", patience_s=0)
    assert not (tmp_path / "w.pt").exists()
    server.asked.clear()
    download(server.url("weights.pt"), tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT
    assert server.asked == [("weights.pt", "bytes=50000-")]


def test_a_file_that_changed_on_the_server_starts_again(server, tmp_path):
    server.cuts = [50_000] * ATTEMPTS
    with pytest.raises(UserError):
        download(server.url("weights.pt"), tmp_path / "w.pt", patience_s=0)
    server.files["weights.pt"] = CONTENT[::-1]
    download(server.url("weights.pt"), tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT[::-1]


def test_a_part_that_is_longer_than_the_file_starts_again(server, tmp_path):
    download(server.url("weights.pt"), tmp_path / "w.pt")
    (tmp_path / "w.pt.part").write_bytes(CONTENT * 2)
    (tmp_path / ".w.pt.part.etag").write_text(f'"{hash(CONTENT)}"')
    (tmp_path / "w.pt").unlink()
    download(server.url("weights.pt"), tmp_path / "w.pt", patience_s=0)
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_two_at_once_ask_the_server_once(server, tmp_path):
    threads = [threading.Thread(target=download, args=(server.url("weights.pt"), tmp_path / "w.pt")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "w.pt").read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_server_that_refuses_is_named_at_once(server, tmp_path):
    with pytest.raises(UserError, match=r"nothing.pt answers 404 Not Found: download it by hand"):
        download(server.url("nothing.pt"), tmp_path / "w.pt")
    assert len(server.asked) == 1


def test_without_a_connection_the_error_says_where_to_put_the_file(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/weights.pt"
    with pytest.raises(UserError, match=r"no connection to http.*weights.pt .* copy it to .*w.pt"):
        download(url, tmp_path / "w.pt", patience_s=0)


def test_a_place_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        download(server.url("weights.pt"), tmp_path / "file" / "w.pt")
