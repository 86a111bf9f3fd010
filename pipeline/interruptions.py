"""SIGTERM while a stage runs: it gets through to who has a use for it, also when the stage waits for Ray.

Ray's waiting in C++ passes on KeyboardInterrupt only; whatever else a signal's handler raises there (Prefect raises an
exception of its own) is lost, and the run goes on as if nothing had been. Where no exception gets through at all, in a
callback of a fork, say, the signal comes once more.

Example::

    with sigterm_gets_through():
        ray.get(result)
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_S = 0.1


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
        came.append(number)
        raise KeyboardInterrupt

    def say_again(lost: "sys.UnraisableHookArgs") -> None:
        former_hook(lost)
        if came and lost.exc_type is KeyboardInterrupt:
            threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGTERM)).start()

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
