"""Which separator a command uses: the embedded one, a checkpoint, a configuration's, or the best of a workspace.

Example::

    model = chosen_model(checkpoint="workspace", config=None)     # the separator that its last round promoted
    separator = load_chosen(model, terminal_progress())
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data_specs.config import ModelConfig, load_config
from flows.completion import complete_config
from pipeline.progress import Progress, showing_downloads

if TYPE_CHECKING:
    from models.label_separator import LabelSeparator

Checkpoint = Annotated[
    str | None,
    typer.Option(
        metavar="CHECKPOINT",
        help="Checkpoint folder, a CLAPSep file or 'clapsep', or a workspace: its current separator.",
        show_default="embedded",
    ),
]
ModelOf = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="CONFIG",
        help="Take the models of this configuration (YAML file or preset).",
        autocompletion=complete_config,
    ),
]


def chosen_model(*, checkpoint: str | None, config: str | None) -> ModelConfig:
    """The models of ``config`` (or the embedded ones), the separator from ``checkpoint`` where that is given.

    A published checkpoint without a ``config`` is of the paper's size.

    Raises:
        UserError: no such configuration, or a workspace that cannot be read.
    """
    model = load_config(config).model if config else ModelConfig()
    if checkpoint is None:
        return model
    if (Path(checkpoint) / "workspace.json").is_file():
        from pipeline.workspace import Workspace

        workspace = Workspace(checkpoint)
        own = model if config else workspace.config.model
        return own.model_copy(update={"checkpoint": workspace.current_checkpoint()})
    if config:
        return model.model_copy(update={"checkpoint": checkpoint})
    from models.starting_point import model_for

    return model_for(checkpoint)


def load_chosen(model: ModelConfig, progress: Progress) -> "LabelSeparator":
    """Load a separator, showing what takes time: imports, downloads of published weights, loading.

    Raises:
        UserError: a checkpoint cannot be used.
    """
    with progress.task("load the separator", None), showing_downloads(progress) as shown:
        from models.label_separator import LabelSeparator

        return LabelSeparator.load(model, on_download=shown)
