"""The progress of a command, on standard error: bars in a terminal, plain lines everywhere else.

Stages report to ``pipeline.progress.Progress`` and do not know who listens; this module listens, and adds how fast the
work goes and how long the rest will take.

Example::

    progress = terminal_progress()
    with progress.task("separate", total=6) as task:
        task.advance()
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bars
from rich.progress import Task as BarTask
from rich.table import Column
from rich.text import Text

from flows.output import mode
from pipeline.progress import NO_PROGRESS, Progress, Task

PLAIN_INTERVAL_S = 10.0


def duration(seconds: float) -> str:
    """A length of time in words: ``42 s``, ``3 min 20 s``, ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Pace:
    """How fast items follow one another, from the first one on.

    The first report tells nothing of the pace: it waited for models to load, or holds what an earlier run has done.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.started = clock()
        self.done = 0
        self._first: tuple[float, int] | None = None

    def advance(self, n: int) -> None:
        """``n`` more items are done."""
        self.done += n
        if self._first is None:
            self._first = (self._clock(), self.done)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the work began."""
        return self._clock() - self.started

    @property
    def rate(self) -> float | None:
        """Items per second; None before the second report."""
        if self._first is None:
            return None
        since, before = self._first
        seconds = self._clock() - since
        return (self.done - before) / seconds if self.done > before and seconds > 0 else None

    def outlook(self, total: int | None) -> str:
        """Rate and time left in words, as far as they are known: ``2.4/s, 12 s left``."""
        rate = self.rate
        if rate is None:
            return ""
        each = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
        return each if total is None else f"{each}, {duration(max(0, total - self.done) / rate)} left"


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
        bar = _Bar(bars, description, total)
        try:
            yield bar
        finally:
            bar.finish()
            if outermost:
                bars.stop()
                self._bars = None

    def say(self, text: str) -> None:
        """Print one line above the bars."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _new_bars(self) -> Bars:
        return Bars(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False, table_column=Column(min_width=22, no_wrap=True, ratio=2)),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            MofNCompleteColumn(),
            _PaceColumn(table_column=Column(min_width=22, no_wrap=True)),
            console=self._console,
            expand=True,
        )


class _Bar:
    def __init__(self, bars: Bars, description: str, total: int | None) -> None:
        self._bars = bars
        self._pace = Pace()
        self._task_id = bars.add_task(description, total=total, pace=self._pace)

    def advance(self, n: int = 1) -> None:
        self._pace.advance(n)
        self._bars.advance(self._task_id, n)

    def finish(self) -> None:
        """A spinner becomes a full bar."""
        task = self._bars.tasks[self._task_id]
        if task.total is None:
            done = max(1, int(task.completed))
            self._bars.update(self._task_id, total=done, completed=done)
        self._bars.stop_task(self._task_id)


class _PaceColumn(ProgressColumn):
    """Rate and time left while work runs, then how long it took."""

    max_refresh = 0.5

    def render(self, task: BarTask) -> Text:
        """The text beside a bar."""
        if task.finished or task.stop_time is not None:
            return Text(f"in {duration(task.elapsed or 0)}", "progress.elapsed")
        pace: Pace = task.fields["pace"]
        total = None if task.total is None else int(task.total)
        return Text(pace.outlook(total) or duration(pace.elapsed_s), "progress.remaining")


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
        self._pace = Pace()
        self._written = time.monotonic()

    def advance(self, n: int = 1) -> None:
        self._pace.advance(n)
        if self._pace.done != self._total and time.monotonic() - self._written >= self._interval_s:
            self._written = time.monotonic()
            outlook = self._pace.outlook(self._total)
            self._write(f"{self._state()}{', ' if outlook else ''}{outlook}")

    def finish(self) -> None:
        self._write(f"{self._state()} in {duration(self._pace.elapsed_s)}")

    def _state(self) -> str:
        """What is done; work of unknown size that reports no items is just named."""
        if self._total is None and not self._pace.done:
            return f"{self._description}: done"
        return f"{self._description}: {self._pace.done}" + (f" of {self._total}" if self._total is not None else "")


class Opening:
    """Shows that something starts, until that something reports for the first time itself."""

    def __init__(self, progress: Progress, description: str) -> None:
        self._progress = progress
        self._shown = ExitStack()
        self._shown.enter_context(progress.task(description, None))

    def __enter__(self) -> "Opening":
        return self

    def __exit__(self, *error: object) -> None:
        self._shown.close()

    def task(self, description: str, total: int | None) -> AbstractContextManager[Task]:
        """Show the first work instead of the start."""
        self._shown.close()
        return self._progress.task(description, total)

    def say(self, text: str) -> None:
        """Say it; the start is over."""
        self._shown.close()
        self._progress.say(text)


def print_line(text: str) -> None:
    """Write a line for people to standard output at once (standard error with ``--json``); none with ``--quiet``."""
    if not mode().quiet:
        print(text, file=sys.stderr if mode().as_json else sys.stdout, flush=True)


def terminal_progress() -> Progress:
    """Bars when standard error is a terminal, plain lines otherwise, nothing with ``--quiet``."""
    if mode().quiet:
        return NO_PROGRESS
    if sys.stderr.isatty():
        return BarProgress(Console(stderr=True))
    return LineProgress(lambda text: print(text, file=sys.stderr, flush=True))
