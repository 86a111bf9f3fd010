"""Files of a bucket as Python's binary files: read and sought in, fetched in large pieces as they are needed.

For what reads a file through Python (CSV, libsndfile); ``pyarrow`` reads its own formats without this. No more than one
piece is in memory, so a long recording costs no more than the part that is asked for.

Example::

    with open_remote("s3://bucket/night.flac") as file:
        soundfile.SoundFile(file.buffered)
"""

import io
import os
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from data_specs.filesystems import StorageError, resolve, telling

READ_AHEAD_BYTES = 1 << 20
"""Bytes of one request: a clip of 10 s as FLAC takes one or two."""


class RemoteFile(io.RawIOBase):
    """An open file of a store. Read from ``buffered``; closing it closes both.

    Attributes:
        size: in bytes.
        error: what stopped a read. Libraries that read by call-backs take an error for the end of the file: who uses
            one opens with ``raising=False`` and looks here afterwards.
    """

    def __init__(self, name: str, file: pa.NativeFile, *, raising: bool = True) -> None:
        self.error: StorageError | None = None
        self._name, self._file, self._raising = name, file, raising
        with telling("read", name):
            self.size: int = file.size()
        self.buffered = cast(IO[bytes], io.BufferedReader(self, READ_AHEAD_BYTES))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        try:
            with telling("read", self._name):
                return self._file.readinto(buffer)
        except StorageError as error:
            self.error = error
            if self._raising:
                raise
            return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def open_remote(name: str | Path, *, raising: bool = True) -> RemoteFile:
    """Open a file of a store.

    Raises:
        FileNotFoundError: no such file.
        StorageError: the store does not answer, or refuses.
    """
    filesystem, path = resolve(name)
    with telling("read", str(name)):
        return RemoteFile(str(name), filesystem.open_input_file(path), raising=raising)
