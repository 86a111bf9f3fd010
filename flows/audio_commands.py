"""Commands that need no workspace: make scenes, evaluate a checkpoint, train the tiny models.

Each is a plain function with its options in the signature; ``flows.cli`` registers them.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from data_specs.config import CorpusConfig, load_config
from data_specs.errors import UserError
from flows.chosen_model import Checkpoint, ModelOf, chosen_model, load_chosen
from flows.console import terminal_progress
from flows.folders import check_file, check_folder
from flows.output import note, result

BUILTIN, TRUTH = "builtin", "truth.csv"


def soundscapes(
    sources: Annotated[str, typer.Option(metavar="CLIPS|builtin", help="Single-source clip list, or 'builtin'.")],
    count: Annotated[int, typer.Option(metavar="N", min=1, help="How many scenes.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for clips.csv, audio, truth and recipes.")],
    split: Annotated[str, typer.Option(metavar="NAME", help="Take only this split of the clip list.")] = "",
    duration: Annotated[float | None, typer.Option(metavar="SECONDS", min=0.5, help="Length of a scene.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed gives other scenes.")] = 0,
) -> None:
    """Make natural-like scenes of 2-4 labels with known truth, from built-in events or single-source clips.

    Examples::

        data-engine soundscapes --sources builtin --count 20 --out scenes
        data-engine soundscapes --sources singles/clips.csv --count 60 --out scenes
    """
    check_folder(out)
    from data_specs.corpus import read_corpus
    from data_specs.soundscapes import BuiltinSource, EventSource
    from pipeline.scenes import ClipSource, write_scenes

    config = load_config("embedded")
    source: EventSource = BuiltinSource()
    if sources != BUILTIN:
        source = clips = ClipSource(read_corpus(CorpusConfig(kind="clip_list", path=sources, split=split)))
        for line in clips.notes:
            note(line)
    path = write_scenes(
        source,
        count=count,
        out=out,
        config=config,
        seed=seed,
        duration_s=duration or config.audio.clip_duration_s,
        progress=terminal_progress(),
    )
    result({"scenes": count, "clips": str(path)}, text=f"{count} scenes: {path}", brief=str(path))


def evaluate(
    out: Annotated[Path, typer.Option(metavar="JSON", help="Where the metrics go.")],
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="LIST", help="Pair list: the engine's own columns, or a published CLAPSep list."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the audio files that the pair list names.")
    ] = None,
    scenes: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Instead of pairs: a folder that 'soundscapes' wrote.")
    ] = None,
    checkpoint: Checkpoint = None,
    config: ModelOf = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only so many first pairs.")] = None,
) -> None:
    """Evaluate a checkpoint on a pair list or on scenes: SDR, SI-SDR and their improvements, per kind of query.

    Examples::

        data-engine evaluate --scenes scenes --out metrics.json
        data-engine evaluate --pairs pairs.csv --root audio --out metrics.json
    """
    if (pairs is None) == (scenes is None):
        raise UserError("give either --pairs LIST with --root FOLDER, or --scenes FOLDER")
    if scenes is not None and (root is not None or limit is not None):
        raise UserError("--root and --limit belong to --pairs, not to --scenes")
    missing = [path for path in (pairs, root, scenes) if path is not None and not path.exists()]
    if missing:
        raise UserError(f"{missing[0]} does not exist: check the path")
    if scenes is not None and not (scenes / TRUTH).is_file():
        raise UserError(f"{scenes} has no {TRUTH}: give a folder that data-engine soundscapes wrote")
    check_file(out)
    progress = terminal_progress()
    separator = load_chosen(chosen_model(checkpoint=checkpoint, config=config), progress)
    from pipeline.pairs import evaluate_pairs
    from pipeline.scene_truth import evaluate_scenes

    rate = separator.sample_rate_hz
    if pairs is not None:
        folder = pairs.parent if root is None else root
        metrics = evaluate_pairs(separator, pairs, folder, sample_rate_hz=rate, limit=limit, progress=progress)
    else:
        metrics = evaluate_scenes(separator, Path(scenes or ""), sample_rate_hz=rate, progress=progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    what = "pairs" if pairs is not None else "scenes"
    lines = [
        _counted(metrics[what], what),
        *(_improvement(metrics[kind], kind) for kind in ("pos", "pos_neg")),
        str(out),
    ]
    result(metrics, text="\n".join(lines), brief=str(out))


def _counted(counts: dict[str, Any], what: str) -> str:
    outcomes = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("kept", "dropped", "failed"))
    return f"{counts['inputs']} {what}: {outcomes}"


def _improvement(metrics: dict[str, Any], kind: str) -> str:
    means = [metrics[name]["mean"] for name in ("sdri_db", "si_sdri_db")]
    sdri, si_sdri = ("no finite figure" if mean is None else f"{mean:.2f} dB" for mean in means)
    return f"{kind}: SDRi {sdri}, SI-SDRi {si_sdri}"


def pretrain(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the weights and their configuration.")],
    scratch: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for rendered events, a few GB; used again when filled.")
    ],
    parts: Annotated[
        Literal["clap", "separator", "refine", "all"],
        typer.Option(
            metavar="PART", help="clap, separator (on the CLAP that OUT holds), refine (its separator), or all."
        ),
    ] = "all",
    clap_steps: Annotated[int | None, typer.Option(metavar="N", min=1, help="Training steps of CLAP.")] = None,
    separator_steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Training steps of the separator.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of events, mixtures and initial weights.")] = 0,
) -> None:
    """Make the embedded weights from the built-in soundscapes; takes hours on a CPU.

    Examples::

        data-engine pretrain --out weights --scratch scratch
        data-engine pretrain --out weights --scratch scratch --parts refine
    """
    check_folder(out)
    check_folder(scratch, "--scratch")
    from pipeline.pretrain import PretrainConfig
    from pipeline.pretrain import pretrain as train_embedded

    config = PretrainConfig(seed=seed)
    if clap_steps is not None:
        config = config.model_copy(update={"clap_steps": clap_steps})
    if separator_steps is not None:
        config = config.model_copy(update={"train": config.train.model_copy(update={"steps": separator_steps})})
    train_embedded(out, config, terminal_progress(), scratch=scratch, parts=parts)
    result({"weights": str(out)}, text=str(out), brief=str(out))
