"""Download one large file: with progress, resumable, and published only when it is whole.

Bytes go to ``<name>.part`` beside the target. What was cut off goes on from there, unless the server has another file
by now; the file appears under its own name when it has the size that the server promised.

Example::

    download(url, Path("weights/Cnn14_mAP=0.431.pth"), on_bytes=lambda done, total: print(done, total))
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from filelock import FileLock

from data_specs.errors import UserError

OnBytes = Callable[[int, int | None], None]
"""Told how many bytes are there, and of how many (None: the server did not say)."""

ATTEMPTS = 5
TIMEOUT_S = 30.0


def download(url: str, target: Path, *, on_bytes: OnBytes = lambda done, total: None, patience_s: float = 1.0) -> None:
    """Fetch ``url`` into ``target``; processes that want the same file at once wait for the first one.

    Args:
        url: where the file is; redirects are followed.
        target: its name here, with folders that are made when needed.
        on_bytes: told about progress.
        patience_s: pause before the second attempt, doubled for every further one.

    Raises:
        UserError: no connection, the server refuses, it stopped early again and again, or the disk cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.is_file():
                _with_patience(url, target, on_bytes, patience_s)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from None


def _with_patience(url: str, target: Path, on_bytes: OnBytes, patience_s: float) -> None:
    part = target.with_name(f"{target.name}.part")
    for attempt in range(ATTEMPTS):
        try:
            _attempt(url, part, on_bytes)
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise UserError(f"{url} answers {status} {error.response.reason_phrase}: download it by hand") from None
        except httpx.HTTPError as error:
            if attempt == ATTEMPTS - 1:
                raise UserError(_gave_up(url, part, target, error)) from None
            time.sleep(patience_s * 2**attempt)
        else:
            os.replace(part, target)
            _etag_file(part).unlink(missing_ok=True)
            return


def _gave_up(url: str, part: Path, target: Path, error: httpx.HTTPError) -> str:
    why = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return f"no connection to {url} ({why}): download it where there is one, and copy it to {target}"
    have = part.stat().st_size if part.is_file() else 0
    return f"the download of {target.name} stopped at {have} bytes ({why}): the same command goes on from there"


def _attempt(url: str, part: Path, on_bytes: OnBytes) -> None:
    """Append to ``part`` what is missing of it; a part of what the server has no more starts again."""
    have = part.stat().st_size if part.is_file() else 0
    etag = _etag_file(part).read_text("utf-8") if have and _etag_file(part).is_file() else ""
    headers = {"Range": f"bytes={have}-", "If-Range": etag} if have and etag else {}
    headers["Accept-Encoding"] = "identity"
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT_S) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()
            raise httpx.RemoteProtocolError("the part that is here does not fit")
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        done = have if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdigit() else None
        _etag_file(part).write_text(response.headers.get("ETag", ""), encoding="utf-8")
        with part.open("ab" if resumed else "wb") as writer:
            on_bytes(done, total)
            for block in response.iter_raw():  # as it comes: what is here when the connection breaks is kept
                writer.write(block)
                done += len(block)
                on_bytes(done, total)
    if total is not None and done != total:
        raise httpx.RemoteProtocolError(f"{done} of {total} bytes came")


def _etag_file(part: Path) -> Path:
    return part.with_name(f".{part.name}.etag")
