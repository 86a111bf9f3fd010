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

_REPAIRS = {
    errno.ENOSPC: "no space left for {place}: make room",
    errno.EDQUOT: "the disk quota is used up for {place}: make room",
    errno.EROFS: "{place} is on a read-only file system: make it writable",
    errno.EACCES: "{place} cannot be written: give write permission",
}


def repairable(error: BaseException, place: str) -> UserError | None:
    """What the user has to do about ``error`` or one of its causes, or None when it is no such fault."""
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in _REPAIRS:
            line = _REPAIRS[cause.errno].format(place=place)
            return UserError(f"{line}, then run again; what is finished stays finished")
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
