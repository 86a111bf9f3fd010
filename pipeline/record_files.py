"""Records in Parquet files of a storage: written and read in bounded memory.

What ``pipeline.workspace`` and ``pipeline.units`` keep their tables in. A table of two million clips passes through
here a few thousand rows at a time.

Example::

    write_records(storage, "clips/natural.parquet", Clip, clips)      # any iterable
    for clip in iter_records(storage, "clips/natural.parquet", Clip): ...
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from data_specs.records import Record, arrow_schema, records_of, table_of
from pipeline.checksums import begin, seal, sealed
from pipeline.storage import Storage

ROWS_IN_MEMORY = 2048

RecordT = TypeVar("RecordT", bound=Record)
ItemT = TypeVar("ItemT")


def write_records(
    storage: Storage,
    name: str,
    record: type[RecordT],
    records: Iterable[RecordT],
    *,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Publish records as one Parquet file with its checksum; equal records give equal bytes.

    Args:
        notes: kept in the file's metadata, see ``pipeline.checksums``.

    Raises:
        OSError: the storage cannot be written; the file is not there then.
    """
    rest = iter(records)
    first = list(islice(rest, ROWS_IN_MEMORY))
    if len(first) < ROWS_IN_MEMORY:
        storage.write_bytes(name, sealed(table_of(record, first), notes))
        return
    with tempfile.TemporaryDirectory(prefix="sound-data-engine-") as folder:
        path = Path(folder) / "records.parquet"
        with pq.ParquetWriter(path, arrow_schema(record), compression="zstd") as writer:
            begin(writer, notes)
            writer.write_table(table_of(record, first))
            for rows in chunks(rest, ROWS_IN_MEMORY):
                writer.write_table(table_of(record, rows))
        seal(path)
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
