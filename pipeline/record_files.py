"""Records in Parquet files of a storage: written and read in bounded memory.

What ``pipeline.workspace`` and ``pipeline.units`` keep their tables in. A table of two million clips passes through
here a few thousand rows at a time.

Example::

    write_records(storage, "clips/natural.parquet", Clip, clips)      # any iterable
    for clip in iter_records(storage, "clips/natural.parquet", Clip): ...
"""

import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from data_specs.records import Record, arrow_schema, records_of, table_of
from pipeline.storage import Storage

ROWS_IN_MEMORY = 2048

RecordT = TypeVar("RecordT", bound=Record)
ItemT = TypeVar("ItemT")


def write_records(storage: Storage, name: str, record: type[RecordT], records: Iterable[RecordT]) -> None:
    """Publish records as one Parquet file; equal records give equal bytes.

    Raises:
        OSError: the storage cannot be written; the file is not there then.
    """
    rest = iter(records)
    first = list(islice(rest, ROWS_IN_MEMORY))
    if len(first) < ROWS_IN_MEMORY:
        sink = pa.BufferOutputStream()
        pq.write_table(table_of(record, first), sink, compression="zstd")
        storage.write_bytes(name, sink.getvalue().to_pybytes())
        return
    with tempfile.TemporaryDirectory(prefix="sound-data-engine-") as folder:
        path = Path(folder) / "records.parquet"
        with pq.ParquetWriter(path, arrow_schema(record), compression="zstd") as writer:
            writer.write_table(table_of(record, first))
            for rows in chunks(rest, ROWS_IN_MEMORY):
                writer.write_table(table_of(record, rows))
        storage.upload(path, name)


def iter_records(storage: Storage, name: str, record: type[RecordT]) -> Iterator[RecordT]:
    """The records of a file in their order, ``ROWS_IN_MEMORY`` at a time.

    Raises:
        FileNotFoundError: no such file.
        pydantic.ValidationError: a row does not fit the record.
    """
    with storage.open(name) as file, pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(ROWS_IN_MEMORY):
            yield from records_of(record, pa.Table.from_batches([batch]))


def chunks(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Neighbours in lists of ``size``, the last one maybe shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
