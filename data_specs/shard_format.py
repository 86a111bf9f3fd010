"""What a shard holds: the names of its members and the JSON that comes with every clip.

A shard is a WebDataset: a plain tar in which the members of one clip follow one another::

    5f0c….json          ShardClip: labels, scores, lineage
    5f0c….mix.flac      the mixture, only when all tracks of the clip are tier sst
    5f0c….0.flac        track 0, …

``pipeline.shards`` writes, verifies and reads it; any tar or WebDataset reader opens it as well.

Example::

    parse_member("5f0c.1.flac") == Member(clip_id="5f0c", part="1")
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from data_specs.records import Record, Tier, TrackSource

META_PART = "json"
MIXTURE_PART = "mix"

_MEMBER = re.compile(r"(?P<clip>[0-9A-Za-z_-]+)\.(?:(?P<meta>json)|(?P<audio>mix|\d+)\.flac)")


class ShardTrack(Record):
    """One track of a clip as it is in the shard; ``index`` is k in ``<clip>.<k>.flac``."""

    track_id: str
    index: int
    label: str
    negative_labels: tuple[str, ...]
    tier: Tier
    re_sdr_db: float | None
    re_si_sdr_db: float | None
    energy_share_db: float | None
    expected_si_sdr_db: float | None = None
    good_probability: float | None = None


class ShardClip(Record):
    """The content of ``<clip>.json``.

    All FLAC members of a clip were multiplied by ``gain`` before they were stored (1 unless a sample would clip), so
    their ratios and their sum are those of the separation. ``labels`` are all labels of the clip, those of rejected
    tracks too.
    """

    clip_id: str
    labels: tuple[str, ...]
    tracks: tuple[ShardTrack, ...]
    has_mixture: bool
    sample_rate_hz: int
    samples: int
    gain: float
    source_path: str
    source_start_s: float
    checkpoint: str
    config_hash: str
    source: TrackSource = "labels"

    def members(self) -> list[str]:
        """Names of the clip's members in the order of the shard."""
        audio = [MIXTURE_PART] * self.has_mixture + [str(track.index) for track in self.tracks]
        return [member_name(self.clip_id, META_PART), *(member_name(self.clip_id, part) for part in audio)]


class Member(NamedTuple):
    """A member's name in parts: ``part`` is ``json``, ``mix`` or the index of a track."""

    clip_id: str
    part: str


def member_name(clip_id: str, part: str | int) -> str:
    """Name of a member: ``part`` is ``META_PART``, ``MIXTURE_PART`` or a track's index."""
    return f"{clip_id}.json" if part == META_PART else f"{clip_id}.{part}.flac"


def parse_member(name: str) -> Member:
    """The parts of a member's name.

    Raises:
        ValueError: not a name of this format.
    """
    match = _MEMBER.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no member of a shard")
    return Member(match["clip"], match["meta"] or match["audio"])


def name_problems(names: Iterable[str]) -> list[str]:
    """What is wrong with the sequence of a shard's member names; [] when nothing is.

    Checks what readers rely on: known names, none twice, all members of a clip together, its JSON first.
    """
    problems: list[str] = []
    seen: set[str] = set()
    clips: set[str] = set()
    current = ""
    for name in names:
        try:
            member = parse_member(name)
        except ValueError as error:
            problems.append(str(error))
            continue
        if name in seen:
            problems.append(f"{name} is there twice")
        if member.clip_id != current and member.clip_id in clips:
            problems.append(f"{name} is apart from the other members of its clip")
        elif member.clip_id != current and member.part != META_PART:
            problems.append(f"{member.clip_id} does not begin with its JSON")
        current = member.clip_id
        seen.add(name)
        clips.add(member.clip_id)
    return problems
