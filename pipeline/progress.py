"""How stages tell what they are doing, without knowing who listens.

Example::

    with progress.task("separate", total=len(units)) as task:
        for unit in units:
            ...
            task.advance()
"""

from contextlib import AbstractContextManager, contextmanager
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
