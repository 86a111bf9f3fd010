"""Tables for people: the rounds of a workspace, and what ``doctor`` found.

Example::

    print_summary(summary(Workspace("./demo")))
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from data_specs.errors import few
from flows.status import stage_in_words

TIERS_IN_WORDS = "SST: tracks kept for self-separate training, ITT: for independent-track training."
WIDTH_OUTSIDE_A_TERMINAL, WIDTH_WITH_PATHS = 100, 240


def stdout_console(width: int = WIDTH_OUTSIDE_A_TERMINAL) -> Console:
    """A console on standard output; ``width`` keeps it from folding tables in log files and pipes."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=width)


def print_summary(content: dict[str, Any]) -> None:
    """Clips, one row per round, and what comes next."""
    console = stdout_console()
    console.print(f"Workspace {content['workspace']}", markup=False)
    for name, counts in content["clips"].items():
        broken = _broken_off(counts["truncated"]) if counts else ""
        line = f"  {name.replace('_', '-')} clips: {_counted(counts)}{broken}"
        console.print(line, markup=False, soft_wrap=True)
    tagged = [(state["round"], state["counts"]["tag"]) for state in content["rounds"] if "tag" in state["counts"]]
    for number, counts in tagged[-1:]:
        console.print(f"  tagged in round {number}: {_counted(counts)}", markup=False)
    if content["rounds"]:
        console.print(_rounds_table(content["rounds"]))
        console.print(TIERS_IN_WORDS, style="dim")
    for state in content["rounds"]:
        if state["failure"]:
            console.print(f"  round {state['round']} stopped: {state['failure']}", markup=False, soft_wrap=True)
    if content["in_use_by"]:
        console.print(f"In use by a {content['in_use_by']}.", markup=False, soft_wrap=True)
    console.print(resume_line(content["resume"]), markup=False)


def resume_line(resume: dict[str, Any] | None) -> str:
    """What the same run command would do next, in words."""
    if resume is None:
        return "Next: nothing is left to do; a larger --rounds adds a round."
    return f"Next: a resume starts round {resume['round']} at {stage_in_words(resume)}."


def print_doctor(facts: dict[str, Any]) -> None:
    """What is installed and found, then the problems."""
    console = stdout_console()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    memory = f"{facts['memory_gb']} GB memory, " if facts["memory_gb"] else ""
    table.add_row("engine", f"{facts['engine']} on Python {facts['python']}, {facts['environment']}")
    table.add_row("machine", f"{facts['cpus']} CPUs, {memory}{facts['free_disk_gb']} GB free disk")
    gpus = [f"{gpu['name']} ({gpu['memory_gb']} GB)" for gpu in facts["gpus"]]
    table.add_row("GPUs", ", ".join(gpus) or "none found: everything runs on the CPUs")
    for name, folder in facts["weights"].items():
        table.add_row(f"{name} weights", folder or "missing")
    public = facts["public_weights"]
    for one in public["files"]:
        table.add_row(one["name"], _weights_line(one))
    if not all(one["path"] for one in public["files"]):
        table.add_row("", f"looked in {' and '.join(public['folders'])}; data-engine weights fetch NAME gets one")
    for name, value in facts["settings"].items():
        table.add_row(name, value)
    table.add_row(
        "packages", ", ".join(f"{name} {version or 'MISSING'}" for name, version in facts["packages"].items())
    )
    console.print(table)
    for problem in facts["problems"]:
        console.print(f"problem: {problem}", markup=False, soft_wrap=True)
    if not facts["problems"]:
        console.print("No problems found.")


def print_separation(outcomes: Sequence[dict[str, Any]]) -> None:
    """What every track holds of its recording, then what went wrong, and the number of recordings by outcome."""
    console = stdout_console(WIDTH_WITH_PATHS)
    separated = [one for one in outcomes if one["outcome"] == "separated"]
    if separated:
        console.print(_tracks_table(separated))
    for one in separated:
        for remark in one["remarks"]:
            console.print(f"{one['recording']}: {remark}", markup=False, soft_wrap=True)
    for one in outcomes:
        if one["outcome"] == "failed":
            console.print(f"failed: {one['reason']}", markup=False, soft_wrap=True)
    counts = Counter(one["outcome"] for one in outcomes)
    if len(outcomes) > 1:
        console.print(f"{len(outcomes)} recordings: {', '.join(f'{n} {what}' for what, n in counts.items())}")


def _tracks_table(separated: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("recording", "track", "energy share", "fit", "heard", "file"):
        table.add_column(heading, justify="right" if heading in ("energy share", "fit") else "left", overflow="fold")
    for one in separated:
        name = Path(one["recording"]).name
        for track in one["tracks"]:
            fit = f"{track['fit']['recording']:.1f}"
            table.add_row(*map(Text, (name, track["label"], _share(track), fit, track["heard"], track["file"])))
            name = ""
        residual = one["residual"]
        table.add_row(*map(Text, ("", "residual", _share(residual), "", "", residual["file"])), style="dim")
    return table


def _share(track: dict[str, Any]) -> str:
    return "silent" if track["energy_share_db"] is None else f"{track['energy_share_db']:.1f} dB"


def _weights_line(weights: dict[str, Any]) -> str:
    if weights["path"] is None:
        size = decimal(weights["expected_bytes"]) if weights["expected_bytes"] else "size unknown"
        return f"not here ({size}): {weights['what']}"
    checked = "verified" if weights["verified"] else "verified at its next use"
    return f"{decimal(weights['size_bytes'])}, {checked}, {weights['path']}"


def _counted(counts: dict[str, Any] | None) -> str:
    if counts is None:
        return "not ingested yet"
    reasons = "".join(f"; {number} {_of_several(reason, number)}" for reason, number in counts["reasons"].items())
    return f"{counts['kept']} kept, {counts['dropped']} dropped, {counts['failed']} failed{reasons}"


def _broken_off(paths: list[str]) -> str:
    """Recordings that were kept as far as they go."""
    if not paths:
        return ""
    what = "1 recording breaks" if len(paths) == 1 else f"{len(paths)} recordings break"
    return f"; {what} off: {few([Path(path).name for path in paths], 3)}"


def _of_several(reason: str, number: int) -> str:
    return reason if number == 1 else reason.replace("by its owner", "by their owners")


def _rounds_table(rounds: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("round", "state", "clips", "SST", "ITT", "rejected", "SDRi before", "after", "promoted", "time"):
        table.add_column(heading, justify="left" if heading in ("state", "promoted") else "right")
    for state in rounds:
        separated = state["counts"].get("separate")
        promotion = state["promotion"]
        table.add_row(
            str(state["round"]),
            state["state"] + (f" at {state['next_stage']}" if state["next_stage"] else ""),
            f"{separated['kept']}/{separated['inputs']}" if separated else "-",
            *(str(state["tiers"].get(tier, "-")) for tier in ("sst", "itt", "rejected")),
            *(_decibels(state["sdri_db"][which]) for which in ("current", "candidate")),
            "-" if promotion is None else "yes" if promotion.get("promoted") else "no",
            f"{sum(state['timings_s'].values()):.0f} s",
        )
    return table


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} dB"
