"""A workspace: the folder or bucket that holds the clips of a corpus and all rounds over them.

Every stage reads its inputs from here and writes its results here, so that any process that knows the workspace's
address can go on with a round. Layout::

    workspace.json                       the configuration of the next round; each round has its own in round.json
    workspace.id                         what tells it from other workspaces of the same name
    start/                               the first separator, when it was made from the files of others
    builtin/                             audio of built-in corpora, when the configuration asks for them
    label_embeddings/                    vectors of all labels, by the hash of what they depend on
    clips/natural.parquet                every ingested clip of the corpus, dropped and failed ones too
    clips/single_source.parquet          the same for the single-source corpus
    rounds/001/round.json                RoundState
    rounds/001/units/                    which clips are in which work unit, see pipeline.units
    rounds/001/tags/<unit>.parquet       TaggedClip, one per kept clip of a committed work unit
    rounds/001/tracks/<unit>.parquet     Track, one row per track of a committed work unit
    rounds/001/shards/<unit>.tar         the tracks that passed the gate
    rounds/001/calibration/, checkpoint/, report/
    evaluations/                         metrics of checkpoints, by what they depend on

Example::

    workspace = Workspace.open("runs/demo", config)
    for clip in workspace.iter_clips("natural"): ...
    workspace.commit_tags(1, unit_id, tagged)
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from data_specs.config import NO_RESULTS, Config, stored_config
from data_specs.errors import UserError, few
from data_specs.records import TRUNCATED, Clip, TaggedClip, Track, content_id
from pipeline.checksums import SHARD_SHA256, sha256_of
from pipeline.ledger import STAGES, RoundState
from pipeline.record_files import iter_records, write_records
from pipeline.storage import Storage

__all__ = ["STAGES", "ClipSet", "RoundState", "Workspace"]

ClipSet = Literal["natural", "single_source"]

HELD_OUT = "held_out"
CALIBRATION = "calibration"
"""``Clip.split`` of the single-source clips that no round trains on."""

BUILTIN_FOLDER = "builtin"
"""Folder for the audio of built-in corpora."""

START_ORIGIN = "origin.json"
"""What the separator in ``start/`` was made from; the last of its files to be written."""

_CONFIG_FILE, _ID_FILE = "workspace.json", "workspace.id"

_BOUND = (
    "seed",
    "corpus.",
    "single_source.",
    "audio.",
    "soundscapes.",
    "evaluate.held_out_share",
    "gate.calibration_share",
    "model.",
)
"""Configuration keys that the clips and the first separator come from: a workspace cannot change them."""


class Workspace:
    """Typed access to a workspace's files. Cheap to make, holds no state, can be pickled."""

    def __init__(self, uri: str | Path) -> None:
        self.storage = Storage(uri)
        self.uri = self.storage.uri

    def __repr__(self) -> str:
        return f"Workspace({self.uri!r})"

    def __reduce__(self):
        return Workspace, (self.uri,)

    # Configuration

    @classmethod
    def open(cls, uri: str | Path, config: Config) -> "Workspace":
        """Open the workspace at ``uri`` for ``config``, making it when there is none.

        A configuration that differs in what the workspace is not bound to (``check_config``) becomes that of its next
        rounds. A workspace that holds no clips yet takes on any, so that a wrong path can be corrected.

        Raises:
            UserError: the path is a file, cannot be written, or is bound to another configuration.
        """
        workspace = cls(uri)
        if workspace.exists() and not workspace.is_bare():
            workspace.check_config(config)
            if not workspace.changed_keys(config):
                return workspace
        workspace.storage.check_writable()
        content = {"config_hash": config.digest(), "config": config.model_dump(mode="json")}
        workspace._write_json(_CONFIG_FILE, content)
        return workspace

    def exists(self) -> bool:
        """Whether somebody opened this workspace before."""
        return self.storage.is_file(_CONFIG_FILE)

    def identity(self) -> str:
        """Eight hexadecimal digits that it keeps wherever it is moved, made by the first call."""
        if not self.storage.is_file(_ID_FILE):
            self.storage.write_bytes(_ID_FILE, uuid4().hex[:8].encode())
        return self.storage.read_bytes(_ID_FILE).decode()

    def is_bare(self) -> bool:
        """Whether nothing is in it but its configuration."""
        return not any(self.storage.exists(name) for name in ("clips", "rounds", BUILTIN_FOLDER))

    def check_config(self, config: Config) -> None:
        """Make sure that ``config`` can be that of further rounds: with the clips and the start that are there.

        Raises:
            UserError: they are not; the message names the keys that differ.
        """
        keys = [key for key in self.changed_keys(config) if key.startswith(_BOUND)]
        if keys:
            raise UserError(
                f"{self.uri} was begun with another configuration "
                f"({few(keys)} differ{'s' if len(keys) == 1 else ''}): "
                "use that one or another workspace"
            )

    def changed_keys(self, config: Config) -> list[str]:
        """Keys in which ``config`` differs from the workspace's, of those that results depend on."""
        ours, theirs = (_flat(one.model_dump(mode="json", exclude=NO_RESULTS)) for one in (config, self.config))
        return sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))

    @property
    def config(self) -> Config:
        """The configuration of the workspace's next round.

        Raises:
            UserError: there is no workspace here.
        """
        if not self.exists():
            raise UserError(f"{self.uri} is not a workspace: it has no {_CONFIG_FILE}")
        return stored_config(self._read_json(_CONFIG_FILE)["config"])

    # Clips

    def has_clips(self, clip_set: ClipSet) -> bool:
        """Whether this set has been ingested."""
        return self.storage.is_file(f"clips/{clip_set}.parquet")

    def write_clips(self, clip_set: ClipSet, clips: Iterable[Clip]) -> None:
        """Store every ingested clip, whatever its outcome, in bounded memory."""
        write_records(self.storage, f"clips/{clip_set}.parquet", Clip, clips)

    def iter_clips(self, clip_set: ClipSet) -> Iterator[Clip]:
        """Every ingested clip, whatever its outcome, in bounded memory; none before ingest."""
        if self.has_clips(clip_set):
            yield from iter_records(self.storage, f"clips/{clip_set}.parquet", Clip)

    def count_clips(self, clip_set: ClipSet) -> int:
        """Number of ingested clips, whatever their outcome."""
        if not self.has_clips(clip_set):
            return 0
        with self.storage.open(f"clips/{clip_set}.parquet") as file:
            return pq.read_metadata(file).num_rows

    def clips(self, clip_set: ClipSet) -> list[Clip]:
        """All of ``iter_clips`` at once."""
        return list(self.iter_clips(clip_set))

    def clip_tables(self, clip_set: ClipSet) -> Iterator[pa.Table]:
        """The rows of ``clips`` in tables of bounded size, for those who count and do not need the records."""
        if self.has_clips(clip_set):
            with self.storage.open(f"clips/{clip_set}.parquet") as file:
                for batch in pq.ParquetFile(file).iter_batches():
                    yield pa.Table.from_batches([batch])

    def kept_clips(self, clip_set: ClipSet) -> list[Clip]:
        """The clips that stages work on."""
        return [clip for clip in self.iter_clips(clip_set) if clip.outcome == "kept"]

    def truncated_recordings(self, clip_set: ClipSet) -> list[str]:
        """Paths of the recordings of kept clips that end before their headers say."""
        paths: dict[str, None] = {}
        for table in self.clip_tables(clip_set):
            columns = (table[name].to_pylist() for name in ("path", "outcome", "problems"))
            for path, outcome, problems in zip(*columns, strict=True):
                if outcome == "kept" and TRUNCATED in problems:
                    paths[path] = None
        return list(paths)

    def iter_training_clips(self) -> Iterator[Clip]:
        """The single-source clips that rounds may train on, in bounded memory."""
        clips = self.iter_clips("single_source")
        return (clip for clip in clips if clip.outcome == "kept" and clip.split not in (HELD_OUT, CALIBRATION))

    def training_clips(self) -> list[Clip]:
        """All of ``iter_training_clips`` at once."""
        return list(self.iter_training_clips())

    def calibration_clips(self) -> list[Clip]:
        """The single-source clips that gates are calibrated on; no round trains on them."""
        return [clip for clip in self.kept_clips("single_source") if clip.split == CALIBRATION]

    def held_out_clips(self) -> list[Clip]:
        """The single-source clips that no round trains on; promotion is decided on them."""
        return [clip for clip in self.kept_clips("single_source") if clip.split == HELD_OUT]

    # Rounds

    def round_numbers(self) -> list[int]:
        """Rounds that have been started, ascending."""
        return sorted(int(name) for name in self.storage.folders("rounds") if name.isdigit())

    def set_aside(self, config: Config) -> set[int]:
        """Rounds that were begun, but that a run with ``config`` does not go on with.

        They were begun with another configuration, or other rounds were finished since, so that they would start from
        a checkpoint that is not the current one. Nothing of them is lost: as long as no other round was finished, a
        run with their configuration takes them up again.
        """
        states = [self.round_state(number) for number in self.round_numbers()]
        finished = sum(state.state == "finished" for state in states)
        return {
            state.number
            for state in states
            if state.state != "finished"
            and (state.settings.digest() != config.digest() or state.finished_before not in (None, finished))
        }

    def round_storage(self, round_number: int) -> Storage:
        """The round's folder."""
        return self.storage.child(_round(round_number))

    def round_state(self, round_number: int) -> RoundState:
        """What the round has done so far; a state without any stage when it has not been started."""
        name = f"{_round(round_number)}/round.json"
        return (
            RoundState.model_validate(self._read_json(name))
            if self.storage.is_file(name)
            else RoundState(number=round_number)
        )

    def write_round_state(self, state: RoundState) -> None:
        """Store what a round has done so far."""
        content = {"state": state.state, **state.model_dump(mode="json")}
        self._write_json(f"{_round(state.number)}/round.json", content)

    # Tags and tracks

    def commit_tags(self, round_number: int, unit_id: str, tags: Sequence[TaggedClip]) -> None:
        """Publish the tags of a work unit, one record per clip of the unit."""
        write_records(self.storage, f"{_round(round_number)}/tags/{unit_id}.parquet", TaggedClip, tags)

    def tagged_units(self, round_number: int) -> set[str]:
        """Ids of the work units whose tags are committed."""
        return self._parts(round_number, "tags")

    def has_tags(self, round_number: int, unit_id: str) -> bool:
        """Whether the tags of a work unit are committed."""
        return self.storage.is_file(f"{_round(round_number)}/tags/{unit_id}.parquet")

    def unit_tags(self, round_number: int, unit_id: str) -> list[TaggedClip]:
        """The tags of one committed unit."""
        return list(iter_records(self.storage, f"{_round(round_number)}/tags/{unit_id}.parquet", TaggedClip))

    def iter_tags(self, round_number: int) -> Iterator[TaggedClip]:
        """All tags of a round in the order of unit ids, one work unit in memory at a time."""
        for unit_id in sorted(self.tagged_units(round_number)):
            yield from self.unit_tags(round_number, unit_id)

    def discard_tags(self, round_number: int) -> None:
        """Take back all tags of a round that has no plan yet."""
        for unit_id in self.tagged_units(round_number):
            self.storage.delete(f"{_round(round_number)}/tags/{unit_id}.parquet")

    def tags(self, round_number: int) -> list[TaggedClip]:
        """All of ``iter_tags`` at once."""
        return list(self.iter_tags(round_number))

    def committed_units(self, round_number: int) -> set[str]:
        """Ids of the work units whose manifest part exists: they are done and are not done again."""
        return self._parts(round_number, "tracks")

    def is_committed(self, round_number: int, unit_id: str) -> bool:
        """Whether the manifest part of a work unit exists."""
        return self.storage.is_file(f"{_round(round_number)}/tracks/{unit_id}.parquet")

    def commit_unit(self, round_number: int, unit_id: str, tracks: Sequence[Track], shard: bytes | None) -> None:
        """Publish a work unit's results: its shard first, then the manifest part that makes it count.

        The manifest part holds the checksum of the shard, and its own.
        """
        folder = _round(round_number)
        notes = {}
        if shard is not None:
            self.storage.write_bytes(f"{folder}/shards/{shard_name(unit_id)}", shard)
            notes[SHARD_SHA256] = sha256_of(shard)
        write_records(self.storage, f"{folder}/tracks/{unit_id}.parquet", Track, tracks, notes=notes)

    def discard_unit(self, round_number: int, unit_id: str) -> None:
        """Take a commit back: the unit is done again by the next run."""
        self.storage.delete(f"{_round(round_number)}/tracks/{unit_id}.parquet")
        self.storage.delete(f"{_round(round_number)}/shards/{shard_name(unit_id)}")

    def iter_tracks(self, round_number: int) -> Iterator[Track]:
        """All manifest rows of a round in the order of unit ids, one manifest part in memory at a time."""
        for unit_id in sorted(self.committed_units(round_number)):
            yield from self.unit_tracks(round_number, unit_id)

    def track_tables(self, round_number: int) -> Iterator[pa.Table]:
        """The rows of ``tracks``, one table per committed unit, for those who count and do not need the records."""
        for unit_id in sorted(self.committed_units(round_number)):
            with self.storage.open(f"{_round(round_number)}/tracks/{unit_id}.parquet") as file:
                yield pq.read_table(file)

    def manifest_bytes(self, round_number: int, unit_id: str) -> bytes:
        """The manifest part of a committed unit as it is stored."""
        return self.storage.read_bytes(f"{_round(round_number)}/tracks/{unit_id}.parquet")

    def unit_tracks(self, round_number: int, unit_id: str) -> list[Track]:
        """The manifest rows of one committed unit."""
        return list(iter_records(self.storage, f"{_round(round_number)}/tracks/{unit_id}.parquet", Track))

    def tracks(self, round_number: int) -> list[Track]:
        """All manifest rows of a round, rejected and failed ones too."""
        return list(self.iter_tracks(round_number))

    def sweep_round(self, round_number: int) -> None:
        """Remove what killed writers left in the round's folders."""
        for folder in ("tags", "tracks", "shards"):
            self.storage.sweep(f"{_round(round_number)}/{folder}")

    # Shards

    def shards(self, round_number: int) -> list[str]:
        """Names of the round's shards that belong to committed units, sorted."""
        committed = self.committed_units(round_number)
        names = self.storage.files(f"{_round(round_number)}/shards", suffix=".tar")
        return [name for name in names if name.removesuffix(".tar") in committed]

    def delete_shard(self, round_number: int, name: str) -> None:
        """Remove a shard of which nothing is left."""
        self.storage.delete(f"{_round(round_number)}/shards/{name}")

    def open_shard(self, round_number: int, name: str) -> pa.NativeFile:
        """A shard as a readable binary file; the caller closes it."""
        return self.storage.open(f"{_round(round_number)}/shards/{name}")

    # Checkpoints and other folders

    def current_checkpoint(self, before_round: int | None = None) -> str:
        """The checkpoint that round ``before_round`` starts from: the last promoted one of the rounds before it, or
        the configured starting checkpoint. None means after all rounds so far.

        Returns:
            A local folder, or the name ``embedded``. A bucket's checkpoint is copied to this machine first.
            What was made for this workspace (``pipeline.start``) goes before what the configuration names.
        """
        for number in reversed(self.round_numbers()):
            if (before_round is None or number < before_round) and self.round_state(number).promoted:
                return str(self.local_folder(number, "checkpoint"))
        return str(_on_this_machine(self.start)) if self.start.is_file(START_ORIGIN) else self.config.model.checkpoint

    @property
    def start(self) -> Storage:
        """Folder of the separator that the first round starts from, where that had to be made (``pipeline.start``)."""
        return self.storage.child("start")

    def previous_checkpoint(self, before_round: int) -> str | None:
        """The checkpoint that the round before separated with, None when it is the current one or there was none."""
        if before_round < 2:
            return None
        previous = self.current_checkpoint(before_round=before_round - 1)
        return None if previous == self.current_checkpoint(before_round=before_round) else previous

    def local_folder(self, round_number: int, name: str) -> Path:
        """A folder of the round, such as ``checkpoint`` or ``report``, for reading on this machine.

        A bucket's folder is copied to a cache in the temporary directory.
        """
        return _on_this_machine(self.round_storage(round_number).child(name))

    @contextmanager
    def writing_folder(self, round_number: int, name: str) -> Iterator[Path]:
        """A local folder to write files into; each is published in the round's folder ``name`` on a clean exit.

        Example::

            with workspace.writing_folder(1, "checkpoint") as folder:
                save_checkpoint(folder, model)
        """
        with tempfile.TemporaryDirectory(prefix="sound-data-engine-") as temporary:
            yield Path(temporary)
            target = self.round_storage(round_number).child(name)
            for path in sorted(path for path in Path(temporary).rglob("*") if path.is_file()):
                target.upload(path, path.relative_to(temporary).as_posix())

    def _read_json(self, name: str) -> dict[str, Any]:
        content = json.loads(self.storage.read_bytes(name))
        content.pop("state", None)
        return content

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        self.storage.write_bytes(name, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    def _parts(self, round_number: int, folder: str) -> set[str]:
        names = self.storage.files(f"{_round(round_number)}/{folder}", suffix=".parquet")
        return {name.removesuffix(".parquet") for name in names}


def shard_name(unit_id: str) -> str:
    """File name of a work unit's shard."""
    return f"{unit_id}.tar"


def _round(number: int) -> str:
    return f"rounds/{number:03d}"


def _on_this_machine(folder: Storage) -> Path:
    if folder.local_path is not None:
        return folder.local_path
    sizes = {file: folder.size(file) for file in folder.files()}
    times = folder.times()  # files of another training have the same sizes
    version = content_id(folder.uri, *map(str, sizes.items()), *map(str, sorted(times.items())))
    cache = Path(tempfile.gettempdir()) / "sound-data-engine" / version
    for file, size in sizes.items():
        if not (cache / file).is_file() or (cache / file).stat().st_size != size:
            folder.download(file, cache / file)
    return cache


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat
