"""How often a part of a plan was begun: what tells a part that kills its workers from one that was unlucky once.

``pipeline.workers`` keeps one counter in a process of its own, since those who begin may die. This module imports
nothing, so that the process is small and there at once.

Example::

    if ray.get(attempts.begin.remote("00000.parquet")) > retries: ...    # put it aside
"""


class Attempts:
    """Counts by the name of a part."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def begin(self, part: str) -> int:
        """How often this part was begun before."""
        before = self._counts.get(part, 0)
        self._counts[part] = before + 1
        return before
