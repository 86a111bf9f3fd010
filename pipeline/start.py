"""The separator that the first round starts from, when it is made from the files of others.

A workspace keeps it as a checkpoint of ours in ``start/``, made once before its corpora are taken in. So every worker
on every machine starts from the same weights without having the files, and a bad file is found before any work.

Example::

    make_start(workspace, config, progress)       # nothing to do for a checkpoint of ours
    workspace.current_checkpoint()                # ".../start"
"""

import json
import tempfile
from pathlib import Path

from data_specs.config import Config
from pipeline.progress import Progress, showing_downloads
from pipeline.workspace import START_ORIGIN, Workspace


def check_start(config: Config) -> None:
    """Make sure that a checkpoint of ours can be used; what is made from other files is checked when it is made.

    Raises:
        UserError: files are missing, damaged, or of another architecture than they say.
    """
    from models.checkpoints import EMBEDDED, load_separator
    from models.starting_point import is_made_from_others

    if config.model.checkpoint != EMBEDDED and not is_made_from_others(config.model):
        load_separator(config.model.checkpoint)


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
    with showing_downloads(progress) as shown, tempfile.TemporaryDirectory(prefix="sound-data-engine-") as folder:
        save_separator(starting_separator(config.model, seed=config.seed, on_download=shown), Path(folder))
        for name in SEPARATOR_FILES:
            start.upload(Path(folder) / name, name)
    start.write_bytes(START_ORIGIN, origin.encode())
    progress.say(f"the first round starts from {config.model.checkpoint}, kept in {start.uri}")
