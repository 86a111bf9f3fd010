"""Files of a workspace, on a local disk or in a bucket, through ``pyarrow.fs``.

Everything that a workspace holds is read and written here. A file is written under a temporary name beside its final
one and published by a rename when it is complete, so that a reader never sees half a file and a killed writer leaves at
most a hidden leftover, which ``files`` never shows and ``sweep`` removes.

Example::

    storage = Storage("s3://bucket/engine").child("rounds/001")
    storage.write_bytes("round.json", b"{}")
    storage.files("shards", suffix=".tar")
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from data_specs.errors import UserError

_PART_SUFFIX = ".part"
_STORES_WITHOUT_FOLDERS = {"s3", "gcs", "abfs"}
_COPY_BLOCK_BYTES = 1 << 20


class Storage:
    """A folder: a local path, or any URI that ``pyarrow.fs`` knows (``s3://``, ``gs://``, ``file://``).

    Names are relative to the folder and use ``/``. Instances hold no open files and can be pickled.
    """

    def __init__(self, uri: str | Path) -> None:
        self.uri = str(uri).rstrip("/") or "/"
        if "://" not in self.uri:
            self._fs, self._root = fs.LocalFileSystem(), Path(self.uri).expanduser().absolute().as_posix()
            self.uri = self._root
            return
        try:
            self._fs, root = fs.FileSystem.from_uri(self.uri)
        except (ValueError, pa.ArrowException) as error:
            raise UserError(f"cannot use {self.uri!r} as storage: {_first_line(error)}") from None
        self._root = root.rstrip("/")

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
        return self._fs.get_file_info(self._path(name)).type != fs.FileType.NotFound

    def is_file(self, name: str = "") -> bool:
        """Whether ``name`` is a file."""
        return self._fs.get_file_info(self._path(name)).type == fs.FileType.File

    def size(self, name: str) -> int:
        """Size of a file in bytes.

        Raises:
            FileNotFoundError: no such file.
        """
        info = self._fs.get_file_info(self._path(name))
        if info.type != fs.FileType.File:
            raise FileNotFoundError(f"no file {name} in {self.uri}")
        return info.size

    def read_bytes(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: no such file.
        """
        with self._fs.open_input_stream(self._path(name)) as stream:
            return stream.read()

    def open(self, name: str) -> pa.NativeFile:
        """A readable, seekable binary file; the caller closes it."""
        return self._fs.open_input_file(self._path(name))

    def write_bytes(self, name: str, data: bytes) -> None:
        """Publish ``data`` as the file ``name``; an existing file is replaced in one step."""
        with self._publishing(name) as stream:
            stream.write(data)

    def upload(self, source: Path, name: str) -> None:
        """Publish a local file as ``name``, in bounded memory."""
        with source.open("rb") as reader, self._publishing(name) as stream:
            while block := reader.read(_COPY_BLOCK_BYTES):
                stream.write(block)

    def download(self, name: str, target: Path) -> None:
        """Copy a file to this machine's disk, in bounded memory."""
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}{_PART_SUFFIX}")
        with self._fs.open_input_stream(self._path(name)) as stream, part.open("wb") as writer:
            while block := stream.read(_COPY_BLOCK_BYTES):
                writer.write(block)
        part.replace(target)

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

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens when it is not there."""
        if self.is_file(name):
            self._fs.delete_file(self._path(name))

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
            self._fs.delete_file(info.path)
        return len(leftovers)

    def check_writable(self) -> None:
        """Make the folder if needed and try a write.

        Raises:
            UserError: the path is a file, or cannot be written.
        """
        if self.is_file():
            raise UserError(f"{self.uri} is a file: give a folder for the workspace")
        probe = f".probe-{uuid.uuid4().hex[:8]}"
        try:
            self.write_bytes(probe, b"")
            self.delete(probe)
        except OSError as error:  # pyarrow raises OSError and its subclasses for every storage problem
            raise UserError(f"cannot write to {self.uri}: {_first_line(error)}; choose another workspace") from None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/") if name else self._root

    def _infos(self, folder: str) -> list[fs.FileInfo]:
        return self._fs.get_file_info(fs.FileSelector(self._path(folder), allow_not_found=True))

    @contextmanager
    def _publishing(self, name: str) -> Iterator[pa.NativeFile]:
        folder, _, base = self._path(name).rpartition("/")
        if self._fs.type_name not in _STORES_WITHOUT_FOLDERS:
            self._fs.create_dir(folder, recursive=True)
        part = f"{folder}/.{base}.{uuid.uuid4().hex[:8]}{_PART_SUFFIX}"
        try:
            with self._fs.open_output_stream(part) as stream:
                yield stream
        except BaseException:
            if self._fs.get_file_info(part).type == fs.FileType.File:
                self._fs.delete_file(part)
            raise
        self._fs.move(part, self._path(name))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
