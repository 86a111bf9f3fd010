"""The help of a command: what it does, examples, arguments, options; the same in a terminal and in a pipe.

The text and the examples come from the docstring of the command's function, the examples under ``Examples::``, one
command line each (a ``#`` begins a remark). The layout fits 80 columns; colours only where the terminal has them.

Example::

    app.command(cls=EngineCommand)(separate)       # data-engine separate --help
"""

import re
from collections.abc import Iterable
from inspect import cleandoc
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

EXAMPLES = re.compile(r"^Examples::?$", re.MULTILINE)
WIDTH_MAX = 100
NAMES_MAX = 26
VALUE_NAMES = {"str": "TEXT", "path": "PATH", "int": "N", "float": "NUMBER"}

Rows = list[tuple[str, str]]


def split_examples(docstring: str) -> tuple[str, list[str]]:
    """The text of a docstring, and the command lines that it gives as examples."""
    text, *examples = EXAMPLES.split(cleandoc(docstring), maxsplit=1)
    return text.strip(), [line.strip() for line in "".join(examples).splitlines() if line.strip()]


class EngineCommand(TyperCommand):
    """A command whose help shows its examples first."""

    def format_help(self, ctx: Any, formatter: object) -> None:
        """Print the help."""
        _print_help(self, ctx)


class EngineGroup(TyperGroup):
    """A group of commands, listed under the headings that they were registered with."""

    def format_help(self, ctx: Any, formatter: object) -> None:
        """Print the help."""
        _print_help(self, ctx)


def _print_help(command: TyperCommand | TyperGroup, ctx: Any) -> None:
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH_MAX)
    text, examples = split_examples(command.help or "")
    with console.capture() as printed:
        usage = "\n".join(_folded(f"{ctx.command_path} {_usage(command, ctx)}", console.width - 7))
        console.print(Text.assemble(("Usage: ", "bold"), usage))
        for paragraph in text.split("\n\n"):
            console.print()
            console.print(" ".join(paragraph.split()), markup=False)
        if examples:
            _print_heading(console, "Examples")
        for line in examples:
            shown, hash_sign, remark = line.partition("  #")
            remark = f"  #{remark}" if hash_sign else ""
            for part in _folded(shown, console.width - 4):
                console.print(Text.assemble("  ", (part, "cyan"), (remark, "dim")), soft_wrap=True)
        for heading, rows in _sections(command, ctx):
            _print_heading(console, heading)
            console.print(_table(rows))
    print("\n".join(line.rstrip() for line in printed.get().rstrip().splitlines()))


def _folded(command_line: str, width: int) -> list[str]:
    """A command line as lines that fit, broken before options in the way of a shell."""
    lines = [""]
    for part in re.split(r" (?=--|\[OPTIONS)", command_line):
        if lines[-1] and len(lines[-1]) + len(part) + 3 > width:
            lines[-1] += " \\"
            lines.append("    " + part)
        else:
            lines[-1] += (" " if lines[-1] else "") + part
    return lines


def _usage(command: TyperCommand | TyperGroup, ctx: Any) -> str:
    """Arguments and required options by name, the others as a word."""
    parameters = command.get_params(ctx)
    arguments = [_argument_name(one) for one in parameters if isinstance(one, TyperArgument)]
    required = [
        f"{one.opts[0]} {_value_name(one, ctx)}" for one in parameters if isinstance(one, TyperOption) and one.required
    ]
    group = ["COMMAND [ARGS]..."] if isinstance(command, TyperGroup) else []
    return " ".join([*arguments, *required, "[OPTIONS]", *group])


def _argument_name(argument: TyperArgument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    name += "..." if argument.nargs != 1 and not name.endswith("...") else ""
    return name if argument.required else f"[{name}]"


def _value_name(option: TyperOption, ctx: Any) -> str:
    """What stands for an option's value; its type in words where the option does not say."""
    if option.metavar is not None:
        return option.metavar
    kind = re.sub(r"^<(?:list\[)?|\]?>$", "", option.display_type(ctx))
    return VALUE_NAMES.get(kind.removesuffix(" range"), kind)


def _print_heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "bold"))


def _table(rows: Rows) -> Padding:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=min(NAMES_MAX, max(len(name) for name, _ in rows)), max_width=NAMES_MAX)
    table.add_column()
    for name, text in rows:
        table.add_row(Text(name, "cyan"), Text(text))
    return Padding(table, (0, 0, 0, 2))


def _sections(command: TyperCommand | TyperGroup, ctx: Any) -> Iterable[tuple[str, Rows]]:
    """Headings and their rows: commands, arguments, options, the options that all commands have."""
    sections: dict[str, Rows] = {}
    arguments: Rows = []
    options: dict[str, Rows] = {"Options": []}
    if isinstance(command, TyperGroup):
        for name in command.list_commands(ctx):
            one = command.get_command(ctx, name)
            if one is not None and not one.hidden:
                row = (name, split_examples(one.help or "")[0].partition("\n\n")[0].replace("\n", " "))
                sections.setdefault(getattr(one, "rich_help_panel", None) or "Commands", []).append(row)
    for parameter in command.get_params(ctx):
        name, text = parameter.get_help_record(ctx) or ("", "")
        if isinstance(parameter, TyperOption) and not parameter.is_flag and name:
            name = f"{', '.join(parameter.opts)} {_value_name(parameter, ctx)}"
        text = text.replace("; x>=1]", "]").replace("[x>=1]", "").replace("x>=", "at least ")
        if isinstance(parameter, TyperArgument):
            arguments.append((_argument_name(parameter), text.replace("[required]", "").strip()))
        elif isinstance(parameter, TyperOption) and name:
            options.setdefault(parameter.rich_help_panel or "Options", []).append((name, text))
    sections |= {"Arguments": arguments} | options
    return [(heading, rows) for heading, rows in sections.items() if rows]
