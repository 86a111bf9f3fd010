"""Shards: the kept tracks of a work unit as a WebDataset tar; written, read and verified here.

Stands after the gate; training streams shards. Equal content gives equal bytes (no times, no owners, fixed order), so
that a work unit that is done again replaces its shard by the same one. The format is in ``data_specs.shard_format``.

Example::

    data = shard_bytes([ShardItem(clip, labels, mixture, tracks, waveforms)], sample_rate_hz=32_000)
    for sample in iter_shard(io.BytesIO(data)):
        sample.meta.clip_id, sample.tracks[0].shape
"""

import io
import json
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
from pydantic import ValidationError

from data_specs.records import Clip, Track
from data_specs.shard_format import (
    META_PART,
    MIXTURE_PART,
    ShardClip,
    ShardTrack,
    member_name,
    name_problems,
    parse_member,
)
from pipeline.audio import AudioError, decode_bytes, encode_flac
from pipeline.checksums import SHARD_SHA256, checksum_problem, notes_of, sha256_of
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.workspace import Workspace


class ShardError(Exception):
    """A shard cannot be read; the message says why."""


@dataclass(frozen=True)
class ShardItem:
    """A clip for a shard: its mixture (T,), its manifest rows and their waveforms (Q, T) in the same order."""

    clip: Clip
    mixture: np.ndarray
    tracks: Sequence[Track]
    waveforms: np.ndarray


@dataclass(frozen=True)
class ShardSample:
    """A clip out of a shard: float32 tracks (T,) by index, and the mixture (T,) for tier ``sst``."""

    meta: ShardClip
    mixture: np.ndarray | None
    tracks: Mapping[int, np.ndarray]


@dataclass(frozen=True)
class EncodedSample:
    """A clip out of a shard with its FLAC members by part: ``mix`` and the indices of tracks."""

    meta: ShardClip
    audio: Mapping[str, bytes]


def shard_bytes(items: Sequence[ShardItem], *, sample_rate_hz: int) -> bytes | None:
    """The tar of a work unit, or None when the gate kept nothing of it.

    Only kept tracks go in; the mixture goes in when every track of its clip is tier ``sst``.
    """
    kept = [item for item in items if any(_is_kept(track) for track in item.tracks)]
    if not kept:
        return None
    return _tar(member for item in kept for member in _clip_members(item, sample_rate_hz))


def without_clips(data: bytes, clip_ids: Collection[str], *, name: str = "shard") -> bytes | None:
    """A shard as it would be had it been written without these clips; None when nothing is left of it.

    Raises:
        ShardError: as ``iter_shard``.
    """
    members = list(_members(io.BytesIO(data), name))
    left = [member for member in members if parse_member(member[0]).clip_id not in clip_ids]
    return _tar(left) if left else None


def iter_shard(file: IO[bytes], *, name: str = "shard") -> Iterator[ShardSample]:
    """The clips of a shard in its order, one in memory at a time; ``file`` is read once, front to back.

    Raises:
        ShardError: no tar, truncated, or content that is not of this format; ``name`` is in the message.
    """
    for encoded in iter_encoded(file, name=name):
        yield _sample(encoded, name)


def iter_encoded(file: IO[bytes], *, name: str = "shard") -> Iterator[EncodedSample]:
    """As ``iter_shard``, but audio stays as it is in the shard: FLAC, by the parts of member names."""
    parts: dict[str, bytes] = {}
    current = ""
    for member, data in _members(file, name):
        try:
            clip_id, part = parse_member(member)
        except ValueError as error:
            raise ShardError(f"{name}: {error}") from None
        if parts and clip_id != current:
            yield _encoded(parts, name)
            parts = {}
        current, parts[part] = clip_id, data
    if parts:
        yield _encoded(parts, name)


def iter_round(workspace: Workspace, round_number: int, shards: Sequence[str] | None = None) -> Iterator[ShardSample]:
    """The clips in the given shards of a round, in all of them by default.

    Raises:
        ShardError: as ``iter_shard``.
    """
    for shard in workspace.shards(round_number) if shards is None else shards:
        with workspace.open_shard(round_number, shard) as file:
            yield from iter_shard(file, name=shard)


def verify_shard(file: IO[bytes], *, name: str = "shard") -> list[str]:
    """What is wrong with a shard, one line each; [] when nothing is.

    Checks the tar, the order and names of its members, every clip's JSON against its members, and that all audio
    decodes to the promised length and rate.
    """
    data = file.read()
    try:
        problems = name_problems(member for member, _ in _members(io.BytesIO(data), name))
        if not problems:
            for sample in iter_shard(io.BytesIO(data), name=name):
                problems += _sample_problems(sample)
    except ShardError as error:
        return [str(error)]
    return [f"{name}: {problem}" for problem in problems]


def verify_round(workspace: Workspace, round_number: int, progress: Progress = NO_PROGRESS) -> list[str]:
    """What is wrong with a round's shards and manifest, one line each; [] when nothing is.

    Besides ``verify_shard``: manifest parts and shards have the checksums that they were written with, every kept track
    of the manifest is in the shard that its row names, and nothing else is.
    """
    problems: list[str] = []
    units = sorted(workspace.committed_units(round_number))
    with progress.task(f"verify round {round_number}", total=len(units)) as task:
        for unit_id in units:
            problems += _unit_problems(workspace, round_number, unit_id)
            task.advance()
    return problems


def _is_kept(track: Track) -> bool:
    return track.outcome == "kept"


