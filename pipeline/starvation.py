"""Memory that stays too short for Ray: told after a while, where Ray would end and restart its processes for ever.

Ray's monitor ends a worker whenever more of a machine's memory is taken than ``RAY_memory_usage_threshold``, and starts
it again. That helps when the worker took it. When others did, the run waits for them without a word.

Example::

    with told_when_starved():
        ray.get(result)
"""

import _thread
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from data_specs.errors import UserError

PATIENCE_S = 600.0
CHECK_S = 2.0
RAY_LIMIT = 0.95  # Ray's own, where the environment has none


@contextmanager
def told_when_starved() -> Iterator[None]:
    """Meanwhile, look after this machine's memory; the block ends when Ray could do nothing for ``PATIENCE_S``.

    Only where Ray runs on this machine alone and the block in the main thread, which can be interrupted. On a cluster
    the others may well have memory.

    Raises:
        UserError: memory was short all the time.
        MemoryError: the block failed for another reason, but Ray was ending processes for want of memory by then.
    """
    if os.environ.get("RAY_ADDRESS") or threading.current_thread() is not threading.main_thread():
        yield
        return
    ended, starved = threading.Event(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(ended, starved), daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        if not starved.is_set():
            raise
        raise UserError(_words(f"is in use, for {PATIENCE_S / 60:.0f} minutes now")) from None
    except UserError:
        raise
    except Exception as error:
        if _is_short():
            raise MemoryError(_words("is in use")) from error
        raise
    finally:
        ended.set()
        watcher.join()


def _watch(ended: threading.Event, starved: threading.Event) -> None:
    short_s = 0.0
    while not ended.wait(CHECK_S):
        short_s = short_s + CHECK_S if _is_short() else 0.0
        if short_s >= PATIENCE_S:
            starved.set()
            _thread.interrupt_main()
            return


def _words(state: str) -> str:
    return (
        f"{_taken():.0%} of this machine's memory {state}, and Ray lets nothing work above {_limit():.0%}: end other "
        "programs or lower workers in the configuration, then run again; what is finished stays finished"
    )


def _is_short() -> bool:
    return _ray_runs() and _taken() > _limit()


def _ray_runs() -> bool:
    is_initialized = getattr(sys.modules.get("ray"), "is_initialized", None)  # an import would take a second
    return is_initialized is not None and bool(is_initialized())


def _limit() -> float:
    return float(os.environ.get("RAY_memory_usage_threshold", RAY_LIMIT))  # noqa: SIM112 Ray's spelling


def _taken() -> float:
    """The share of this machine's memory, or of its container's, that is in use."""
    from ray._common.utils import get_system_memory
    from ray._private.utils import get_used_memory

    return float(get_used_memory() / get_system_memory())
