"""The command ``train-unconditional``: the separator that needs no labels, from the clips of a corpus.

Example::

    data-engine train-unconditional corpus.yaml --workspace workspace --out unconditional
"""

from pathlib import Path
from typing import Annotated

import typer

from data_specs.config import load_config
from flows.console import terminal_progress
from flows.folders import check_folder
from flows.output import mode, note, result
from flows.round_commands import ConfigName, WorkspaceUri


def train_unconditional(
    config: ConfigName,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the weights and their configuration.")],
    workspace: WorkspaceUri = "./workspace",
    start: Annotated[str, typer.Option(metavar="DIR", help="Train this one on, instead of a new one.")] = "",
    steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Training steps; else unconditional.steps of CONFIG.")
    ] = None,
) -> None:
    """Train the unconditional separator on natural clips, without labels and single sources (MixIT).

    Takes the corpora in as a run does. Afterwards set separate.source to label_free or both, and separate.unconditional
    to DIR.

    Examples::

        data-engine train-unconditional corpus.yaml --workspace workspace --out unconditional
        data-engine train-unconditional corpus.yaml --out better --start unconditional --steps 20000
    """
    check_folder(out)
    from flows.status import absolute, absolute_config
    from pipeline.claim import claimed
    from pipeline.round import open_workspace
    from pipeline.unconditional_train import train_unconditional as train
    from pipeline.workspace import Workspace

    workspace = absolute(workspace)
    settings = load_config(absolute_config(config), {"unconditional": {"steps": steps}} if steps else None)
    mode().after_interruption = "the same command begins the training again; the clips are in the workspace"
    progress = terminal_progress()
    with claimed(Workspace(workspace).storage, purpose="train-unconditional"):
        opened = open_workspace(settings, workspace, progress)
    trained = train(opened, settings, out, start=start, progress=progress)
    measured = "held-back clips" if trained.held_back else "its own clips (too few to hold some back)"
    if trained.loss_db >= trained.loss_before_db:
        note("The loss has not fallen: train for longer, or with another unconditional.learning_rate.")
    result(
        {**trained.model_dump(mode="json"), "checkpoint": str(out)},
        text=f"{trained.steps} steps on {trained.clips} clips: loss {trained.loss_before_db:.2f} -> "
        f"{trained.loss_db:.2f} dB on {measured}\n{out}",
        brief=str(out),
    )
