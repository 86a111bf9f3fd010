"""Files of a workspace, on a local disk or in a bucket, through ``pyarrow.fs``.

Everything that a workspace holds is read and written here, and a reader never sees half a file. On a disk, a file is
written under a hidden name beside its final one and renamed when it is complete. In a bucket, an object appears when
its upload is complete, so bytes in memory are put under their final name at once; a file on disk, which is sent piece
by piece, goes through a hidden object too, because ``pyarrow`` completes an upload that it is made to leave. A killed
writer leaves at most a hidden leftover, which ``files`` never shows and ``sweep`` removes.

Example::

    storage = Storage("s3://bucket/engine").child("rounds/001")
    storage.write_bytes("round.json", b"{}")
    storage.files("shards", suffix=".tar")
"""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from data_specs.errors import UserError
from data_specs.filesystems import StorageError, first_line, may_pass, resolve, telling

_PART_SUFFIX = ".part"
_STORES_WITHOUT_FOLDERS = {"s3", "gcs", "abfs"}
_COPY_BLOCK_BYTES = 1 << 20


class Storage:
    """A folder: a local path, or any URI that ``pyarrow.fs`` knows (``s3://``, ``gs://``, ``file://``).

    Names are relative to the folder and use ``/``. Instances hold no open files and can be pickled.
    """

    def __init__(self, uri: str | Path) -> None:
        self._fs, self._root = resolve(uri)
        self.uri = str(uri).rstrip("/") if "://" in str(uri) else self._root

    def __repr__(self) -> str:
        return f"Storage({self.uri!r})"

    def __reduce__(self):
        return Storage, (self.uri,)

    @property
    def local_path(self) -> Path | None:
        """The folder on this machine's disk, or None for a bucket."""
        return Path(self._root) if self._fs.type_name == "local" else None

    def child(self, name: str) -> "Storage":
        """The folder ``name`` inside this one; it need not exist."""
        parts = urlsplit(self.uri) if "://" in self.uri else None
        if parts is None:
            return Storage(f"{self.uri.rstrip('/')}/{name}")
        return Storage(parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl())

    def exists(self, name: str = "") -> bool:
        """Whether a file or folder of that name is there."""
        return self._info(name).type != fs.FileType.NotFound

    def is_file(self, name: str = "") -> bool:
        """Whether ``name`` is a file."""
        return self._info(name).type == fs.FileType.File

    def size(self, name: str) -> int:
        """Size of a file in bytes.

        Raises:
            FileNotFoundError: no such file.
        """
        info = self._info(name)
        if info.type != fs.FileType.File:
            raise FileNotFoundError(f"no file {name} in {self.uri}")
        return info.size

    def read_bytes(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: no such file.
        """
        with telling("read", self._address(name)), self._fs.open_input_file(self._path(name)) as file:
            return file.read()

    def open(self, name: str) -> pa.NativeFile:
        """A readable, seekable binary file; the caller closes it.

        Raises:
            FileNotFoundError: no such file.
        """
        with telling("read", self._address(name)):
            return self._fs.open_input_file(self._path(name))

    def write_bytes(self, name: str, data: bytes) -> None:
        """Publish ``data`` as the file ``name``; an existing file is replaced in one step."""
        if self._has_folders:
            with self._publishing(name) as stream:
                stream.write(data)
            return
        with telling("write", self._address(name)):
            _uninterrupted(lambda: self._put(name, pa.py_buffer(data)))

    def upload(self, source: Path, name: str) -> None:
        """Publish a local file as ``name``, in bounded memory."""
        with source.open("rb") as reader, self._publishing(name) as stream:
            while block := reader.read(_COPY_BLOCK_BYTES):
                stream.write(block)

    def download(self, name: str, target: Path) -> None:
        """Copy a file to this machine's disk, in bounded memory."""
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}{_PART_SUFFIX}")
        try:
            with (
                telling("read", self._address(name)),
                self._fs.open_input_file(self._path(name)) as reader,
                part.open("wb") as writer,
            ):
                while block := reader.read(_COPY_BLOCK_BYTES):
                    writer.write(block)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def files(self, folder: str = "", *, suffix: str = "") -> list[str]:
        """Names (without their folder) of the published files in ``folder``, sorted; [] when it does not exist."""
        return sorted(
            info.base_name
            for info in self._infos(folder)
            if info.type == fs.FileType.File and info.base_name.endswith(suffix) and not info.base_name.startswith(".")
        )

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders in ``folder``, sorted; [] when it does not exist."""
        return sorted(info.base_name for info in self._infos(folder) if info.type == fs.FileType.Directory)

    def times(self, folder: str = "") -> dict[str, float]:
        """When each published file in ``folder`` was written, in seconds by the store's clock."""
        return {
            info.base_name: info.mtime.timestamp()
            for info in self._infos(folder)
            if info.type == fs.FileType.File and info.mtime is not None and not info.base_name.startswith(".")
        }

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens when it is not there."""
        if self.is_file(name):
            with telling("delete", self._address(name)):
                self._fs.delete_file(self._path(name))

    def delete_empty_folder(self, name: str) -> None:
        """Remove a folder of a disk that holds nothing; nothing happens when it does."""
        if self.local_path is not None:
            with suppress(OSError):
                (self.local_path / name).rmdir()

    def sweep(self, folder: str = "", *, older_than_s: float = 3600.0) -> int:
        """Remove what killed writers left in ``folder``; returns how many files. Younger ones may still be growing."""
        leftovers = [
            info
            for info in self._infos(folder)
            if info.base_name.startswith(".")
            and info.base_name.endswith(_PART_SUFFIX)
            and info.mtime is not None
            and time.time() - info.mtime.timestamp() >= older_than_s
        ]
        for info in leftovers:
            with telling("delete", info.path):
                self._fs.delete_file(info.path)
        return len(leftovers)

    def check_writable(self) -> None:
        """Make the folder if needed and try a write.

        Raises:
            UserError: the path is a file, or cannot be written.
            StorageError: the bucket does not answer.
        """
        if self.is_file():
            raise UserError(f"{self.uri} is a file: give a folder for the workspace")
        probe = f".probe-{uuid.uuid4().hex[:8]}"
        try:
            self.write_bytes(probe, b"")
            self.delete(probe)
        except FileNotFoundError:  # such as a folder of the system that takes none
            raise UserError(f"no folder can be made at {self.uri}: choose another workspace") from None
        except StorageError as error:
            if may_pass(error):
                raise
            cause = error.__cause__ or error
            number = cause.errno if isinstance(cause, OSError) else None
            reason = os.strerror(number).lower() if number else first_line(cause)
            raise UserError(f"cannot write to {self.uri}: {reason}; choose another workspace") from None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/") if name else self._root

    def _address(self, name: str) -> str:
        return f"{self.uri}/{name}" if name else self.uri

    @property
    def _has_folders(self) -> bool:
        return self._fs.type_name not in _STORES_WITHOUT_FOLDERS

    def _info(self, name: str) -> fs.FileInfo:
        with telling("look up", self._address(name)):
            return self._fs.get_file_info(self._path(name))

    def _infos(self, folder: str) -> list[fs.FileInfo]:
        with telling("list", self._address(folder)):
            return self._fs.get_file_info(fs.FileSelector(self._path(folder), allow_not_found=True))

    def _put(self, name: str, data: pa.Buffer) -> None:
        with self._fs.open_output_stream(self._path(name)) as stream:
            stream.write(data)

    @contextmanager
    def _publishing(self, name: str) -> Iterator[pa.NativeFile]:
        folder, _, base = self._path(name).rpartition("/")
        part = f"{folder}/.{base}.{uuid.uuid4().hex[:8]}{_PART_SUFFIX}"
        with telling("write", self._address(name)):
            if self._has_folders:
                self._fs.create_dir(folder, recursive=True)
            try:
                with self._fs.open_output_stream(part) as stream:
                    yield stream
            except BaseException:
                with suppress(OSError):  # the store that failed to write may fail to delete: it is a hidden leftover
                    self._fs.delete_file(part)
                raise
            self._fs.move(part, self._path(name))


def _uninterrupted(action: Callable[[], None]) -> None:
    """Run ``action`` to its end even when this thread is interrupted: ctrl-c and signals reach the main thread only.

    Leaving a stream of ``pyarrow`` early closes it, and closing an upload completes it with what was sent so far.
    """
    errors: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:  # raised again below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
