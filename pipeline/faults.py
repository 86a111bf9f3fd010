"""Faults that the user can repair: a full or read-only disk, in a stage's process or in a worker's.

Example::

    except OSError as error:
        if repair := repairable(error, workspace.uri):
            raise repair from error
        raise
"""

import errno
import time
from collections.abc import Callable, Iterator

from data_specs.config import WorkersConfig
from data_specs.errors import UserError
from data_specs.filesystems import StorageError

_REPAIRS = {
    errno.ENOSPC: "no space left for {place}: make room, then run again; what is finished stays finished",
    errno.EDQUOT: "the disk quota is used up for {place}: make room, then run again; what is finished stays finished",
    errno.EROFS: "{place} is on a read-only file system: make it writable, then run again",
    errno.EACCES: "{what}: no permission: give it, then run again",
}


def repairable(error: BaseException, place: str) -> UserError | None:
    """What the user has to do about ``error`` or one of its causes, or None when it is no such fault."""
    causes = list(_chain(error))
    told = [str(cause).partition(": ")[0] for cause in causes if isinstance(cause, StorageError)]
    what = (told or [f"cannot use {place}"])[0]  # read or write: only who tried it knows
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno in _REPAIRS:
            return UserError(_REPAIRS[cause.errno].format(place=place, what=what))
    return None


def with_retries(work: Callable[[], None], config: WorkersConfig) -> None:
    """Call ``work``, and again after a while when the storage fails it; for ``config.retries`` more times.

    Raises:
        OSError: it failed to the last, or in a way that only the user can repair.
    """
    for attempt in range(config.retries + 1):
        try:
            return work()
        except OSError as error:
            if attempt == config.retries or repairable(error, ""):
                raise
            time.sleep(config.retry_delay_s * 2**attempt)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
