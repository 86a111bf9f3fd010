"""Listening examples of a report: tracks that the gate kept, as files beside the page.

Tracks and SST mixtures come out of the shards as they are stored. Of ITT clips shards hold no mixture; it is cut from
the recording again, where that is still there. Rejected tracks are in no shard; the report lists their scores instead.

Example::

    examples = write_examples(workspace, 1, summary.examples, folder / "audio")
    examples[0].tracks[0].file      # 'audio/5f0c.0.flac'
"""

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_specs.records import Clip, Track
from data_specs.shard_format import MIXTURE_PART, member_name
from pipeline.audio import AudioError, decode, encode_flac
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class ExampleTrack:
    """A track and its file, relative to the page; empty when the shard does not hold it."""

    track: Track
    file: str


@dataclass(frozen=True)
class Example:
    """A clip with its mixture file (empty when there is none) and its tracks."""

    clip_id: str
    tier: str
    source: str
    mixture: str
    tracks: tuple[ExampleTrack, ...]


def write_examples(
    workspace: Workspace, round_number: int, clips: Mapping[str, Mapping[str, Sequence[Track]]], folder: Path
) -> list[Example]:
    """Extract the clips' audio into ``folder`` and describe what is there.

    Args:
        workspace: holds the shards and the clip manifest.
        round_number: the round.
        clips: tier -> clip id -> the clip's kept tracks, as ``summarise_tracks`` samples them.
        folder: gets the files; its name becomes part of their addresses.
    """
    sources = {clip.clip_id: clip for clip in workspace.kept_clips("natural")} if any(clips.values()) else {}
    shards = set(workspace.shards(round_number))
    examples = []
    for tier, by_clip in clips.items():
        for clip_id, tracks in by_clip.items():
            names = [member_name(clip_id, MIXTURE_PART), *(member_name(clip_id, track.index) for track in tracks)]
            shard = tracks[0].shard if tracks[0].shard in shards else ""
            found = _extract(workspace, round_number, shard, names, folder) if shard else set()
            source = sources.get(clip_id)
            if names[0] not in found and source is not None and _cut(source, folder / names[0], workspace):
                found.add(names[0])
            files = [f"{folder.name}/{name}" if name in found else "" for name in names]
            examples.append(
                Example(
                    clip_id=clip_id,
                    tier=tier,
                    source=source.path if source is not None else "",
                    mixture=files[0],
                    tracks=tuple(ExampleTrack(track, file) for track, file in zip(tracks, files[1:], strict=True)),
                )
            )
    return examples


def _extract(workspace: Workspace, round_number: int, shard: str, names: Sequence[str], folder: Path) -> set[str]:
    """Write the named members of a shard into ``folder``; returns those that it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    found = set()
    with workspace.open_shard(round_number, shard) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        members = {member.name: member for member in tar}
        for name in names:
            content = tar.extractfile(members[name]) if name in members else None
            if content is not None:
                (folder / name).write_bytes(content.read())
                found.add(name)
    return found


def _cut(clip: Clip, target: Path, workspace: Workspace) -> bool:
    """Write the clip's window of its recording to ``target``; False when the recording cannot be read any more."""
    rate = workspace.config.audio.sample_rate_hz
    try:
        waveform = decode(clip.path, start_s=clip.start_s, duration_s=clip.duration_s, sample_rate_hz=rate)
    except AudioError:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode_flac(waveform, rate))
    return True
