"""The recordings that a user means by files, folders and patterns, each with a name of its own for what is made of it.

First step of ``data-engine separate``. Results mirror the folders of their recordings: a file keeps its stem, what lies
deeper in a folder keeps the way to it. Nothing is opened here.

Example::

    find_recordings(["street.ogg", "field/", "takes/*.wav"], out=Path("tracks"))
    # [Recording(path=Path("street.ogg"), name=Path("street")), Recording(Path("field/a/1.flac"), Path("a/1")), ...]
"""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_specs.corpus import DECODED_SUFFIXES
from data_specs.errors import UserError


@dataclass(frozen=True)
class Recording:
    """A file, and the path below the output folder that the names of its results begin with."""

    path: Path
    name: Path


def find_recordings(arguments: Sequence[str], out: Path) -> list[Recording]:
    """Every recording once, in the order of the arguments; folders are searched recursively, in sorted order.

    What already lies in ``out`` is no recording of a folder around it. Files of one folder that differ only in their
    suffix keep it in the name (``take.wav`` and ``take.ogg`` become ``take-wav`` and ``take-ogg``).

    Raises:
        UserError: nothing is found for an argument, the output folder is a folder that is searched, or two recordings
            would get the same name.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    for argument in arguments:
        below = _below(argument, out)
        if not below:
            raise UserError(_nothing(argument))
        for path, name in below:
            found.setdefault(path.resolve(), (path, name))
    return _named_apart(dict(found.values()))


def _below(argument: str, out: Path) -> list[tuple[Path, Path]]:
    """Files that an argument stands for, each with its path relative to where the argument's folders begin."""
    path = Path(argument)
    if path.is_file():
        return [(path, Path(path.name))]
    if path.is_dir():
        if path.resolve() == out.resolve():
            raise UserError(f"{argument} is searched for recordings: give another folder as --out")
        return [(one, one.relative_to(path)) for one in _audio_below(path, out)]
    if not glob.has_magic(argument):
        return []
    root = Path(*_fixed_parts(path))
    hits = [Path(hit) for hit in sorted(glob.glob(argument, recursive=True))]
    files = [hit for hit in hits if hit.is_file() and hit.suffix.lower() in DECODED_SUFFIXES]
    return [(hit, hit.relative_to(root)) for hit in files if out.resolve() not in hit.resolve().parents]


def _audio_below(folder: Path, out: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if name[0] != "." and (here / name).resolve() != out.resolve())
        for name in sorted(names):
            if name[0] != "." and Path(name).suffix.lower() in DECODED_SUFFIXES:
                yield here / name


def _fixed_parts(pattern: Path) -> Iterator[str]:
    """The folders of a pattern before its first wildcard."""
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _nothing(argument: str) -> str:
    if Path(argument).is_dir():
        return f"{argument} holds no audio: it is searched for {', '.join(sorted(DECODED_SUFFIXES))}"
    if glob.has_magic(argument):
        return f"no recording matches {argument}"
    return f"no file or folder {argument}: check the path"


def _named_apart(found: dict[Path, Path]) -> list[Recording]:
    """Names without suffix, with it where that is what tells two recordings apart.

    Names that differ in case only are the same on some file systems.
    """
    stems = {path: name.with_suffix("") for path, name in found.items()}
    count = Counter(_folded(stem) for stem in stems.values())
    names = {
        path: stem if count[_folded(stem)] == 1 else stem.with_name(f"{stem.name}-{path.suffix[1:].lower()}")
        for path, stem in stems.items()
    }
    taken: dict[str, Path] = {}
    for path, name in names.items():
        other = taken.setdefault(_folded(name), path)
        if other != path:
            raise UserError(
                f"{other} and {path} would both be written as {name}.*: separate them into different --out folders, "
                "or give the folder around them"
            )
    return [Recording(path=path, name=name) for path, name in names.items()]


def _folded(name: Path) -> str:
    return str(name).casefold()
