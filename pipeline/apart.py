"""A function that is called in processes apart, so that what kills the process costs one call and not the run.

Decoders are C code that reads files from anywhere. Ingest meets every recording first and reads all of it, so it reads
in processes of this kind (``pipeline.ingest``); those of Ray come later. Threads call, each call has a process to
itself, and a process that died or ran out of memory is replaced. The processes end with this one, however that ends.

Example::

    with Apart(ingest_entry, config.workers) as read:
        rows = read(entry, config)
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, cast

from data_specs.config import WorkersConfig

CALLS_PER_PROCESS = 16
"""A process takes a second to start, so there are no more than one for so many calls."""

# Not multiprocessing's way: that imports this program's main module again, which may be all of Prefect.
_PROGRAM = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from pipeline.apart import serve; serve()"
_ENDING_S = 5.0


class DiedError(Exception):
    """Every process that tried the call died of it; the message says how, and how often it was tried."""


class Apart:
    """Calls ``function``, which has to be importable, with arguments and results that can be pickled.

    Any number of threads may call at the same time; there are as many processes as they need.
    """

    def __init__(self, function: Callable[..., Any], workers: WorkersConfig) -> None:
        self._function, self._workers = function, workers
        self._free: list[_Process] = []
        self._started = self._calls = 0
        self._changed = threading.Condition()

    def __enter__(self) -> "Apart":
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._free:
            process.end()

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns.

        Raises:
            DiedError: its process died or ran out of memory, ``workers.retries`` + 1 times.
            Exception: what the function raises.
        """
        trouble = ""
        for attempt in range(self._workers.retries + 1):
            if attempt:
                time.sleep(self._workers.retry_delay_s * 2 ** (attempt - 1))
            process = self._take()
            try:
                return process.call(arguments)
            except _ProcessDiedError as error:
                trouble = str(error)
            except MemoryError:
                process.end()  # gives its memory back
                trouble = "out of memory"
            finally:
                self._give_back(process)
        raise DiedError(f"{trouble}, {self._workers.retries + 1} times")

    def _take(self) -> "_Process":
        with self._changed:
            self._calls += 1
            while not self._free and self._started > self._calls // CALLS_PER_PROCESS:
                self._changed.wait()
            if self._free:
                return self._free.pop()
            self._started += 1
        try:
            return _Process(self._function)
        except BaseException:
            self._give_back(None)
            raise

    def _give_back(self, process: "_Process | None") -> None:
        """A process is free again, or is no more."""
        with self._changed:
            if process is None or process.has_ended:
                self._started -= 1
            else:
                self._free.append(process)
            self._changed.notify()


class _ProcessDiedError(Exception):
    """The process is gone; the message says how."""


class _Process:
    """The caller's side of a process; one call at a time."""

    def __init__(self, function: Callable[..., Any]) -> None:
        command = [sys.executable, "-c", _PROGRAM]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._questions = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)
        try:
            self._ask(sys.path)
            self._ask(function)
        except _ProcessDiedError as error:
            raise RuntimeError(f"cannot start a process to read in: {error}") from error

    @property
    def has_ended(self) -> bool:
        """Whether it cannot be called any more."""
        return self._process.returncode is not None

    def call(self, arguments: tuple[Any, ...]) -> Any:
        """What the function returns, or raises.

        Raises:
            _ProcessDiedError: it never answered.
        """
        answer, error = self._ask(arguments)
        if error is not None:
            raise error
        return answer

    def end(self) -> None:
        """Kill the process, unless it is gone already."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._questions, self._answers):
            with suppress(OSError):  # what was not sent has nobody to go to
                pipe.close()

    def _ask(self, question: Any) -> Any:
        try:
            pickle.dump(question, self._questions)
            self._questions.flush()
            return pickle.load(self._answers)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_ENDING_S)
            status = self._process.returncode
            self.end()
            raise _ProcessDiedError(f"the process that read it died{_how(status)}") from error


def _how(status: int | None) -> str:
    """`` of SIGSEGV`` for the status -11; nothing where no signal ended the process."""
    if status is None or status >= 0:
        return ""
    return f" of {signal.Signals(-status).name}"


def serve() -> None:
    """The other side: answer until there is nobody to ask.

    The first question, where to find modules, was read by the program; the second is the function, all others are
    arguments.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c reaches all processes of a terminal; the caller decides
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries may print

    def answer(content: Any) -> None:
        pickle.dump(content, answers)
        answers.flush()

    answer(None)
    function = pickle.load(questions)
    answer(None)
    while True:
        try:
            arguments = pickle.load(questions)
        except EOFError:
            return
        try:
            result, error = function(*arguments), None
        except Exception as raised:  # raised again by the caller
            result, error = None, raised
        try:
            answer((result, error))
        except BrokenPipeError:
            os._exit(0)  # the caller was killed meanwhile
