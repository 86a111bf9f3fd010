"""Checksums inside Parquet files: a flipped byte shows wherever it is."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.checksums import OWN_SHA256, begin, checksum_problem, notes_of, seal, sealed

TABLE = pa.table({"name": [f"clip {number}" for number in range(20)], "value": np.arange(20) / 7})


def test_a_sealed_file_is_whole_and_read_by_plain_tools():
    data = sealed(TABLE, {"shard_sha256": "abc"})
    assert checksum_problem(data) == ""
    assert pq.read_table(pa.BufferReader(data)).equals(TABLE)
    assert notes_of(data)["shard_sha256"] == "abc"
    assert sealed(TABLE, {"shard_sha256": "abc"}) == data


def test_every_flipped_byte_shows():
    data = sealed(TABLE, {"shard_sha256": "abc"})
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        assert checksum_problem(bytes(damaged)), position


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_shows(share):
    data = sealed(TABLE)
    assert checksum_problem(data[: int(len(data) * share)])


def test_a_file_that_was_written_in_pieces_is_sealed_in_place(tmp_path):
    path = tmp_path / "table.parquet"
    with pq.ParquetWriter(path, TABLE.schema) as writer:
        begin(writer)
        for start in range(0, 20, 5):
            writer.write_table(TABLE.slice(start, 5))
    assert checksum_problem(path.read_bytes()) == "its content does not match its checksum"
    seal(path)
    assert checksum_problem(path.read_bytes()) == ""
    assert pq.read_table(path).equals(TABLE)


def test_a_name_in_the_data_is_not_taken_for_the_checksum():
    data = sealed(pa.table({"text": [OWN_SHA256 + "xx" + "0" * 64]}))
    assert checksum_problem(data) == ""


def test_a_file_without_a_checksum_says_so(tmp_path):
    pq.write_table(TABLE, tmp_path / "plain.parquet")
    assert checksum_problem((tmp_path / "plain.parquet").read_bytes()) == "it has no checksum"
