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
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

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
_URI = re.compile(
    r"(?P<scheme>[a-z0-9+]+)://(?P<bucket>[^/?]*)(?P<key>(?:/.*?)?)(?P<query>(?:\?[a-z_]+=.*)?)", re.DOTALL
)
_S3_OPTIONS = ("endpoint_override", "region", "scheme")


class StorageError(OSError):
    """A file or bucket could not be read or written, after all attempts. The message is one line that names it."""


class Uri(NamedTuple):
    """A URI in parts; keys of buckets are taken as they are, ``#`` and ``%`` have no meaning in them."""

    scheme: str
    bucket: str
    key: str
    query: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}{self.key}{self.query}"

    @classmethod
    def of(cls, text: str | Path) -> "Uri":
        """The parts of a URI; all of them empty for anything else."""
        match = _URI.fullmatch(str(text))
        return cls(match["scheme"], match["bucket"], match["key"], match["query"]) if match else cls("", "", "", "")


def is_uri(name: str | Path) -> bool:
    """Whether this is an address such as ``s3://bucket/clips`` and not a path."""
    return "://" in str(name)


def join(root: str | Path, name: str) -> str:
    """The address of ``name`` as seen from the folder ``root``; a URI or an absolute path stays as it is.

    Addresses are spelt in one way (no ``.``, no ``..``), so that a file that is listed twice is noticed.
    """
    if is_uri(name):
        return name
    if not is_uri(root) or os.path.isabs(name):
        return os.path.normpath(os.path.join(root, name))
    uri = Uri.of(root)
    return str(uri._replace(key=os.path.normpath(f"/{uri.key.strip('/')}/{name}".replace("//", "/"))))


def parent(name: str | Path) -> str:
    """The folder of a file, as a path or URI."""
    if not is_uri(name):
        return os.path.dirname(name) or "."
    uri = Uri.of(name)
    return str(uri._replace(key=os.path.dirname(uri.key)))


def resolve(name: str | Path) -> tuple[fs.FileSystem, str]:
    """The filesystem of a path or URI, and the path in it.

    Raises:
        UserError: not a kind of URI that is known, or one that lacks its bucket.
    """
    if not is_uri(name):
        return fs.LocalFileSystem(), Path(name).expanduser().absolute().as_posix()
    uri = Uri.of(name)
    try:
        if uri.scheme != "s3":
            filesystem, path = fs.FileSystem.from_uri(str(name))
            return filesystem, path.rstrip("/") or "/"
        options = dict(parse_qsl(uri.query[1:]))
        unknown = sorted(options.keys() - set(_S3_OPTIONS))
        if unknown or not uri.bucket:
            raise ValueError(f"unknown option {unknown[0]!r}" if unknown else "it names no bucket")
        return _s3_of(uri.bucket, options), f"{uri.bucket}{uri.key}".rstrip("/")
    except (ValueError, pa.ArrowException, OSError) as error:
        raise UserError(f"cannot use {str(name)!r} as storage: {first_line(error)}") from None


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


def kind_of(name: str | Path) -> fs.FileType:
    """Whether there is a file, a folder or nothing at this address.

    Raises:
        StorageError: the store does not answer, or refuses.
    """
    filesystem, path = resolve(name)
    with telling("look up", str(name)):
        return filesystem.get_file_info(path).type


def files_below(root: str | Path) -> Iterator[str]:
    """Names, relative to ``root``, of all files below a folder of a store, sorted; hidden ones are left out."""
    filesystem, path = resolve(root)
    with telling("list", str(root)):
        infos = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    names = (info.path.removeprefix(path).lstrip("/") for info in infos if info.type == fs.FileType.File)
    yield from sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))


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
