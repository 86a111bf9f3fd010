"""Checksums of weight files: recorded at the first use, and what every later use is held against.

The record is a JSON file in the user's cache, by path. A file whose size and modification time are those of the record
is not read again, so two gigabytes are hashed once and not at every start.

Example::

    checksums = Checksums(user_cache() / "checksums.json")
    sha256 = checksums.verify(Path("weights/Cnn14_mAP=0.431.pth"))
"""

import hashlib
import json
import os
from pathlib import Path
from typing import TypedDict

from filelock import FileLock

from data_specs.errors import UserError


class Seen(TypedDict):
    """What is known of a file."""

    sha256: str
    size: int
    mtime_ns: int


class Checksums:
    """The record of checksums in a JSON file; processes may share it."""

    def __init__(self, record: Path) -> None:
        self.record = record

    def verify(self, path: Path, *, expected: str = "") -> str:
        """The SHA-256 of a file that is what it was when it was first used, and ``expected`` where that is given.

        Raises:
            UserError: the file is another one than before, or than expected; the message has both checksums.
        """
        known = self._read().get(_key(path))
        stat = path.stat()
        if known and (known["size"], known["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns):
            found = known["sha256"]
        else:
            found = file_sha256(path)
        if expected and found != expected:
            raise UserError(
                f"{path} is not the published file: expected sha256 {expected}, found {found}; delete it to get it "
                "again"
            )
        if known and found != known["sha256"]:
            raise UserError(
                f"{path} changed since its first use: expected sha256 {known['sha256']}, found {found}; restore it, or "
                f"run data-engine weights forget {path}"
            )
        if not known or known["mtime_ns"] != stat.st_mtime_ns:
            self._update(path, {"sha256": found, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns})
        return found

    def verified(self, path: Path) -> str:
        """The recorded SHA-256 of a file that was not touched since; empty when it has to be verified first."""
        known, stat = self._read().get(_key(path)), path.stat()
        unchanged = known and (known["size"], known["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns)
        return known["sha256"] if known and unchanged else ""

    def forget(self, path: Path) -> bool:
        """Take the next use of a file as its first one; False when nothing was recorded."""
        return self._update(path, None)

    def _read(self) -> dict[str, Seen]:
        try:
            return json.loads(self.record.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise UserError(f"{self.record} cannot be read ({error}): delete it") from None

    def _update(self, path: Path, seen: Seen | None) -> bool:
        try:
            self.record.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.record.with_name(f".{self.record.name}.lock")):
                content = self._read()
                before = content.pop(_key(path), None)
                if seen:
                    content[_key(path)] = seen
                temporary = self.record.with_name(f".{self.record.name}.{os.getpid()}.part")
                temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
                os.replace(temporary, self.record)
        except OSError as error:
            raise UserError(
                f"cannot record checksums in {self.record} ({error.strerror or error}): set XDG_CACHE_HOME to a folder "
                "that can be written"
            ) from None
        return before is not None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in bounded memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _key(path: Path) -> str:
    return str(path.expanduser().resolve())
