"""Commands that compare ways to learn from the same scenes in the same time: ``data-engine experiment families``, ….

Example::

    data-engine experiment families --out families --family weak --family supervised
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from data_specs.errors import UserError
from flows import output
from flows.console import terminal_progress
from flows.experiment_commands import Amount, ExperimentSize, Seeds
from flows.folders import check_folder

if TYPE_CHECKING:  # importing these takes seconds
    from pipeline.experiments.family_runs import Comparison

Folder = Annotated[Path, typer.Option(metavar="DIR", help="Folder for results.json, table and figure.")]
Sources = Annotated[
    str, typer.Option(metavar="LIST|builtin", help="'builtin', or a clip list as for the other experiments.")
]
Train = Annotated[
    list[str] | None, typer.Option(metavar="SPLIT", help="Split to mix training scenes of; may be repeated.")
]
Test = Annotated[list[str] | None, typer.Option(metavar="SPLIT", help="Split to mix test scenes of; may be repeated.")]
Minutes = Annotated[
    float | None, typer.Option(min=0.001, help="Training time of every run: the processor's on a CPU. Default: 5.")
]
Names = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this family; may be repeated.")]
Paired = Annotated[
    bool,
    typer.Option(
        "--paired/--independent", help="Whether a label is only heard together with its companion, or with any other."
    ),
]
Clap = Annotated[str, typer.Option(metavar="DIR", help="Query encoder: 'embedded', or a folder of 'weights adapt'.")]


def families(
    out: Folder,
    sources: Sources = "builtin",
    train: Train = None,
    test: Test = None,
    seeds: Seeds = 3,
    minutes: Minutes = None,
    family: Names = None,
    clap: Clap = "embedded",
    size: Amount = ExperimentSize.default,
) -> None:
    """Which way to learn from the same scenes in the same time? One table and one figure over all families.

    Interrupted, it goes on with the same call; more seeds or families add to what is there.

    Examples:
        data-engine experiment families --out families
        data-engine experiment families --sources clips.csv --train fold1 --test fold2 --out esc --minutes 2
        data-engine experiment families --sources clips.csv --train fold1 --test fold2 --out own --clap my-clap
        data-engine experiment families --out try --family weak --family supervised --size small
    """
    check_folder(out)
    from pipeline.experiments.families import FAMILIES
    from pipeline.experiments.family_runs import FAMILY_COMPARISON

    scenes = _scenes(sources, train, test)
    asked = {**scenes, "families": tuple(family or FAMILIES), "seeds": seeds, "clap": clap}
    _compare(asked, minutes, size, out, FAMILY_COMPARISON)


def audio_queries(
    out: Folder,
    sources: Sources = "builtin",
    train: Train = None,
    test: Test = None,
    seeds: Seeds = 3,
    minutes: Minutes = None,
    family: Names = None,
    clap: Clap = "embedded",
    size: Amount = ExperimentSize.default,
) -> None:
    """Can sounds take the place of texts as queries in training? With and without noise, dropout and other changes.

    All are tested with texts. Default: text, audio, audio-noise and audio-dropout. Interrupted, it goes on with the
    same call; more seeds or families add to what is there.

    Examples:
        data-engine experiment audio-queries --out audio-queries
        data-engine experiment audio-queries --sources clips.csv --train fold1 --test fold2 --clap my-clap --out own
        data-engine experiment audio-queries --out try --family audio --family audio-pca --size small
    """
    check_folder(out)
    from pipeline.experiments.audio_only import AUDIO_QUERIES, USUAL

    scenes = _scenes(sources, train, test)
    asked = {**scenes, "families": tuple(family or USUAL), "seeds": seeds, "clap": clap}
    _compare(asked, minutes, size, out, AUDIO_QUERIES)


def weak_supervision(
    out: Folder,
    sources: Sources = "builtin",
    train: Train = None,
    test: Test = None,
    seeds: Seeds = 3,
    minutes: Minutes = None,
    family: Names = None,
    clap: Clap = "embedded",
    paired: Paired = True,
    size: Amount = ExperimentSize.default,
) -> None:
    """What does a judge of single sounds add to labelled mixtures? Weak supervision, mix-and-separate, supervision.

    The judge is the query encoder. Interrupted, it goes on with the same call; more seeds or families add to what is
    there.

    Examples:
        data-engine experiment weak-supervision --out weak
        data-engine experiment weak-supervision --independent --out independent
        data-engine experiment weak-supervision --sources clips.csv --train fold1 --test fold2 --clap my-clap --out own
    """
    check_folder(out)
    from pipeline.experiments.weak_supervision import WEAK_SUPERVISION, WEAKLY

    scenes = _scenes(sources, train, test)
    asked = {**scenes, "families": tuple(family or WEAKLY), "seeds": seeds, "clap": clap, "paired": paired}
    _compare(asked, minutes, size, out, WEAK_SUPERVISION)


def _scenes(sources: str, train: list[str] | None, test: list[str] | None) -> dict[str, Any]:
    """The options on scenes as ``FamilyExperiment`` calls them."""
    return {"sources": sources, "train_splits": tuple(train or ()), "test_splits": tuple(test or ())}


def _compare(
    asked: dict[str, Any], minutes: float | None, size: ExperimentSize, out: Path, comparison: "Comparison"
) -> None:
    """Run families of training, and show their table."""
    from pipeline.experiments.family_runs import SMALL, FamilyExperiment, run_families
    from pipeline.experiments.family_summary import FIGURE, TABLE

    small = SMALL if size == ExperimentSize.small else {}
    given = {} if minutes is None else {"minutes": minutes}
    try:
        experiment = FamilyExperiment.model_validate({**asked, **small, **given})
    except ValidationError as error:
        raise UserError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    output.mode().after_interruption = f"what is finished is in {out}, the same command goes on from there"
    results = run_families(experiment, out, terminal_progress(), comparison)
    output.result(results, text=f"{(out / TABLE).read_text('utf-8')}\n{out / FIGURE}", brief=str(out / TABLE))
