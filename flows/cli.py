"""The command line ``data-engine``: every command, how errors become exit statuses, nothing else.

Exit status 0 is success, 2 an error of the user (one line that says what to do), 1 a fault (one line; ``--debug`` shows
the stack trace), 130 an interruption. Heavy packages are imported inside the commands, so that ``--help`` and
completion answer at once.

Example::

    data-engine run my-corpus.yaml --workspace ./workspace
"""

import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from data_specs.errors import UserError
from flows import (
    audio_commands,
    experiment_commands,
    output,
    plan_commands,
    round_commands,
    separate_command,
    weight_commands,
)
from flows.help import EngineCommand, EngineGroup

NAME = "data-engine"
FAULT, USER_ERROR, INTERRUPTED = 1, 2, 130

GROUPS = {
    "Rounds": (
        round_commands.demo,
        round_commands.run,
        round_commands.serve,
        round_commands.status,
        round_commands.report,
        plan_commands.plan,
    ),
    "Audio": (separate_command.separate, audio_commands.soundscapes, audio_commands.evaluate),
    "Installation": (round_commands.doctor, audio_commands.pretrain),
}

app = typer.Typer(name=NAME, cls=EngineGroup, pretty_exceptions_enable=False)
shards = typer.Typer(cls=EngineGroup)
weights = typer.Typer(cls=EngineGroup)
experiment = typer.Typer(cls=EngineGroup)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"{NAME} {metadata.version('sound-data-engine')}")
        raise typer.Exit


@app.callback()
def options(
    quiet: output.Quiet = False,
    as_json: output.AsJson = False,
    debug: output.Debug = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A self-improving data engine for sound separation: tag, separate, gate, shard, retrain, repeat.

    Examples::

        data-engine demo                                    # the whole loop
        data-engine run corpus.yaml --workspace workspace   # on your corpus
        data-engine separate street.ogg --label Car --out tracks
    """
    output.mode().also(quiet=quiet, as_json=as_json, debug=debug)


@shards.callback()
def shards_options() -> None:
    """Look into the shards of a workspace."""


@weights.callback()
def weights_options() -> None:
    """Get and check the weight files of others."""


@experiment.callback()
def experiment_options() -> None:
    """Measure the engine's claims on scenes whose truth is known."""


for panel, commands in GROUPS.items():
    for command in commands:
        app.command(cls=EngineCommand, rich_help_panel=panel)(output.with_output_options(command))
shards.command("verify", cls=EngineCommand)(output.with_output_options(round_commands.verify_shards))
app.add_typer(shards, name="shards", rich_help_panel="Rounds")
weights.command(cls=EngineCommand)(output.with_output_options(weight_commands.fetch))
weights.command(cls=EngineCommand)(output.with_output_options(weight_commands.forget))
app.add_typer(weights, name="weights", rich_help_panel="Installation")
for _experiment in (experiment_commands.rounds, experiment_commands.silence, experiment_commands.thresholds):
    experiment.command(_experiment.__name__, cls=EngineCommand)(output.with_output_options(_experiment))
app.add_typer(experiment, name="experiment", rich_help_panel="Audio")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    mode = output.begin()
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        status = app(words, prog_name=NAME, standalone_mode=False)
    except UserError as error:
        return _fail(USER_ERROR, str(error))
    except typer.TyperException as error:
        command = getattr(error, "ctx", None)
        path = command.command_path if command else NAME
        return _fail(error.exit_code, f"{error.format_message()} (see {path} --help)")
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as fault:  # the one place where a fault becomes an exit status
        if mode.debug:
            traceback.print_exception(fault)
        return _fail(FAULT, f"{type(fault).__name__}: {fault} (run again with --debug for the stack trace)")
    if status == INTERRUPTED:
        return _fail(INTERRUPTED, f"interrupted: {mode.after_interruption}")
    return status or 0


def _fail(status: int, message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status
