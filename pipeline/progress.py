"""How stages tell what they are doing, without knowing who listens.

Example::

    with progress.task("separate", total=len(units)) as task:
        for unit in units:
            ...
            task.advance()
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol


class Task(Protocol):
    """One running piece of work."""

    def advance(self, n: int = 1) -> None:
        """``n`` more items are done."""


class Progress(Protocol):
    """Receives what a stage does; ``flows`` shows it in a terminal."""

    def task(self, description: str, total: int | None) -> AbstractContextManager[Task]:
        """Announce work on ``total`` items (None: unknown)."""

    def say(self, text: str) -> None:
        """One line for the user."""


class _Silent:
    @contextmanager
    def task(self, description: str, total: int | None):
        yield self

    def advance(self, n: int = 1) -> None:
        pass

    def say(self, text: str) -> None:
        pass


NO_PROGRESS: Progress = _Silent()


@contextmanager
def showing_downloads(progress: Progress) -> Iterator[Callable[[str, int, int | None], None]]:
    """Gives what ``models.weights`` tells of downloads to: each becomes a task that counts megabytes."""
    running: dict[str, Task] = {}
    shown_mb: dict[str, int] = {}
    with ExitStack() as tasks:

        def on_download(name: str, done: int, total: int | None) -> None:
            if name not in running:
                total_mb = None if total is None else total // 1_000_000
                running[name] = tasks.enter_context(progress.task(f"download {name} (MB)", total_mb))
            done_mb = done // 1_000_000
            running[name].advance(done_mb - shown_mb.get(name, 0))
            shown_mb[name] = done_mb

        yield on_download
