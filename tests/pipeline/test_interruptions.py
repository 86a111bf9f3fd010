"""SIGTERM ends what waits for Ray, and then reaches the handler that was there."""

import logging
import os
import signal
import threading
import time
from contextlib import suppress

import psutil
import pytest
import ray

from data_specs.config import Config
from pipeline.interruptions import sigterm_gets_through
from pipeline.workers import start_ray, stop_ray


class Ended(BaseException):
    """What a handler raises, as Prefect's does."""


@pytest.fixture
def handler():
    """A handler that raises ``Ended``."""

    def end(number: int, frame: object) -> None:
        raise Ended

    former = signal.signal(signal.SIGTERM, end)
    yield end
    signal.signal(signal.SIGTERM, former)


def test_sigterm_ends_a_wait_for_ray_and_reaches_the_former_handler(handler):
    start_ray(Config())
    assert signal.getsignal(signal.SIGTERM) is handler  # Ray did not keep it
    try:

        @ray.remote
        def last() -> None:
            threading.Event().wait(120)

        threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(Ended), sigterm_gets_through():
            ray.get(last.remote(), timeout=60)
    finally:
        stop_ray()
    assert signal.getsignal(signal.SIGTERM) is handler


def test_sigterm_while_ray_starts_reaches_the_former_handler(handler):
    before = {child.pid for child in psutil.Process().children()}

    def end_when_it_starts() -> None:
        while {child.pid for child in psutil.Process().children()} <= before:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_when_it_starts, daemon=True).start()
    try:
        with pytest.raises(Ended), sigterm_gets_through():
            start_ray(Config())
    finally:
        stop_ray()
        for child in psutil.Process().children():  # what had started by then ends with its program
            if child.pid not in before:
                child.kill()
    assert not ray.is_initialized()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_sigterm_where_no_exception_gets_through_comes_once_more(handler):
    class Last:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)  # the handler runs here, and what it raises is ignored

    def outlive_it() -> None:
        Last()
        time.sleep(20)

    with pytest.raises(Ended), sigterm_gets_through():
        outlive_it()


class Hasty:
    """A lock for whose owner SIGTERM comes a moment before it is given."""

    def __init__(self, lock):
        self.lock, self.acquire = lock, lock.acquire

    def release(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)  # the handler runs here
        self.lock.release()


def test_sigterm_leaves_no_lock_of_logging_behind(handler, monkeypatch):
    lock = logging._lock
    monkeypatch.setattr(logging, "_lock", Hasty(lock))

    def log_and_wait() -> None:
        logging._acquireLock()
        logging._releaseLock()
        monkeypatch.undo()
        time.sleep(20)

    with pytest.raises(Ended), sigterm_gets_through():
        log_and_wait()
    free: list[bool] = []

    def take_and_give() -> None:
        with suppress(RuntimeError):  # not taken
            free.append(lock.acquire(timeout=5))
            lock.release()

    thread = threading.Thread(target=take_and_give)
    thread.start()
    thread.join()
    assert free == [True]


def test_an_interruption_of_another_kind_stays_what_it_is(handler):
    with pytest.raises(KeyboardInterrupt), sigterm_gets_through():
        raise KeyboardInterrupt
    assert signal.getsignal(signal.SIGTERM) is handler
