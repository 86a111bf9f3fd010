"""Commands for weight files: get those of others before they are needed, accept one that was changed, adapt ours.

Each is a plain function with its options in the signature; ``flows.cli`` registers them.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from data_specs.errors import UserError
from flows.console import terminal_progress
from flows.folders import check_folder
from flows.output import result


def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="clapsep, laion-clap, panns, ...; see doctor.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the files, to be carried to another machine.")
    ] = None,
) -> None:
    """Download public weights once and check them against their published checksums.

    Examples:
        data-engine weights fetch clapsep laion-clap roberta-base panns
        data-engine weights fetch panns --out carry-me
    """
    if out is not None:
        check_folder(out)
    from models.weights import WeightStore
    from pipeline.progress import showing_downloads

    store = WeightStore(folders=[out] if out else None)
    unknown = [name for name in names if name not in store.known]
    if unknown:
        raise UserError(f"no weights are known as {unknown[0]!r}: choose from {', '.join(store.known)}")
    with showing_downloads(terminal_progress()) as on_download:
        files = {name: store.file(name, on_download) for name in names}
    content = [
        {"name": name, "path": str(file.path), "size_bytes": file.path.stat().st_size, "sha256": file.sha256}
        for name, file in files.items()
    ]
    lines = [f"{name}: {file.path} ({decimal(file.path.stat().st_size)}, verified)" for name, file in files.items()]
    result(content, text="\n".join(lines), brief="\n".join(str(file.path) for file in files.values()))


def forget(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Weight files that were changed on purpose.")],
) -> None:
    """Forget the checksums of files, so that the next use takes them as they are.

    Examples:
        data-engine weights forget my-clap.pt
    """
    from models.weights import WeightStore

    checksums = WeightStore().checksums
    forgotten = {str(path): checksums.forget(path) for path in paths}
    lines = [f"{path}: {'forgotten' if known else 'was not known'}" for path, known in forgotten.items()]
    result(forgotten, text="\n".join(lines))


def adapt(
    sources: Annotated[str, typer.Option(metavar="LIST", help="Clip list with one label per recording.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the adapted encoder, a value of model.clap.")],
    split: Annotated[
        list[str] | None, typer.Option(metavar="SPLIT", help="Only this split of the list; may be repeated.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of 16 sounds; four a second on one core.")] = 800,
    share: Annotated[
        float,
        typer.Option(min=0.01, max=1, help="How far weights go: at 1 it knows these sounds best, and forgets others."),
    ] = 0.3,
) -> None:
    """Teach the embedded CLAP the sounds of single-source clips that it does not know.

    Only what it hears is taught, texts stay where they are: the embedded separator goes on understanding them. Whether
    it is worth it, 'data-engine experiment gap' says, on clips that were not used here.

    Examples:
        data-engine weights adapt --sources clips.csv --split fold1 --out my-clap
        data-engine experiment gap --sources clips.csv --split fold2 --clap embedded --clap my-clap
    """
    check_folder(out)
    from data_specs.config import Config
    from models.checkpoints import EMBEDDED, load_clap
    from pipeline.adapt import AdaptConfig, AdaptedOn, adapted, save_adapted
    from pipeline.experiments.material import clips_of

    progress = terminal_progress()
    clips = clips_of(sources, split or ("",), Config(), progress)
    clap = adapted(load_clap(EMBEDDED), clips, AdaptConfig(steps=steps, share=share), progress)
    save_adapted(clap, out, AdaptedOn(sources=sources, splits=tuple(split or ())))
    content = {"clap": str(out), "clips": len(clips), "labels": len({clip.labels[0] for clip in clips})}
    text = f"{out}: taught by {len(clips)} clips of {content['labels']} labels; use it as model.clap"
    result(content, text=text, brief=str(out))
