"""SIGTERM (of ``kill``, a service manager, a cluster) and a closed terminal end a command as ctrl-c does.

Python's own answer is to be gone at once, and then claims, servers and Ray's processes are left to find that out by
themselves. Prefect takes SIGTERM while a flow runs, ends the flow, and hands it on to this handler.

Example::

    interrupt_by_signals()
    try: ...
    except KeyboardInterrupt: ...
"""

import os
import signal
import threading
from types import FrameType

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt_by_signals() -> None:
    """From now on these signals raise KeyboardInterrupt, but for those that have another use or are to be ignored."""
    owner = os.getpid()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked child, whose parent means to end it
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in INTERRUPTIONS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, interrupt)
