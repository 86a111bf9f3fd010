"""Checksums of a workspace's files: a Parquet file holds its own, and a manifest part holds that of its shard.

The checksum of a file stands in its footer, where it takes the place of as many zeros: it is the SHA-256 of the file
with the zeros. So data and checksum are published together, and a byte that flips anywhere in the file shows: in the
data, the footer, or the checksum itself.

Example::

    sink = sealed(table, {SHARD_SHA256: sha256_of(shard)})
    checksum_problem(sink)        # "" as long as no byte has changed
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OWN_SHA256 = "sound_data_engine.sha256"
SHARD_SHA256 = "sound_data_engine.shard_sha256"

_ZEROS = b"0" * 64
_TRAILER = 8  # a Parquet file ends with the length of its footer in four bytes, and a magic word in four
_OWN = re.compile(re.escape(OWN_SHA256.encode()) + rb"(.{1,4})([0-9a-f]{64})", re.DOTALL)


def begin(writer: pq.ParquetWriter, notes: Mapping[str, str] | None = None) -> None:
    """Make room for the checksum in a file that is being written, and put ``notes`` beside it."""
    writer.add_key_value_metadata({OWN_SHA256: _ZEROS.decode(), **(notes or {})})


def seal(path: Path) -> None:
    """Put the checksum into a file that ``begin`` made room in."""
    with path.open("r+b") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.seek(-_TRAILER, os.SEEK_END) + _TRAILER
        footer = _TRAILER + int.from_bytes(file.read(4), "little")
        file.seek(-footer, os.SEEK_END)
        file.seek(size - footer + _place(file.read()))
        file.write(digest.encode())


def sealed(table: pa.Table, notes: Mapping[str, str] | None = None) -> bytes:
    """A table as the bytes of a Parquet file with its checksum; equal content gives equal bytes."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        begin(writer, notes)
        writer.write_table(table)
    data = bytearray(sink.getvalue())
    place = _place(data)
    data[place : place + len(_ZEROS)] = sha256_of(data).encode()
    return bytes(data)


def checksum_problem(data: bytes) -> str:
    """What is wrong with the bytes of a sealed file; empty when nothing is."""
    try:
        place = _place(data)
    except ValueError as error:
        return str(error)
    recorded = data[place : place + len(_ZEROS)]
    zeroed = data[:place] + _ZEROS + data[place + len(_ZEROS) :]
    return "" if sha256_of(zeroed).encode() == recorded else "its content does not match its checksum"


def notes_of(data: bytes) -> dict[str, str]:
    """What ``begin`` put beside the checksum.

    Raises:
        pyarrow.ArrowInvalid: not a Parquet file.
    """
    metadata = pq.read_metadata(pa.BufferReader(data)).metadata or {}
    return {key.decode(): value.decode() for key, value in metadata.items()}


def sha256_of(data: bytes | bytearray) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _place(data: bytes | bytearray) -> int:
    """Where the checksum stands in a file, or in its end from the footer on."""
    footer = _TRAILER + int.from_bytes(data[-_TRAILER:-4], "little")
    found = _OWN.search(data, max(0, len(data) - footer))
    if found is None:
        raise ValueError("it has no checksum")
    return found.start(2)
