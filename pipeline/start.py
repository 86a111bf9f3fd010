"""The separator that the first round starts from, when it is made from the files of others.

A workspace keeps it as a checkpoint of ours in ``start/``, made once before its corpora are taken in. So every worker
on every machine starts from the same weights without having the files, and a bad file is found before any work.

Example::

    make_start(workspace, config, progress)       # nothing to do for a checkpoint of ours
    workspace.current_checkpoint()                # ".../start"
"""

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from data_specs.config import Config
from pipeline.progress import Progress, Task
from pipeline.workspace import START_ORIGIN, Workspace


def make_start(workspace: Workspace, config: Config, progress: Progress) -> None:
    """Make ``start/`` as ``config.model`` says, unless it is there; take away what another configuration left.

    Raises:
        UserError: a file is missing, damaged, or of another size or architecture.
    """
    from models.checkpoints import SEPARATOR_FILES, save_separator
    from models.starting_point import is_made_from_others, starting_separator

    origin = json.dumps(config.model.model_dump(mode="json") | {"seed": config.seed}, indent=2) + "\n"
    start = workspace.start
    if start.is_file(START_ORIGIN):
        if is_made_from_others(config.model) and start.read_bytes(START_ORIGIN).decode() == origin:
            return
        start.delete(START_ORIGIN)
    if not is_made_from_others(config.model):
        return
    with ExitStack() as tasks, tempfile.TemporaryDirectory(prefix="sound-data-engine-") as folder:
        shown = Downloads(progress, tasks)
        save_separator(starting_separator(config.model, seed=config.seed, on_download=shown), Path(folder))
        for name in SEPARATOR_FILES:
            start.upload(Path(folder) / name, name)
    start.write_bytes(START_ORIGIN, origin.encode())
    progress.say(f"the first round starts from {config.model.checkpoint}, kept in {start.uri}")


class Downloads:
    """Shows downloads in megabytes, each as a task."""

    def __init__(self, progress: Progress, tasks: ExitStack) -> None:
        self._progress, self._tasks = progress, tasks
        self._running: dict[str, tuple[Task, int]] = {}

    def __call__(self, name: str, done: int, total: int | None) -> None:
        done_mb, total_mb = done // 1_000_000, None if total is None else total // 1_000_000
        if name not in self._running:
            task = self._tasks.enter_context(self._progress.task(f"download {name} (MB)", total_mb))
            self._running[name] = task, 0
        task, shown_mb = self._running[name]
        task.advance(done_mb - shown_mb)
        self._running[name] = task, done_mb
