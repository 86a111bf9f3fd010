"""What the command line prints: progress bars in a terminal, plain lines everywhere else.

Stages report to ``pipeline.progress.Progress`` and do not know who listens; this module listens. Results go to standard
output, errors to standard error.

Example::

    progress = terminal_progress()
    with progress.task("separate", total=6) as task:
        task.advance()
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from pipeline.progress import Progress, Task

PLAIN_INTERVAL_S = 10.0


class BarProgress:
    """Progress bars of rich; tasks that run inside another one are shown below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None

    @contextmanager
    def task(self, description: str, total: int | None) -> Iterator[Task]:
        """Show a bar (a spinner when ``total`` is None) until the work ends."""
        outermost = self._bars is None
        if self._bars is None:
            self._bars = self._new_bars()
            self._bars.start()
        bars = self._bars
        task_id = bars.add_task(description, total=total)
        try:
            yield _Bar(bars, task_id)
        finally:
            if bars.tasks[task_id].total is None:
                done = max(1, int(bars.tasks[task_id].completed))
                bars.update(task_id, total=done, completed=done)
            bars.stop_task(task_id)
            if outermost:
                bars.stop()
                self._bars = None

    def say(self, text: str) -> None:
        """Print one line above the bars."""
        self._console.print(text, markup=False, highlight=False)

    def _new_bars(self) -> Bars:
        return Bars(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description:<34}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )


class _Bar:
    def __init__(self, bars: Bars, task_id) -> None:
        self._bars = bars
        self._task_id = task_id

    def advance(self, n: int = 1) -> None:
        self._bars.advance(self._task_id, n)


class LineProgress:
    """One line when work starts, one at most every ``interval_s`` seconds, one when it ends."""

    def __init__(self, write: Callable[[str], None], interval_s: float = PLAIN_INTERVAL_S) -> None:
        self._write = write
        self._interval_s = interval_s

    @contextmanager
    def task(self, description: str, total: int | None) -> Iterator[Task]:
        """Write what was done; an error on the way leaves the count where it stopped."""
        self._write(f"{description} ...")
        lines = _Lines(self._write, self._interval_s, description, total)
        try:
            yield lines
        finally:
            lines.finish()

    def say(self, text: str) -> None:
        """Write one line."""
        self._write(text)


class _Lines:
    def __init__(self, write: Callable[[str], None], interval_s: float, description: str, total: int | None) -> None:
        self._write, self._interval_s, self._description, self._total = write, interval_s, description, total
        self._done = 0
        self._started = self._written = time.monotonic()

    def advance(self, n: int = 1) -> None:
        self._done += n
        if self._done != self._total and time.monotonic() - self._written >= self._interval_s:
            self._written = time.monotonic()
            self._write(self._state())

    def finish(self) -> None:
        self._write(f"{self._state()} in {time.monotonic() - self._started:.0f} s")

    def _state(self) -> str:
        return f"{self._description}: {self._done}" + (f" of {self._total}" if self._total is not None else "")


def print_line(text: str) -> None:
    """Write a line to standard output at once, so that a log file shows what is going on."""
    print(text, flush=True)


def terminal_progress() -> Progress:
    """Bars when standard output is a terminal, plain lines otherwise."""
    return BarProgress(Console()) if sys.stdout.isatty() else LineProgress(print_line)
