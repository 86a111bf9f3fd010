"""Corpus readers: the user's list, folder, AudioSet segments or ESC-50 as a stream of ``CorpusEntry``.

First step of ingest. Readers look at lists and folders only, on a disk or in a bucket (``s3://``); no recording is
opened and no label is judged here. What the user has to repair before any work (no such list, no such column, nothing
in it) is a ``UserError``; a recording that the list names and that is not there becomes an entry like any other, and a
counted clip in ingest.

Example::

    entries = read_corpus(CorpusConfig(kind="clip_list", path="clips.csv"))
    for entry in iter_corpus(config.corpus): ...      # the same, in flat memory
"""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path

from pyarrow import fs

from data_specs.config import CorpusConfig
from data_specs.errors import UserError
from data_specs.filesystems import files_below, is_uri, join, kind_of, parent
from data_specs.list_files import csv_lines, list_rows
from data_specs.records import CorpusEntry

DECODED_SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"}
    | {".w64", ".rf64"}
)
NOT_DECODED_SUFFIXES = frozenset({".m4a", ".mp4", ".aac", ".wma", ".webm", ".mkv", ".amr"})
"""Recordings that libsndfile cannot read. Folders list them too, so that ingest counts them instead of hiding them."""

_YOUTUBE_ID_LENGTH = 11


def read_corpus(config: CorpusConfig) -> list[CorpusEntry]:
    """All entries of a corpus, in the order of the list or, for folders, of the sorted paths.

    Raises:
        UserError: as ``iter_corpus``.
    """
    return list(iter_corpus(config))


def iter_corpus(config: CorpusConfig) -> Iterator[CorpusEntry]:
    """The entries of a corpus one by one; paths start from ``config.audio_root`` or the list's own folder.

    Raises:
        UserError: the list or folder is missing, is not what its kind says, lacks a column, or has no entry (of the
            split asked for).
    """
    if config.kind == "builtin":
        raise ValueError("the built-in corpus is rendered to a clip list before it is read")
    if not config.path:
        raise UserError(f"corpus.path is empty: give the path of the {config.kind.replace('_', ' ')}")
    readers = {"clip_list": _clip_list, "folder": _folder, "audioset": _audioset, "esc50": _esc50}
    entries = readers[config.kind](config.path, config)
    return _of_split(entries, config)


def _of_split(entries: Iterable[CorpusEntry], config: CorpusConfig) -> Iterator[CorpusEntry]:
    splits: set[str] = set()
    count = 0
    for entry in entries:
        splits.add(entry.split)
        if not config.split or entry.split == config.split:
            count += 1
            yield entry
    if count == 0 and splits:
        named = sorted(splits - {""})
        known = f"its splits are {', '.join(named[:8])}" if named else "it has no splits"
        raise UserError(f"{config.path} has nothing in split {config.split!r}: {known}")
    if count == 0:
        raise UserError(f"{config.path} is an empty corpus: it names no recording")


def _clip_list(path: str, config: CorpusConfig) -> Iterator[CorpusEntry]:
    """Columns path, labels and, optionally, captions (``;``-separated or, in Parquet, lists) and split."""
    rows = list_rows(path, required=("path", "labels"), optional=("captions", "split"))
    root = _audio_root(config, parent(path))
    for where, row in rows:
        if not row["path"]:
            raise UserError(f"{path}, {where}: no path")
        yield CorpusEntry(
            path=join(root, row["path"]),
            labels=_texts(row["labels"]),
            captions=_texts(row.get("captions")),
            split=str(row.get("split") or "").strip(),
        )


def _texts(cell: str | Sequence[str | None] | None) -> tuple[str, ...]:
    """What a cell lists, without what is empty."""
    texts = cell.split(";") if isinstance(cell, str) else cell or ()
    return tuple(text.strip() for text in texts if text and text.strip())


def _folder(path: str, config: CorpusConfig) -> Iterator[CorpusEntry]:
    if kind_of(path) != fs.FileType.Directory:
        raise UserError(f"no folder {path}: corpus.path must be a folder of recordings")
    return (CorpusEntry(path=join(path, name)) for name in _recordings(path))


