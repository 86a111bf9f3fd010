"""The command line ``data-engine``: every command, how errors become exit statuses, nothing else.

Exit status 0 is success, 2 an error of the user (one line that says what to do), 1 a fault (one line; ``--debug`` shows
the stack trace), 130 an interruption (ctrl-c or SIGTERM). Heavy packages are imported inside the commands, so that
``--help`` and completion answer at once.

Example::

    data-engine run my-corpus.yaml --workspace ./workspace
"""

import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Annotated, Any

import typer

from data_specs.errors import UserError
from flows import (
    audio_commands,
    experiment_commands,
    family_commands,
    output,
    plan_commands,
    round_commands,
    separate_command,
    unconditional_command,
    weight_commands,
)
from flows.help import EngineCommand, EngineGroup
from flows.interruption import interrupt_by_signals
from flows.output import with_output_options

NAME = "data-engine"
FAULT, USER_ERROR, INTERRUPTED = 1, 2, 130

COMMANDS = {
    "Rounds": (
        round_commands.demo,
        round_commands.run,
        round_commands.serve,
        round_commands.status,
        round_commands.report,
        plan_commands.plan,
        unconditional_command.train_unconditional,
    ),
    "Audio": (separate_command.separate,),
    "Measuring": (audio_commands.evaluate, audio_commands.soundscapes),
    "Installation": (round_commands.doctor, audio_commands.pretrain),
}
"""Every command by the heading that the help lists it under."""

GROUPS: dict[str, tuple[str, str, dict[str, Callable[..., Any]]]] = {
    "shards": (
        "Rounds",
        """Look into the shards of a workspace.

        Examples::

            data-engine shards verify workspace
        """,
        {"verify": round_commands.verify_shards},
    ),
    "experiment": (
        "Measuring",
        """Measure the engine's claims on scenes whose truth is known.

        Examples::

            data-engine experiment gap
            data-engine experiment families --out families
        """,
        {
            "rounds": experiment_commands.rounds,
            "silence": experiment_commands.silence,
            "recipes": experiment_commands.recipes,
            "thresholds": experiment_commands.thresholds,
            "over-separation": experiment_commands.over_separation,
            "families": family_commands.families,
            "audio-queries": family_commands.audio_queries,
            "weak-supervision": family_commands.weak_supervision,
            "gap": experiment_commands.gap,
        },
    ),
    "weights": (
        "Installation",
        """Get and check the weight files of others, adapt the embedded query encoder.

        Examples::

            data-engine weights fetch clapsep laion-clap roberta-base
            data-engine weights adapt --sources clips.csv --split fold1 --out my-clap
        """,
        {"fetch": weight_commands.fetch, "forget": weight_commands.forget, "adapt": weight_commands.adapt},
    ),
}
"""Commands of two words: heading, help, and the second words."""

app = typer.Typer(name=NAME, cls=EngineGroup, pretty_exceptions_enable=False)


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


for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(cls=EngineCommand, rich_help_panel=panel)(with_output_options(command))
for name, (panel, text, second_words) in GROUPS.items():
    group = typer.Typer(cls=EngineGroup, help=text)
    for word, command in second_words.items():
        group.command(word, cls=EngineCommand)(with_output_options(command))
    app.add_typer(group, name=name, rich_help_panel=panel)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    mode = output.begin()
    interrupt_by_signals()
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
        if isinstance(fault, OSError):
            from pipeline.faults import repairable  # loads pyarrow

            if repair := repairable(fault, str(fault.filename or "the result")):
                return _fail(USER_ERROR, str(repair))
        return _fail(FAULT, f"{type(fault).__name__}: {fault} (run again with --debug for the stack trace)")
    if status == INTERRUPTED:
        return _fail(INTERRUPTED, f"interrupted: {mode.after_interruption}")
    return status or 0


def _fail(status: int, message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status
