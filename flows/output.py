"""Where the words of a command go: its result to standard output, everything else to standard error.

Every command takes ``--quiet`` (only the result, in its shortest form), ``--json`` (the result as one JSON document)
and ``--debug``; ``with_output_options`` adds them to its signature, so that all commands have the same ones. Standard
output holds nothing but the result, whatever else is said on the way.

Example::

    note("Starting the flow ...")
    result({"report": path}, text=f"Report: {browsable(path)}", brief=path)
"""

import functools
import inspect
import json
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

PANEL = "Output"

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the result, no progress.", rich_help_panel=PANEL)]
AsJson = Annotated[bool, typer.Option("--json", help="The result as one JSON document.", rich_help_panel=PANEL)]
Debug = Annotated[bool, typer.Option("--debug", help="Show the stack trace of a fault.", rich_help_panel=PANEL)]
OPTIONS = {"quiet": Quiet, "as_json": AsJson, "debug": Debug}


@dataclass
class OutputMode:
    """What the user asked for; an option counts wherever it stands, before the command or after it."""

    quiet: bool = False
    as_json: bool = False
    debug: bool = False
    after_interruption: str = "nothing was finished"
    """What a command says after ctrl-c: what is done, and how to go on."""

    def also(self, *, quiet: bool, as_json: bool, debug: bool) -> None:
        """Switch on what is asked for."""
        self.quiet |= quiet
        self.as_json |= as_json
        self.debug |= debug


_MODE: ContextVar[OutputMode | None] = ContextVar("output_mode", default=None)


def begin() -> OutputMode:
    """A fresh mode for the command that starts now."""
    mode = OutputMode()
    _MODE.set(mode)
    return mode


def mode() -> OutputMode:
    """The mode of the running command; the default one outside of the command line."""
    return _MODE.get() or OutputMode()


def with_output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with ``--quiet``, ``--json`` and ``--debug`` behind its own options."""
    signature = inspect.signature(command)
    own = list(signature.parameters.values())
    extra = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=of)
             for name, of in OPTIONS.items()]  # fmt: skip

    @functools.wraps(command)
    def run(*, quiet: bool = False, as_json: bool = False, debug: bool = False, **arguments: Any) -> Any:
        mode().also(quiet=quiet, as_json=as_json, debug=debug)
        return command(**arguments)

    run.__signature__ = signature.replace(parameters=[*own, *extra])  # type: ignore[attr-defined]
    return run


def browsable(address: str) -> str:
    """A local path as the ``file://`` address that terminals make a link of and browsers open; others as they are."""
    return address if "://" in address else Path(address).absolute().as_uri()


def note(text: str) -> None:
    """A line for people on standard error; nothing with ``--quiet``."""
    if not mode().quiet:
        print(text, file=sys.stderr, flush=True)


def result(content: Any, *, text: str | Callable[[], None], brief: str = "") -> None:
    """What the command was asked for.

    Args:
        content: plain data for ``--json``.
        text: lines for people, or a function that prints them to standard output.
        brief: what is left of them with ``--quiet``; may be nothing.
    """
    if mode().as_json:
        print(json.dumps(content, indent=2, ensure_ascii=False), flush=True)
    elif mode().quiet:
        if brief:
            print(brief, flush=True)
    elif callable(text):
        text()
    else:
        print(text, flush=True)
