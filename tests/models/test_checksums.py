"""Checksums of weight files: what is recorded, and when a file is read again."""

import hashlib
import json
import multiprocessing
import os

import pytest

from data_specs.errors import UserError
from models.checksums import Checksums


@pytest.fixture
def checksums(tmp_path):
    return Checksums(tmp_path / "cache" / "checksums.json")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"weights")
    return path


def test_the_first_use_records_what_later_ones_are_held_against(checksums, file):
    assert checksums.verified(file) == ""
    sha256 = checksums.verify(file)
    assert sha256 == hashlib.sha256(b"weights").hexdigest()
    assert checksums.verified(file) == sha256
    file.write_bytes(b"changed")
    with pytest.raises(UserError, match=f"changed since its first use: expected sha256 {sha256}, found .* forget"):
        checksums.verify(file)
    assert checksums.verified(file) == ""


def test_a_file_that_was_not_touched_is_not_read_again(checksums, file):
    first, stat = checksums.verify(file), file.stat()
    file.write_bytes(b"WEIGHTS")  # same size, and as if at the same moment
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert checksums.verify(file) == first
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(UserError, match="changed since"):
        checksums.verify(file)


def test_a_touched_file_with_the_same_content_is_the_same(checksums, file):
    first = checksums.verify(file)
    os.utime(file, ns=(1, 1))
    assert checksums.verify(file) == first
    assert checksums.verified(file) == first


def test_a_forgotten_file_may_change(checksums, file):
    checksums.verify(file)
    file.write_bytes(b"meant to be new")
    assert checksums.forget(file)
    assert checksums.verify(file) == hashlib.sha256(b"meant to be new").hexdigest()
    assert not checksums.forget(file.with_name("other.pt"))


def test_a_published_checksum_is_held_against_the_first_use_too(checksums, file):
    with pytest.raises(UserError, match=f"expected sha256 {'0' * 64}, found {hashlib.sha256(b'weights').hexdigest()}"):
        checksums.verify(file, expected="0" * 64)
    assert checksums.verified(file) == ""


def test_a_damaged_record_is_named(checksums, file):
    checksums.verify(file)
    checksums.record.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"checksums.json cannot be read .* delete it"):
        checksums.verify(file)


def verify_some(record, paths):
    for path in paths:
        Checksums(record).verify(path)


def test_processes_that_record_at_once_lose_nothing(tmp_path):
    paths = [tmp_path / f"{index}.pt" for index in range(20)]
    for path in paths:
        path.write_text(path.name)
    record = tmp_path / "checksums.json"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=verify_some, args=(record, paths[start::4])) for start in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert set(json.loads(record.read_text())) == {str(path) for path in paths}