def _tar(members: Iterable[tuple[str, bytes]]) -> bytes:
    sink = io.BytesIO()
    # PAX: the one tar format whose headers hold any name and are the same on every system.
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)  # its defaults are fixed: time 0, owner 0, mode 0644
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def _clip_members(item: ShardItem, sample_rate_hz: int) -> Iterator[tuple[str, bytes]]:
    kept = [(track, waveform) for track, waveform in zip(item.tracks, item.waveforms, strict=True) if _is_kept(track)]
    has_mixture = all(track.tier == "sst" for track in item.tracks)
    audio = {str(track.index): waveform for track, waveform in kept}
    if has_mixture:
        audio = {MIXTURE_PART: item.mixture, **audio}
    peak = max(float(np.abs(waveform).max()) for waveform in audio.values())
    gain = 1.0 if peak <= 1.0 else 1.0 / peak
    first = kept[0][0]
    meta = ShardClip(
        clip_id=item.clip.clip_id,
        labels=tuple(track.label for track in item.tracks),
        tracks=tuple(
            ShardTrack.model_validate({key: getattr(track, key) for key in ShardTrack.model_fields})
            for track, _ in kept
        ),
        has_mixture=has_mixture,
        sample_rate_hz=sample_rate_hz,
        samples=len(item.mixture),
        gain=gain,
        source_path=item.clip.path,
        source_start_s=item.clip.start_s,
        checkpoint=first.checkpoint,
        config_hash=first.config_hash,
        source=first.source,
    )
    text = json.dumps(meta.model_dump(mode="json"), ensure_ascii=False, indent=1)
    yield member_name(meta.clip_id, META_PART), text.encode()
    for part, waveform in audio.items():
        yield member_name(meta.clip_id, part), encode_flac(waveform * np.float32(gain), sample_rate_hz)


def _members(file: IO[bytes], name: str) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=file, mode="r|") as tar:
            for info in tar:
                stream = tar.extractfile(info)
                data = stream.read() if stream is not None else b""
                if len(data) != info.size:
                    raise ShardError(f"{name}: {info.name} is truncated")
                yield info.name, data
            if not _ends_whole(tar):
                raise ShardError(f"{name}: truncated")
    except (tarfile.TarError, EOFError) as error:
        raise ShardError(f"{name}: not a whole tar file ({error})") from None


def _ends_whole(tar: tarfile.TarFile) -> bool:
    """Whether the reader met the end-of-archive block and not just the end of the file."""
    return tar.fileobj is not None and tar.offset + tarfile.BLOCKSIZE <= tar.fileobj.tell()


def _encoded(parts: Mapping[str, bytes], name: str) -> EncodedSample:
    try:
        meta = ShardClip.model_validate_json(parts[META_PART])
    except KeyError:
        raise ShardError(f"{name}: a clip without JSON") from None
    except ValidationError as error:
        raise ShardError(f"{name}: {' '.join(str(error).split())}") from None
    return EncodedSample(meta, {part: data for part, data in parts.items() if part != META_PART})


def _sample(encoded: EncodedSample, name: str) -> ShardSample:
    try:
        audio = {part: _waveform(data, encoded.meta) for part, data in encoded.audio.items()}
    except AudioError as error:
        raise ShardError(f"{name}: {error}") from None
    mixture = audio.pop(MIXTURE_PART, None)
    return ShardSample(encoded.meta, mixture, {int(index): waveform for index, waveform in audio.items()})


def _waveform(data: bytes, meta: ShardClip) -> np.ndarray:
    waveform, rate_hz = decode_bytes(data)
    if rate_hz != meta.sample_rate_hz:
        raise AudioError(f"{meta.clip_id} has a member at {rate_hz} Hz instead of {meta.sample_rate_hz} Hz")
    return waveform


def _sample_problems(sample: ShardSample) -> list[str]:
    meta, clip = sample.meta, sample.meta.clip_id
    problems = []
    if sorted(sample.tracks) != sorted(track.index for track in meta.tracks):
        problems.append(f"{clip}: JSON and members name different tracks")
    if meta.has_mixture != (sample.mixture is not None):
        problems.append(f"{clip}: JSON and members disagree about the mixture")
    waveforms = [*sample.tracks.values(), *([] if sample.mixture is None else [sample.mixture])]
    if any(len(waveform) != meta.samples for waveform in waveforms):
        problems.append(f"{clip}: a member has not {meta.samples} samples")
    return problems


def _unit_problems(workspace: Workspace, round_number: int, unit_id: str) -> list[str]:
    manifest = workspace.manifest_bytes(round_number, unit_id)
    if problem := checksum_problem(manifest):
        return [f"{unit_id}.parquet: {problem}"]
    rows = workspace.unit_tracks(round_number, unit_id)
    promised = {(track.clip_id, track.index) for track in rows if _is_kept(track)}
    names = sorted({track.shard for track in rows if _is_kept(track)})
    if names and names != [f"{unit_id}.tar"]:
        return [f"{unit_id}: its manifest names {', '.join(name or 'no shard' for name in names)}"]
    if not names:
        return []
    (name,) = names
    if name not in workspace.shards(round_number):
        return [f"{name}: missing"]
    with workspace.open_shard(round_number, name) as file:
        data = file.read()
    if problems := verify_shard(io.BytesIO(data), name=name):
        return problems
    if sha256_of(data) != notes_of(manifest).get(SHARD_SHA256):
        return [f"{name}: its content does not match its checksum in the manifest"]
    found = {(sample.meta.clip_id, index) for sample in iter_shard(io.BytesIO(data)) for index in sample.tracks}
    missing, left_over = len(promised - found), len(found - promised)
    return [
        f"{name}: {count} tracks of the {where}"
        for count, where in ((missing, "manifest are missing"), (left_over, "shard are not in the manifest"))
        if count
    ]
