"""A bucket behind a network that fails: bounded retries, then one clear line; nothing half is ever visible."""

import signal
import subprocess
import sys
import time

import pytest

from data_specs import filesystems
from data_specs.filesystems import StorageError
from pipeline.storage import Storage

LARGE = 12 << 20  # two parts of a multipart upload
ATTEMPTS = 3


@pytest.fixture
def storage(s3, s3_proxy, monkeypatch):
    monkeypatch.setattr(filesystems, "S3_ATTEMPTS", ATTEMPTS)  # the pauses between attempts grow
    storage = Storage(s3)
    storage.write_bytes("there", bytes(300_000))
    s3_proxy.heal()
    return storage


@pytest.mark.parametrize("fault", ["unavailable", "reset", "torn answer"])
def test_a_read_that_fails_twice_succeeds(storage, s3_proxy, fault):
    s3_proxy.break_next("GET", fault, times=2)
    assert storage.read_bytes("there") == bytes(300_000)
    assert sum(request.startswith("GET") for request in s3_proxy.requests) == 3


@pytest.mark.parametrize("fault", ["unavailable", "reset", "torn upload"])
@pytest.mark.parametrize("size", [1000, LARGE])
def test_a_write_that_fails_twice_succeeds(storage, s3_proxy, fault, size):
    s3_proxy.break_next("PUT", fault, times=2)
    storage.write_bytes("new", bytes(size))
    assert storage.size("new") == size


def test_a_read_that_never_succeeds_is_one_line_that_names_the_file(storage, s3_proxy):
    s3_proxy.break_next("GET", "unavailable")
    with pytest.raises(StorageError, match=r"^cannot read s3://.*/there: .*503") as raised:
        storage.read_bytes("there")
    assert "\n" not in str(raised.value)
    assert sum(request.startswith("GET") for request in s3_proxy.requests) == ATTEMPTS


@pytest.mark.parametrize(
    ("request_", "fault"),
    [("PUT .*partNumber=2", "torn upload"), ("POST .*uploadId=", "unavailable"), ("POST .*uploads", "reset")],
)
def test_a_torn_upload_leaves_the_old_file_and_nothing_else(storage, s3_proxy, request_, fault):
    storage.write_bytes("there", b"old")
    s3_proxy.break_next(request_, fault)
    with pytest.raises(StorageError, match=r"^cannot write s3://.*/there: "):
        storage.write_bytes("there", bytes(LARGE))
    s3_proxy.heal()
    assert storage.read_bytes("there") == b"old"
    assert storage.files() == ["there"]
    storage.write_bytes("there", b"new")
    assert storage.read_bytes("there") == b"new"


def test_a_request_that_stalls_is_given_up_and_tried_again(storage, s3_proxy, monkeypatch):
    monkeypatch.setattr(filesystems, "S3_STALL_TIMEOUT_S", 2.0)
    filesystems._s3.cache_clear()
    s3_proxy.break_next("GET", "stall", times=1)
    started = time.monotonic()
    assert Storage(storage.uri).read_bytes("there") == bytes(300_000)
    assert time.monotonic() - started >= 2
    filesystems._s3.cache_clear()


def test_a_bucket_that_does_not_answer_is_no_error_of_the_user(storage, s3_proxy):
    s3_proxy.break_next("PUT", "reset")
    with pytest.raises(StorageError, match="NETWORK_CONNECTION"):
        storage.check_writable()


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_writer_that_is_stopped_in_mid_upload_leaves_a_whole_file_or_none(storage, s3_proxy, stop):
    code = f"from pipeline.storage import Storage; Storage({storage.uri!r}).write_bytes('new', bytes({LARGE}))"
    s3_proxy.break_next("POST .*uploadId=", "unavailable", times=2)  # makes the upload last a while
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as writer:
        while not any("partNumber" in request for request in s3_proxy.requests):
            time.sleep(0.02)
            assert writer.poll() is None
        writer.send_signal(stop)
    assert writer.returncode != 0
    assert not storage.exists("new") or (stop == signal.SIGINT and storage.size("new") == LARGE)
