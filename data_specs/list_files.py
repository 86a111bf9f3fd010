"""Rows of the lists that users write: CSV with a header, or Parquet, on a disk or in a bucket. What is wrong with them
is told in one line.

The corpus readers stand on this, and everything else that reads a user's list.

Example::

    for where, row in list_rows("s3://bucket/clips.csv", required=("path", "labels"), optional=("split",)):
        print(where, row["path"])          # 'row 2', 'audio/a.flac'
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from data_specs.errors import UserError
from data_specs.filesystems import StorageError, is_uri, kind_of, may_pass, resolve, telling
from data_specs.remote_files import open_remote

PARQUET_SUFFIXES = (".parquet", ".pq")

Rows = Iterator[tuple[str, dict[str, Any]]]


def list_rows(
    path: str | Path,
    *,
    required: tuple[str, ...],
    optional: tuple[str, ...] = (),
    lists: tuple[str, ...] = ("labels", "captions"),
) -> Rows:
    """Rows of a CSV or Parquet file, each with the words that say where it stands.

    CSV values are text. Parquet values of the required columns are text or None; the columns ``lists`` hold text or
    lists of text. Columns that are not named are left out.

    Raises:
        UserError: no such file, not what its suffix says, no such column, or a row that does not fit the header.
    """
    if kind_of(path) != fs.FileType.File:
        raise UserError(f"no file {path}: check the path")
    if Path(path).suffix.lower() in PARQUET_SUFFIXES:
        return _parquet_rows(path, required, optional, lists)
    return _csv_rows(path, required, optional)


def csv_lines(path: str | Path) -> Iterator[list[str]]:
    """The values of every record of a CSV file, header and comments too.

    Raises:
        UserError: no such file, not readable, not UTF-8, or not CSV.
    """
    try:
        with _open_text(path) as stream:
            yield from csv.reader(stream, skipinitialspace=True)
    except OSError as error:
        if isinstance(error, StorageError) and may_pass(error):
            raise
        raise UserError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it as CSV UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV file: {error}") from None


def _open_text(path: str | Path) -> TextIO:
    if not is_uri(path):
        return Path(path).open(encoding="utf-8-sig", newline="")
    return io.TextIOWrapper(open_remote(path).buffered, encoding="utf-8-sig", newline="")


def _csv_rows(path: str | Path, required: tuple[str, ...], optional: tuple[str, ...]) -> Rows:
    rows = csv_lines(path)
    header = [name.strip() for name in next(rows, [])]
    if not header:
        raise UserError(f"{path} is empty: its first line must name the columns {', '.join(required)}")
    _check_columns(path, header, required)
    named = [(name, header.index(name)) for name in (*required, *optional) if name in header]
    for number, values in enumerate(rows, start=2):
        if not any(values):
            continue
        if len(values) != len(header):
            raise UserError(
                f"{path}, row {number}: {len(values)} values for {len(header)} columns; "
                "put labels and names with a comma into double quotes"
            )
        yield f"row {number}", {name: values[column] for name, column in named}


def _parquet_rows(
    path: str | Path, required: tuple[str, ...], optional: tuple[str, ...], lists: tuple[str, ...]
) -> Rows:
    filesystem, name = resolve(path)
    try:
        with telling("read", str(path)), filesystem.open_input_file(name) as source, pq.ParquetFile(source) as file:
            schema = file.schema_arrow
            _check_columns(path, schema.names, required)
            columns = [name for name in (*required, *optional) if name in schema.names]
            for name in columns:
                kind = schema.field(name).type
                if name not in required and name not in lists:
                    continue  # whatever it holds, it is shown as text
                if not (_is_text(kind) or (name in lists and _is_list_of_text(kind))):
                    raise UserError(f"{path}: column {name!r} must hold text, not {kind}")
            number = 0
            for batch in file.iter_batches(batch_size=4096, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, StorageError) and may_pass(error):
            raise
        raise UserError(f"{path} is not a Parquet file: {str(error).splitlines()[0]}") from None


def _check_columns(path: str | Path, found: list[str], required: tuple[str, ...]) -> None:
    missing = [name for name in required if name not in found]
    if missing:
        shown = ", ".join(found[:8])
        raise UserError(f"{path} has no column {missing[0]!r}: it needs {', '.join(required)} and has {shown}")


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_null))


def _is_list_of_text(kind: pa.DataType) -> bool:
    return (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _is_text(kind.value_type)
