"""Storage: a reader never sees half a file, and errors say what to do."""

import io
import os
import pickle

import pytest
from pyarrow import fs

from data_specs.errors import UserError
from data_specs.filesystems import resolve
from pipeline.storage import Storage


@pytest.fixture(params=["path", "uri", "s3"])
def storage(request, tmp_path):
    if request.param == "s3":
        return Storage(f"{request.getfixturevalue('s3')}/wörk space")
    return Storage(tmp_path / "wörk space" if request.param == "path" else f"file://{tmp_path}/workspace")


def test_what_was_written_is_read_back(storage):
    storage.write_bytes("rounds/001/round.json", b"one")
    storage.write_bytes("rounds/001/round.json", b"two")
    assert storage.read_bytes("rounds/001/round.json") == b"two"
    assert storage.child("rounds/001").read_bytes("round.json") == b"two"
    assert storage.size("rounds/001/round.json") == 3
    with storage.open("rounds/001/round.json") as file:
        file.seek(1)
        assert file.read() == b"wo"


def test_files_and_folders_are_listed_sorted_and_by_suffix(storage):
    for name in ("b.tar", "a.tar", "c.parquet", "deeper/d.tar"):
        storage.write_bytes(f"shards/{name}", b"")
    assert storage.files("shards", suffix=".tar") == ["a.tar", "b.tar"]
    assert storage.folders("shards") == ["deeper"]
    assert storage.files("nowhere") == storage.folders("nowhere") == []


def all_names(storage, folder=""):
    """Everything in a folder, hidden files too."""
    filesystem, path = resolve(f"{storage.uri}/{folder}".rstrip("/"))
    return sorted(info.base_name for info in filesystem.get_file_info(fs.FileSelector(path)))


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(storage):
    storage.write_bytes("a.bin", b"whole")
    with pytest.raises(TypeError):
        storage.write_bytes("a.bin", 7)
    assert storage.read_bytes("a.bin") == b"whole"
    assert all_names(storage) == ["a.bin"]


def test_a_file_whose_reading_stops_in_mid_upload_is_not_published(storage):
    class Stopped(io.BytesIO):
        def read(self, size):
            if self.tell() > 6 << 20:
                raise KeyboardInterrupt
            return super().read(size)

    class Source:
        def open(self, mode):
            return Stopped(bytes(8 << 20))

    with pytest.raises(KeyboardInterrupt):
        storage.upload(Source(), "checkpoint/weights")
    assert not storage.exists("checkpoint/weights")
    assert storage.files("checkpoint") == []


def test_leftovers_of_killed_writers_are_hidden_and_swept_when_they_are_old(storage):
    storage.write_bytes("tracks/a.parquet", b"")
    storage.write_bytes("tracks/.b.parquet.0123abcd.part", b"half")
    assert storage.files("tracks") == ["a.parquet"]
    assert storage.sweep("tracks") == 0
    assert storage.sweep("tracks", older_than_s=0) == 1
    assert all_names(storage, "tracks") == ["a.parquet"]


def test_large_files_are_uploaded_and_downloaded_whole(storage, tmp_path):
    data = os.urandom(3 * (1 << 20) + 7)
    (tmp_path / "weights").write_bytes(data)
    storage.upload(tmp_path / "weights", "checkpoint/weights")
    storage.download("checkpoint/weights", tmp_path / "back" / "weights")
    assert (tmp_path / "back" / "weights").read_bytes() == data


def test_deleting_what_is_not_there_does_nothing(storage):
    storage.write_bytes("a", b"")
    storage.delete("a")
    storage.delete("a")
    assert not storage.exists("a")


def test_a_storage_can_be_sent_to_another_process(storage):
    storage.write_bytes("a", b"1")
    assert pickle.loads(pickle.dumps(storage)).read_bytes("a") == b"1"


def test_a_place_that_cannot_hold_a_workspace_is_the_users_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file: give a folder"):
        Storage(tmp_path / "file").check_writable()
    with pytest.raises(UserError, match=r"cannot write to .*choose another workspace"):
        Storage(tmp_path / "file" / "below").check_writable()
    with pytest.raises(UserError, match="cannot use 'ftp://host/x' as storage"):
        Storage("ftp://host/x")
    with pytest.raises(UserError, match="unknown option 'regoin'"):
        Storage("s3://bucket/x?regoin=eu-north-1")


def test_a_bucket_that_does_not_exist_is_the_users_error(s3):
    with pytest.raises(UserError, match=r"cannot write to s3://no-such-bucket/x: .*NO_SUCH_BUCKET.*another workspace"):
        Storage("s3://no-such-bucket/x").check_writable()
