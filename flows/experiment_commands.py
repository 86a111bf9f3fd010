"""Commands that measure the engine's claims: ``data-engine experiment …``.

Example::

    data-engine experiment rounds --sources clips.csv --single fold1 --natural fold2 --test fold3 --out experiment
"""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from data_specs.config import load_config
from flows import output
from flows.console import terminal_progress
from flows.folders import check_folder


class ExperimentSize(StrEnum):
    """How much of everything an experiment takes."""

    default = "default"
    small = "small"


class GateArm(StrEnum):
    """The gates of the rounds experiment (``pipeline.experiments.rounds``)."""

    calibrated = "calibrated"
    paper = "paper"
    oracle_gate = "oracle-gate"


Sources = Annotated[
    str, typer.Option(metavar="LIST", help="Clip list with one label per recording and a split column.")
]
Single = Annotated[
    list[str], typer.Option(metavar="SPLIT", help="Split of single-source training clips; may be repeated.")
]
Natural = Annotated[
    list[str], typer.Option(metavar="SPLIT", help="Split that is mixed into natural clips; may be repeated.")
]
Test = Annotated[
    list[str], typer.Option(metavar="SPLIT", help="Split that is mixed into test scenes; may be repeated.")
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for checkpoints, results.json and the tables.")]
Seeds = Annotated[int, typer.Option(min=1, help="Number of seeds.")]
Amount = Annotated[ExperimentSize, typer.Option(help="Steps and scenes: default, or small for a try.")]
Settings = Annotated[
    str, typer.Option(metavar="CONFIG", help="Preset or YAML file; gate, training and model come from it.")
]


def rounds(
    sources: Sources,
    single: Single,
    natural: Natural,
    test: Test,
    out: Out,
    seeds: Seeds = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of every arm.")] = 3,
    gate: Annotated[
        list[GateArm] | None, typer.Option(help="Only this gate beside control and oracle; may be repeated.")
    ] = None,
    size: Amount = ExperimentSize.default,
    config: Settings = "experiment",
) -> None:
    """Do rounds improve the separator? Both gates against an equal-compute control and oracles.

    The single-source split trains the start and every arm, a part of it calibrates the gate. The natural split is mixed
    into clips whose truth only the oracles and the evaluation see. Interrupted, it goes on with the same call.

    Examples:
        data-engine experiment rounds --sources clips.csv --single fold1 --natural fold2 --test fold3 --out res
        data-engine experiment rounds --sources clips.csv --single a --natural b --test c --size small --out try
    """
    from pipeline.experiments.rounds import REFERENCES, run_rounds
    from pipeline.experiments.summary import fall_backs, figure, gap_won, partition_table, table

    splits = Splits(sources, single, natural, test)
    gates = [arm.value for arm in gate or GateArm]
    run = partial(run_rounds, rounds=rounds, arms=(*REFERENCES, *gates))
    results = _over_seeds(run, splits, out, seeds, size, config)
    won = {arm: gap_won(results, arm) for arm in gates}
    figure(results, out / "rounds.svg")
    verdicts = [*(_verdict(arm, one) for arm, one in won.items()), *fall_backs(results)]
    _finish(out, results, [table(results), partition_table(results), "\n".join(verdicts)], gap_won=won)


def silence(
    sources: Sources,
    single: Single,
    natural: Natural,
    test: Test,
    out: Out,
    seeds: Seeds = 3,
    size: Amount = ExperimentSize.default,
    config: Settings = "experiment",
) -> None:
    """What does silence augmentation bring, and cost? Tables 3 and 5 of the ClearSep paper in miniature.

    The single-source split trains once per silence rate. An interrupted experiment goes on with the same call.

    Examples:
        data-engine experiment silence --sources clips.csv --single fold1 --natural fold2 --test fold3 --out res
    """
    from pipeline.experiments.silence import run_silence
    from pipeline.experiments.summary import silence_table

    results = _over_seeds(run_silence, Splits(sources, single, natural, test), out, seeds, size, config)
    _finish(out, results, [silence_table(results)])


def recipes(
    sources: Sources,
    single: Single,
    natural: Natural,
    test: Test,
    out: Out,
    recipe: Annotated[
        list[str], typer.Option(metavar="CONFIG", help="Preset or YAML file with a train section; may be repeated.")
    ],
    seeds: Seeds = 3,
    size: Amount = ExperimentSize.default,
) -> None:
    """Which training recipe makes the best separator of single-source clips alone?

    Every recipe is trained on the single-source split, for the experiment's steps where it names none, and measured on
    the test split's scenes. An interrupted experiment goes on with the same call.

    Examples:
        data-engine experiment recipes --sources clips.csv --single a --natural b --test c --out res --recipe own.yaml
    """
    from pipeline.experiments.recipes import run_recipes
    from pipeline.experiments.summary import recipe_table

    configs = {name: load_config(name) for name in dict.fromkeys(recipe)}
    run = partial(run_recipes, recipes=configs)
    results = _over_seeds(run, Splits(sources, single, natural, test), out, seeds, size, recipe[0])
    _finish(out, results, [recipe_table(results)])


def thresholds(
    sources: Sources,
    single: Single,
    natural: Natural,
    test: Test,
    out: Out,
    seeds: Seeds = 3,
    size: Amount = ExperimentSize.default,
    config: Settings = "experiment",
) -> None:
    """Which remix threshold for which kind of training? Table 6 of the ClearSep paper in miniature.

    The natural split is mixed into clips, separated once, and trained on by what exceeds 10 and 15 dB. An interrupted
    experiment goes on with the same call.

    Examples:
        data-engine experiment thresholds --sources clips.csv --single fold1 --natural fold2 --test fold3 --out res
    """
    from pipeline.experiments.summary import threshold_table
    from pipeline.experiments.thresholds import run_thresholds

    results = _over_seeds(run_thresholds, Splits(sources, single, natural, test), out, seeds, size, config)
    _finish(out, results, [threshold_table(results)])


def over_separation(out: Out, seeds: Seeds = 3, size: Amount = ExperimentSize.default) -> None:
    """Does sparsity keep MixIT from over-separating? The main finding of Wisdom et al. 2021 in miniature.

    An unconditional separator learns from mixtures of built-in scenes, without a sparsity loss and with each; single
    sounds should then stay whole, and mixtures come apart as well. An interrupted experiment goes on with the same
    call.

    Examples:

        data-engine experiment over-separation --out res
        data-engine experiment over-separation --out try --size small --seeds 1
    """
    check_folder(out)
    from pipeline.experiments import over_separation as study

    chosen = study.SMALL if size == ExperimentSize.small else study.DEFAULT
    output.mode().after_interruption = f"what is finished is in {out}, the same command goes on from there"
    chosen = chosen.model_copy(update={"seeds": tuple(range(seeds))})
    results = study.run_study(chosen, out, terminal_progress())
    text = study.table(results)
    (out / "table.md").write_text(text, encoding="utf-8")
    output.result(results, text=text, brief=str(out / study.RESULTS))


def gap(
    sources: Annotated[
        str, typer.Option(metavar="LIST|builtin", help="'builtin', or a clip list as for the other experiments.")
    ] = "builtin",
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="SPLIT", help="Only this split of the list; may be repeated."),
    ] = None,
    clap: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Query encoder; may be repeated. Default: embedded.")
    ] = None,
) -> None:
    """How far are sounds from their texts in a query encoder? The mean cosine of both, up to 64 sounds.

    Separators that were trained with sounds as queries take texts as far as the two agree. An encoder that seldom finds
    a sound's own label the nearest of all labels here does not know these sounds: see 'data-engine weights adapt'.

    Examples:
        data-engine experiment gap
        data-engine experiment gap --sources clips.csv --split fold1 --clap embedded --clap laion-clap
    """
    from data_specs.config import Config
    from models.query_encoders import QUERY_RATE_HZ, load_query_encoder
    from pipeline.encoder_gap import builtin_sounds, clip_sounds, gap_of
    from pipeline.experiments.material import clips_of
    from pipeline.experiments.summary import markdown

    if sources == "builtin":
        sounds = list(builtin_sounds(sample_rate_hz=QUERY_RATE_HZ))
    else:
        clips = clips_of(sources, split or ("",), Config(), terminal_progress())
        sounds = list(clip_sounds(clips, sample_rate_hz=QUERY_RATE_HZ))
    found = {name: gap_of(sounds, load_query_encoder(name)) for name in clap or ["embedded"]}
    rows = [
        [
            name,
            f"{own['sounds']}",
            f"{own['matching_cosine']:.2f}",
            f"{own.get('other_cosine', float('nan')):.2f}",
            f"{100 * own['own_is_nearest']:.0f} %",
        ]
        for name, own in found.items()
    ]
    heading = ["query encoder", "sounds", "cosine with their own label", "with other labels", "own is the nearest"]
    text = markdown(heading, rows)
    output.result(found, text=text, brief=rows[0][2])


