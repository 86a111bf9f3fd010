"""One run at a time per workspace: a claim in the workspace that its holder renews, and that lapses when it does not.

Needs nothing but the workspace's storage, so it holds between a terminal, a deployment and another machine, on a disk
and in a bucket. A claim is a file of its own. Who wants the workspace writes one and then looks for others: of two that
do so at the same time at least one sees the other, because a store shows what was written before it was listed. A
holder that died on this machine is noticed at once; one on another machine when its claim was not renewed for
``LAPSE_S``, by the clock of the store.

Example::

    with claimed(workspace.storage, purpose="run") as claim:
        ...
        claim.check()
"""

import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from data_specs.errors import UserError
from data_specs.filesystems import StorageError
from pipeline.storage import Storage

FOLDER = "claims"
RENEW_S = 20.0
LAPSE_S = 120.0
_ATTEMPTS = 5
_SAME_TIME_S = 5.0


class InUseError(UserError):
    """Another run holds the workspace."""


class LostClaimError(Exception):
    """This run could not renew its claim in time, and another one may work on the workspace now."""


class Claim:
    """A claim that is held; a thread renews it."""

    def __init__(self, storage: Storage, purpose: str) -> None:
        self._storage = storage
        self._name = f"{FOLDER}/{uuid.uuid4().hex[:12]}.json"
        self._content = json.dumps({**_this_process(), "purpose": purpose, "since": time.strftime("%F %T %Z")}).encode()
        self._renewed = time.monotonic()
        self._ended = threading.Event()
        self._lost = False

    def check(self) -> None:
        """Make sure that the claim still holds.

        Raises:
            LostClaimError: it does not.
        """
        if self._lost or time.monotonic() - self._renewed > LAPSE_S:
            raise LostClaimError(f"{self._storage.uri} was taken over by another run: this one did not answer for long")

    def take(self) -> None:
        """Claim the storage, or raise.

        Raises:
            InUseError: another run holds it.
        """
        for attempt in range(_ATTEMPTS):
            self._storage.write_bytes(self._name, self._content)
            times = self._storage.times(FOLDER)
            now = times.pop(self._name.removeprefix(f"{FOLDER}/"))
            others = {name: now - then for name, then in times.items() if self._is_held(name, now - then)}
            if not others:
                self._renewed = time.monotonic()
                return
            self._storage.delete(self._name)
            oldest = max(others, key=lambda name: others[name])
            if others[oldest] > _SAME_TIME_S or attempt == _ATTEMPTS - 1:
                raise InUseError(self._refusal(oldest, others[oldest]))
            time.sleep(random.uniform(0.1, 1.0))  # both wanted it at the same time, and one of them has to be first

    def renew(self) -> None:
        """Renew the claim until ``end``."""
        while not self._ended.wait(RENEW_S):
            with suppress(StorageError):  # the next attempt may succeed; check() tells when it was too long
                if not self._storage.is_file(self._name):
                    self._lost = True
                    return
                self._storage.write_bytes(self._name, self._content)
                self._renewed = time.monotonic()

    def end(self) -> None:
        """Renew no more."""
        self._ended.set()

    def release(self) -> None:
        """Give the storage back, after ``renew`` has ended."""
        with suppress(StorageError):  # it lapses then
            self._storage.delete(self._name)
            self._storage.delete_empty_folder(FOLDER)

    def _is_held(self, name: str, age_s: float) -> bool:
        """Whether another claim counts; one that does not is removed."""
        holder = _holder(self._storage, name)
        if holder is not None and age_s <= LAPSE_S and not _is_dead(holder):
            return True
        self._storage.delete(f"{FOLDER}/{name}")
        return False

    def _refusal(self, name: str, age_s: float) -> str:
        holder = _holder(self._storage, name) or {}
        return (
            f"{self._storage.uri} is in use by another {_words(holder)}: wait until it is "
            f"finished; if that machine is down, its claim lapses in {max(1, round(LAPSE_S - age_s))} s"
        )


def holder_of(storage: Storage) -> str:
    """Who holds the storage now, in words; empty when nobody does.

    It only looks, so claims of other machines are aged by this one's clock.
    """
    for name, then in storage.times(FOLDER).items():
        holder = _holder(storage, name)
        if holder and time.time() - then <= LAPSE_S and not _is_dead(holder):
            return _words(holder)
    return ""


def check_free(storage: Storage) -> None:
    """Make sure that nobody holds the storage now; ``claimed`` is what keeps others out.

    Raises:
        InUseError: somebody does.
    """
    if holder := holder_of(storage):
        raise InUseError(
            f"{storage.uri} is in use by another {holder}: wait until it is "
            f"finished; if that machine is down, its claim lapses within {LAPSE_S:.0f} s"
        )


@contextmanager
def claimed(storage: Storage, *, purpose: str) -> Iterator[Claim]:
    """Hold a workspace for as long as the block lasts.

    Raises:
        InUseError: another run holds it.
        UserError: it cannot be written.
    """
    storage.check_writable()
    claim = Claim(storage, purpose)
    claim.take()
    renewal = threading.Thread(target=claim.renew, name="claim", daemon=True)
    renewal.start()
    try:
        yield claim
    finally:
        claim.end()
        renewal.join()
        claim.release()


def _holder(storage: Storage, name: str) -> dict[str, Any] | None:
    try:
        return json.loads(storage.read_bytes(f"{FOLDER}/{name}"))
    except (FileNotFoundError, ValueError):
        return None
    except StorageError:  # a bucket's object that was replaced or removed while it was read
        return {}


def _words(holder: dict[str, Any]) -> str:
    who = f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"
    return f"{holder.get('purpose', 'run')} ({who})"


def _this_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def _machine() -> str:
    """Tells the process tables of machines, of their boots, and of containers apart; empty where it is not known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process started, in ticks since boot; empty for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is there no more."""
    return (
        bool(holder.get("machine")) and holder["machine"] == _machine() and holder["started"] != _started(holder["pid"])
    )
