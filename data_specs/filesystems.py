"""Where files are: a local path, or a URI that ``pyarrow.fs`` knows (``s3://``, ``gs://``, ``file://``), by one door.

Corpus readers, audio decoding and workspaces all come through here, so that the same settings hold for every request.
For ``s3://`` these are the AWS SDK's own: credentials, ``AWS_REGION`` and ``AWS_ENDPOINT_URL`` (any store that speaks
S3) from the environment; ``?endpoint_override=`` and ``?region=`` in a URI win. A request that fails for a reason that
may pass (5xx, throttling, a connection that breaks or stalls) is tried ``S3_ATTEMPTS`` times with growing pauses.

Example::

    filesystem, path = resolve("s3://bucket/corpus/clips.csv")
    with telling("read", "s3://bucket/corpus/clips.csv"), filesystem.open_input_stream(path) as stream:
        text = stream.read()
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
from pyarrow import fs

from data_specs.errors import UserError

S3_ATTEMPTS = 5
S3_CONNECT_TIMEOUT_S = 10.0
S3_STALL_TIMEOUT_S = 20.0
"""A request that moves no byte for so long is given up, and tried again."""

_PASSING = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT"
    r"|UNKNOWN \(HTTP status (5\d\d|429)\))"
)
_S3_OPTIONS = ("endpoint_override", "region", "scheme")


class StorageError(OSError):
    """A file or bucket could not be read or written, after all attempts. The message is one line that names it."""


def is_uri(name: str | Path) -> bool:
    """Whether this is an address such as ``s3://bucket/clips`` and not a path."""
    return "://" in str(name)


def join(root: str | Path, name: str) -> str:
    """The address of ``name`` as seen from the folder ``root``; a URI or an absolute path stays as it is.

    Paths are spelt in one way (no ``.``, no ``..``), so that a file that is listed twice is noticed.
    """
    if is_uri(name):
        return name
    if not is_uri(root):
        return os.path.normpath(os.path.join(root, name))
    parts = urlsplit(str(root))
    path = os.path.normpath(os.path.join(parts.path or "/", name))
    return parts._replace(path=path).geturl()


def parent(name: str | Path) -> str:
    """The folder of a file, as a path or URI."""
    if not is_uri(name):
        return os.path.dirname(os.path.abspath(name))
    parts = urlsplit(str(name))
    return parts._replace(path=os.path.dirname(parts.path)).geturl()


def resolve(name: str | Path) -> tuple[fs.FileSystem, str]:
    """The filesystem of a path or URI, and the path in it.

    Raises:
        UserError: not a kind of URI that is known, or one that lacks its bucket.
    """
    if not is_uri(name):
        return fs.LocalFileSystem(), Path(name).expanduser().absolute().as_posix()
    uri = str(name)
    parts = urlsplit(uri)
    try:
        if parts.scheme != "s3":
            filesystem, path = fs.FileSystem.from_uri(uri)
            return filesystem, path.rstrip("/") or "/"
        options = dict(parse_qsl(parts.query))
        unknown = sorted(options.keys() - set(_S3_OPTIONS))
        if unknown or not parts.netloc:
            raise ValueError(f"unknown option {unknown[0]!r}" if unknown else "it names no bucket")
        return _s3_of(parts.netloc, options), f"{parts.netloc}{parts.path}".rstrip("/")
    except (ValueError, pa.ArrowException, OSError) as error:
        raise UserError(f"cannot use {uri!r} as storage: {first_line(error)}") from None


def _s3_of(bucket: str, options: dict[str, str]) -> fs.FileSystem:
    endpoint = options.get("endpoint_override") or os.environ.get("AWS_ENDPOINT_URL_S3", "")
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL", "")
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
    scheme = options.get("scheme", "")
    if endpoint and not region:
        region = "us-east-1"  # other stores have no regions, but requests are signed with one
    return _s3(endpoint, region or fs.resolve_s3_region(bucket), scheme, os.getpid())


@lru_cache(maxsize=8)
def _s3(endpoint: str, region: str, scheme: str, process_id: int) -> fs.FileSystem:
    """One connection pool per store and process: a forked child must not use its parent's."""
    settings: dict[str, Any] = {"endpoint_override": endpoint, "region": region, "scheme": scheme}
    return fs.S3FileSystem(
        **{key: value for key, value in settings.items() if value},
        connect_timeout=S3_CONNECT_TIMEOUT_S,
        request_timeout=S3_STALL_TIMEOUT_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS),
        # Not allow_delayed_open, although it saves requests: closed after a failed write, it leaves an empty object.
    )


def may_pass(error: OSError) -> bool:
    """Whether a later attempt may succeed: the store was not reached or not able, as against not willing."""
    return _PASSING.search(str(error)) is not None


@contextmanager
def telling(action: str, name: str) -> Iterator[None]:
    """Turn what a filesystem raises into a ``StorageError`` that says what was done to which file.

    ``FileNotFoundError`` stays what it is: callers have a meaning for it.
    """
    try:
        yield
    except (FileNotFoundError, StorageError):
        raise
    except OSError as error:  # pyarrow raises OSError and its subclasses for every storage problem
        raise StorageError(f"cannot {action} {name}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return str(error).strip().splitlines()[0].strip() if str(error).strip() else type(error).__name__