def _audioset(path: str, config: CorpusConfig) -> Iterator[CorpusEntry]:
    """AudioSet's published segment CSV: three comment lines, then ``id, start, end, "/m/..,/m/.."``.

    Recordings are files named ``<id>``, ``Y<id>`` or ``<id>_<start>``; the last kind is the segment cut out already.
    """
    if kind_of(path) != fs.FileType.File:
        raise UserError(f"no file {path}: corpus.path must be an AudioSet segments CSV")
    root = _audio_root(config, parent(path))
    files = _youtube_files(root)
    split = Path(path).stem.removesuffix("_segments")
    for number, row in enumerate(csv_lines(path), start=1):
        if not row or row[0].startswith("#"):
            continue
        try:
            youtube_id, start_s, end_s, mids = row[0], float(row[1]), float(row[2]), row[3]
            if not 0 <= start_s < end_s:
                raise ValueError("no segment")
        except (ValueError, IndexError):
            raise UserError(
                f'{path}, line {number}: expected YTID, start_seconds, end_seconds, "positive_labels"'
            ) from None
        name = _segment_file(files.get(youtube_id, ()), start_s) or f"{youtube_id}.wav"
        cut_already = bool((_youtube_name(name) or ("", ""))[1])
        yield CorpusEntry(
            path=join(root, name),
            labels=tuple(mid.strip() for mid in mids.split(",") if mid.strip()),
            split=split,
            start_s=0.0 if cut_already else start_s,
            end_s=end_s - start_s if cut_already else end_s,
        )


def _esc50(path: str, config: CorpusConfig) -> Iterator[CorpusEntry]:
    """ESC-50 as published: ``meta/esc50.csv`` and ``audio/``; folds become splits ``fold1`` to ``fold5``."""
    table = join(path, "meta/esc50.csv")
    rows = list_rows(table, required=("filename", "fold", "category"))
    root = _audio_root(config, join(path, "audio"))
    names = _esc50_labels()
    for where, row in rows:
        if not row["filename"]:
            raise UserError(f"{table}, {where}: no filename")
        # A category without an AudioSet class keeps its own name: ingest drops it as an unknown label, and counts it.
        yield CorpusEntry(
            path=join(root, row["filename"]),
            labels=(names.get(row["category"], row["category"]),),
            split=f"fold{row['fold']}",
        )


def _esc50_labels() -> dict[str, str]:
    table = resources.files("data_specs").joinpath("assets", "esc50_labels.csv").read_text("utf-8")
    return {row["category"]: row["display_name"] for row in csv.DictReader(table.splitlines())}


def _audio_root(config: CorpusConfig, default: str) -> str:
    root = config.audio_root or default
    if kind_of(root) != fs.FileType.Directory:
        raise UserError(f"no folder {root}: corpus.audio_root must be the folder that holds the recordings")
    return root


def _recordings(root: str) -> Iterator[str]:
    """Paths, relative to ``root``, of all recordings below it in sorted order; links are followed, hidden names not."""
    return filter(_is_recording, files_below(root)) if is_uri(root) else _recordings_on_disk(root)


def _is_recording(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in DECODED_SUFFIXES | NOT_DECODED_SUFFIXES


def _recordings_on_disk(root: str) -> Iterator[str]:
    visited: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:  # a link back to a folder above
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and _is_recording(name):
                yield os.path.relpath(os.path.join(folder, _representable(name, folder)), root)


def _representable(name: str, folder: str) -> str:
    try:
        os.path.join(folder, name).encode("utf-8")
    except UnicodeEncodeError:  # manifests are UTF-8: no row could hold this name
        raise UserError(f"file name {os.fsencode(name)!r} in {os.fsencode(folder)!r} is not UTF-8: rename it") from None
    return name


def _youtube_files(root: str) -> dict[str, tuple[str, ...]]:
    """Recordings below ``root`` by the YouTube id in their names."""
    files: dict[str, tuple[str, ...]] = {}
    for name in _recordings(root):
        found = _youtube_name(name)
        if found:
            files[found[0]] = (*files.get(found[0], ()), name)
    return files


def _youtube_name(name: str) -> tuple[str, str] | None:
    """The YouTube id in a file name and what follows it (``_30.000``); ids have 11 characters and may begin with Y."""
    stem = Path(name).stem
    for start in (0, 1) if stem.startswith("Y") else (0,):
        end = start + _YOUTUBE_ID_LENGTH
        if len(stem) == end or stem[end : end + 1] == "_":
            return stem[start:end], stem[end:]
    return None


def _segment_file(names: tuple[str, ...], start_s: float) -> str | None:
    """The file of a segment: one with its start in the name (in s or ms), else the whole video, else any other."""

    def rank(name: str) -> tuple[int, str]:
        _, _, start = (_youtube_name(name) or ("", ""))[1].partition("_")
        if not start:
            return 1, name
        try:
            return (0 if float(start.split("_")[0]) in (start_s, 1000 * start_s) else 2), name
        except ValueError:
            return 2, name

    return min(names, key=rank, default=None)
