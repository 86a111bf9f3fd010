"""Prefect's environment, set before Prefect is imported for the first time.

``data-engine run`` and ``demo`` need no server: Prefect starts one for the length of the run. Its database goes to the
user's cache, because ``~/.prefect`` is a set-up that only the user should make; whoever has such a set-up, or names a
server in the environment, gets the runs recorded there. Whatever the user has set wins.

Example::

    configure_prefect(log_level="CRITICAL")
    start_server()
    from flows.data_engine import data_engine
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from flows.interruption import INTERRUPTIONS

_PR_SET_PDEATHSIG = 1

USER_SETTINGS = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE")


def has_own_setup() -> bool:
    """Whether the user has set Prefect up: by environment variables, or in ``~/.prefect``."""
    return any(os.environ.get(name) for name in USER_SETTINGS) or (Path.home() / ".prefect" / "profiles.toml").is_file()


def cache_home() -> Path:
    """Where Prefect keeps its database when the user has no set-up of their own."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "data-engine" / "prefect"


def configure_prefect(*, log_level: str, own_home: bool = True) -> None:
    """Set what the user has not set: home, log level, patience with a slow start, no reports to Prefect's makers.

    Args:
        log_level: of Prefect's own lines.
        own_home: keep Prefect's database in the cache unless the user has a set-up; False always takes Prefect's home,
            so that the ``prefect`` command sees the same deployments.
    """
    if own_home and not has_own_setup():
        os.environ["PREFECT_HOME"] = str(_made(cache_home()))
    defaults = {
        "PREFECT_LOGGING_LEVEL": log_level,
        # Its services complain at length about events that an interrupted run leaves behind.
        "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL" if log_level == "CRITICAL" else "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # Above the default of 20 s: the first start makes the database, on machines that may be busy.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def start_server() -> None:
    """Start the server that Prefect would start with the flow, where none is configured, out of the reach of signals.

    A terminal sends ctrl-c to all processes of a command, a service manager SIGTERM; a flow whose server is gone cannot
    end in order.
    """
    from prefect.client.orchestration import get_client

    signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTIONS)  # until it is certain who ends the server
    try:
        with _popen(start_new_session=True, preexec_fn=_end_with_parent):
            get_client(sync_client=True)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTIONS)


@contextmanager
def _popen(**options: Any) -> Iterator[None]:
    """Meanwhile, processes are started with these options of ``subprocess.Popen``; Prefect takes none."""
    original = subprocess.Popen
    subprocess.Popen = partial(original, **options)  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        subprocess.Popen = original  # type: ignore[misc]


def _end_with_parent() -> None:
    """In a new process: take signals again, and be ended when its parent is killed, where the system can do that."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTIONS)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _made(home: Path) -> Path:
    """The folder, which Prefect does not make with its parents; a temporary one where the cache cannot be written."""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="data-engine-prefect-"))
    return home
