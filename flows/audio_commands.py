"""Commands that need no workspace: make scenes, evaluate a checkpoint, separate a recording, train the tiny models.

Each is a plain function with its options in the signature; ``flows.cli`` registers them.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from data_specs.config import CorpusConfig, ModelConfig, load_config
from data_specs.errors import UserError
from flows.console import print_line, terminal_progress

Checkpoint = Annotated[str, typer.Option(help="Folder with separator.safetensors and config.json, or 'embedded'.")]
BUILTIN = "builtin"


def soundscapes(
    sources: Annotated[str, typer.Option(metavar="CLIPS|builtin", help="Single-source clip list, or 'builtin'.")],
    count: Annotated[int, typer.Option(min=1, help="How many scenes.")],
    out: Annotated[Path, typer.Option(help="Folder for clips.csv, audio, truth and recipes.")],
    split: Annotated[str, typer.Option(help="Take only this split of the clip list.")] = "",
    duration: Annotated[float | None, typer.Option(min=0.5, help="Seconds per scene.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives other scenes.")] = 0,
) -> None:
    """Make natural-like scenes of 2-4 labels with known truth, from built-in events or single-source clips."""
    from data_specs.corpus import read_corpus
    from data_specs.soundscapes import BuiltinSource, EventSource
    from pipeline.scenes import ClipSource, write_scenes

    config = load_config("embedded")
    source: EventSource = BuiltinSource()
    if sources != BUILTIN:
        source = clips = ClipSource(read_corpus(CorpusConfig(kind="clip_list", path=sources, split=split)))
        for note in clips.notes:
            print_line(note)
    path = write_scenes(
        source,
        count=count,
        out=out,
        config=config,
        seed=seed,
        duration_s=duration or config.audio.clip_duration_s,
        progress=terminal_progress(),
    )
    print_line(f"{count} scenes: {path}")


def evaluate(
    out: Annotated[Path, typer.Option(help="Where the metrics go, as JSON.")],
    pairs: Annotated[
        Path | None, typer.Option(help="Pair list: the engine's own columns, or a published CLAPSep list.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the audio files that the pair list names.")] = None,
    scenes: Annotated[Path | None, typer.Option(help="Instead of pairs: a folder that 'soundscapes' wrote.")] = None,
    checkpoint: Checkpoint = "embedded",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many first pairs.")] = None,
) -> None:
    """Evaluate a checkpoint on a pair list or on scenes: SDR, SI-SDR and their improvements, per kind of query."""
    if (pairs is None) == (scenes is None):
        raise UserError("give either --pairs LIST with --root FOLDER, or --scenes FOLDER")
    from models.label_separator import LabelSeparator
    from pipeline.pairs import evaluate_pairs
    from pipeline.scene_truth import evaluate_scenes

    separator = LabelSeparator.load(ModelConfig(checkpoint=checkpoint))
    rate, progress = separator.sample_rate_hz, terminal_progress()
    if pairs is not None:
        folder = pairs.parent if root is None else root
        metrics = evaluate_pairs(separator, pairs, folder, sample_rate_hz=rate, limit=limit, progress=progress)
    else:
        metrics = evaluate_scenes(separator, Path(scenes or ""), sample_rate_hz=rate, progress=progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    what = "pairs" if pairs is not None else "scenes"
    counts = metrics[what]
    print_line(
        f"{counts['inputs']} {what}: {counts['kept']} kept, {counts['dropped']} dropped, {counts['failed']} failed"
    )
    for kind in ("pos", "pos_neg"):
        means = [metrics[kind][name]["mean"] for name in ("sdri_db", "si_sdri_db")]
        sdri, si_sdri = ("no finite figure" if mean is None else f"{mean:.2f} dB" for mean in means)
        print_line(f"{kind}: SDRi {sdri}, SI-SDRi {si_sdri}")
    print_line(str(out))


def separate(
    audio: Annotated[Path, typer.Argument(help="Recording of any length, sample rate and number of channels.")],
    label: Annotated[list[str], typer.Option(help="What to separate: an AudioSet class or free text; repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder for the tracks.")],
    checkpoint: Checkpoint = "embedded",
) -> None:
    """Separate a recording into one WAV file per label and the residual; together they sum to the input."""
    if not audio.is_file():
        raise UserError(f"no audio file {audio}")
    from models.label_separator import LabelSeparator
    from pipeline.stems import separate_recording

    separator = LabelSeparator.load(ModelConfig(checkpoint=checkpoint))
    for path in separate_recording(audio, label, separator, out, progress=terminal_progress()):
        print_line(str(path))


def pretrain(
    out: Annotated[Path, typer.Option(help="Folder for the weights and their configuration.")],
    scratch: Annotated[Path, typer.Option(help="Folder for rendered events, a few GB; used again when filled.")],
    parts: Annotated[
        Literal["clap", "separator", "refine", "all"],
        typer.Option(help="'separator' starts from the CLAP that OUT holds, 'refine' from its separator."),
    ] = "all",
    clap_steps: Annotated[int | None, typer.Option(min=1, help="Training steps of CLAP.")] = None,
    separator_steps: Annotated[int | None, typer.Option(min=1, help="Training steps of the separator.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of events, mixtures and initial weights.")] = 0,
) -> None:
    """Make the embedded weights from the built-in soundscapes; takes hours on a CPU."""
    from pipeline.pretrain import PretrainConfig
    from pipeline.pretrain import pretrain as train_embedded

    config = PretrainConfig(seed=seed)
    if clap_steps is not None:
        config = config.model_copy(update={"clap_steps": clap_steps})
    if separator_steps is not None:
        config = config.model_copy(update={"train": config.train.model_copy(update={"steps": separator_steps})})
    train_embedded(out, config, terminal_progress(), scratch=scratch, parts=parts)
    print_line(str(out))
