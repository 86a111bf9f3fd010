"""SIGTERM while a stage runs: it gets through to who has a use for it, also when the stage waits for Ray.

Ray's waiting in C++ passes on KeyboardInterrupt only; whatever else a signal's handler raises there (Prefect raises an
exception of its own) is lost, and the run goes on as if nothing had been. Where no exception gets through at all, in a
callback of a fork, say, the signal comes once more; and so it does where one would leave a lock of ``logging`` taken
for ever, on which every other thread then waits.

Example::

    with sigterm_gets_through():
        ray.get(result)
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_S = 0.1
LOCKING = {
    function.__code__
    for function in (
        *(getattr(logging, name) for name in ("_acquireLock", "_releaseLock")),  # private; a fork calls them too
        logging.Handler.acquire,
        logging.Handler.release,
    )
}


@contextmanager
def sigterm_gets_through() -> Iterator[None]:
    """Meanwhile SIGTERM raises KeyboardInterrupt; when that has ended the block, the former handler is called.

    Nothing changes where SIGTERM has no handler, or outside of the main thread.
    """
    former = signal.getsignal(signal.SIGTERM)
    if not callable(former) or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _takes_or_gives_a_lock(frame):
            _send_again()
            return
        came.append(number)
        raise KeyboardInterrupt

    def say_again(lost: "sys.UnraisableHookArgs") -> None:
        former_hook(lost)
        if came and lost.exc_type is KeyboardInterrupt:
            _send_again()

    former_hook, sys.unraisablehook = sys.unraisablehook, say_again
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGTERM, former)
        if came:
            former(came[0], None)
        raise
    finally:
        signal.signal(signal.SIGTERM, former)
        sys.unraisablehook = former_hook


def _takes_or_gives_a_lock(frame: FrameType | None) -> bool:
    """Whether an exception here comes between a lock of ``logging`` and who takes or gives it."""
    while frame is not None:
        if frame.f_code in LOCKING:
            return True
        frame = frame.f_back
    return False


def _send_again() -> None:
    threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGTERM)).start()
