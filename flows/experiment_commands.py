"""Commands that measure the engine's claims: ``data-engine experiment …``.

Example::

    data-engine experiment rounds --sources clips.csv --single fold1 --natural fold2 --test fold3 --out experiment
"""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from data_specs.config import load_config
from flows import output
from flows.console import terminal_progress


class ExperimentSize(StrEnum):
    """How much of everything an experiment takes."""

    default = "default"
    small = "small"


def rounds(
    sources: Annotated[str, typer.Option(help="Clip list with one label per recording and a split column.")],
    single: Annotated[list[str], typer.Option(help="Split of single-source training clips; may be repeated.")],
    natural: Annotated[list[str], typer.Option(help="Split that is mixed into natural clips; may be repeated.")],
    test: Annotated[list[str], typer.Option(help="Split that is mixed into test scenes; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, results.json, the table and the figure.")],
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of every arm.")] = 3,
    size: Annotated[ExperimentSize, typer.Option(help="Steps and scenes: default, or small for a try.")] = (
        ExperimentSize.default
    ),
    config: Annotated[str, typer.Option(help="Preset or YAML file; gate, training and model come from it.")] = (
        "experiment"
    ),
) -> None:
    """Do rounds improve the separator? Both gates against an equal-compute control and an oracle.

    The single-source split trains the start and every arm, a part of it calibrates the gate. The natural split is mixed
    into clips whose truth only the oracle and the evaluation see. An interrupted experiment goes on with the same call.

    Examples:
        data-engine experiment rounds --sources clips.csv --single fold1 --natural fold2 --test fold3 --out res
        data-engine experiment rounds --sources clips.csv --single a --natural b --test c --size small --out try
    """
    from pipeline.experiments.material import DEFAULT, SMALL, read_material
    from pipeline.experiments.rounds import run_rounds
    from pipeline.experiments.summary import figure, gap_won, table

    settings = load_config(config)
    chosen = SMALL if size == ExperimentSize.small else DEFAULT
    output.mode().after_interruption = f"what is finished is in {out}, the same command goes on from there"
    progress = terminal_progress()
    results: list[dict[str, Any]] = []
    for seed in range(seeds):
        progress.say(f"seed {seed}")
        material = read_material(
            sources,
            single=single,
            natural=natural,
            test=test,
            config=settings,
            size=chosen,
            seed=seed,
            progress=progress,
        )
        results += run_rounds(
            material, settings, size=chosen, rounds=rounds, seed=seed, out=out / f"seed-{seed}", progress=progress
        )
    won = {arm: gap_won(results, arm) for arm in ("paper", "calibrated")}
    content = {"results": results, "gap_won": won}
    (out / "results.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (out / "table.md").write_text(table(results), encoding="utf-8")
    figure(results, out / "rounds.svg")
    verdicts = [_verdict(arm, one) for arm, one in won.items()]
    output.result(content, text="\n".join([table(results), *verdicts]), brief=str(out / "results.json"))


def _verdict(arm: str, won: dict[str, Any]) -> str:
    share = "no gap was there to win" if won["share"] is None else f"{100 * won['share']:.0f} % of the gap won"
    return (
        f"{arm}: {share} (control to oracle: {won['gap_db']:.2f} dB); "
        f"{won['below_control']} of {won['seeds']} seeds end below their control"
    )
