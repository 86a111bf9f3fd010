"""The command line ``data-engine``: every command, how errors become exit statuses, nothing else.

Exit status 0 is success, 2 an error of the user (one line that says what to do), 1 a fault (one line; ``--debug`` shows
the stack trace). Heavy packages are imported inside the commands, so that ``--help`` answers at once.

Example::

    data-engine run my-corpus.yaml --workspace ./workspace
"""

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from data_specs.errors import UserError
from flows import audio_commands, round_commands

DEBUG = "--debug"
INTERRUPTED = 130

app = typer.Typer(name="data-engine", add_completion=False, pretty_exceptions_enable=False)
shards = typer.Typer(help="Look into the shards of a workspace.")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the stack trace of a fault; works anywhere.")] = False,
) -> None:
    """A self-improving data engine for sound separation: tag, separate, gate, shard, retrain, repeat."""


for command in (
    round_commands.demo,
    round_commands.run,
    round_commands.serve,
    round_commands.status,
    round_commands.report,
    audio_commands.soundscapes,
    audio_commands.evaluate,
    audio_commands.separate,
    audio_commands.pretrain,
    round_commands.doctor,
):
    app.command()(command)
shards.command("verify")(round_commands.verify_shards)
app.add_typer(shards, name="shards")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    words = [word for word in given if word != DEBUG] or ["--help"]
    try:
        status = app(words, prog_name="data-engine", standalone_mode=False)
    except UserError as error:
        return _fail(2, str(error))
    except typer.TyperException as error:
        command = getattr(error, "ctx", None)
        path = command.command_path if command else "data-engine"
        return _fail(error.exit_code, f"{error.format_message()} (see {path} --help)")
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as fault:  # the one place where a fault becomes an exit status
        if DEBUG in given:
            traceback.print_exception(fault)
        return _fail(1, f"{type(fault).__name__}: {fault} (run again with {DEBUG} for the stack trace)")
    if status == INTERRUPTED:
        return _fail(INTERRUPTED, "interrupted: the same command continues where it stopped")
    return status or 0


def _fail(status: int, message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status
