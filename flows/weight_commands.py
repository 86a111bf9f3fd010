"""Commands for the weight files of others: get them before they are needed, and accept one that was changed.

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