class Splits(NamedTuple):
    """A clip list, and which of its splits serves what."""

    sources: str
    single: Sequence[str]
    natural: Sequence[str]
    test: Sequence[str]


def _over_seeds(
    run: Callable[..., list[dict[str, Any]]], splits: Splits, out: Path, seeds: int, size: ExperimentSize, config: str
) -> list[dict[str, Any]]:
    """The results of an experiment for every seed, each in its own folder."""
    check_folder(out)
    from pipeline.experiments.material import DEFAULT, SMALL, read_material

    settings = load_config(config)
    chosen = SMALL if size == ExperimentSize.small else DEFAULT
    output.mode().after_interruption = f"what is finished is in {out}, the same command goes on from there"
    progress = terminal_progress()
    results: list[dict[str, Any]] = []
    for seed in range(seeds):
        progress.say(f"seed {seed}")
        material = read_material(**splits._asdict(), config=settings, size=chosen, seed=seed, progress=progress)
        results += run(material, settings, size=chosen, seed=seed, out=out / f"seed-{seed}", progress=progress)
    return results


def _finish(out: Path, results: list[dict[str, Any]], parts: Sequence[str], **more: Any) -> None:
    """Store results and tables, and print the tables."""
    content = {"results": results, **more}
    text = "\n".join(part for part in parts if part)
    (out / "results.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (out / "table.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    output.result(content, text=text, brief=str(out / "results.json"))


def _verdict(arm: str, won: dict[str, Any]) -> str:
    share = "no gap was there to win" if won["share"] is None else f"{100 * won['share']:.0f} % of the gap won"
    return (
        f"{arm}: {share} (control to oracle: {won['gap_db']:.2f} dB); "
        f"{won['below_control']} of {won['seeds']} seeds end below their control"
    )
