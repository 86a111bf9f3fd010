"""What a separate stage came to, from the manifest that it left.

Example::

    tally_round(workspace, 1).tiers      # {"sst": 31, "itt": 80, "rejected": 129}
"""

from collections.abc import Sequence

from data_specs.records import Record, StageCounts, TaggedClip, Track
from pipeline.workspace import Workspace


class SeparateTally(Record):
    """Outcomes of a separate stage: of clips, of tracks by the gate, tracks per tier, and seconds of audio kept."""

    clips: StageCounts
    tracks: StageCounts
    tiers: dict[str, int]
    kept_s: float


def tally_round(workspace: Workspace, round_number: int) -> SeparateTally:
    """Counts of a round's manifest, one manifest part in memory at a time."""
    clips, tracks = StageCounts(), StageCounts()
    tiers = {"sst": 0, "itt": 0, "rejected": 0}
    kept_s = 0.0
    for unit_id in sorted(workspace.committed_units(round_number)):
        rows = workspace.unit_tracks(round_number, unit_id)
        separated = [row for row in rows if row.outcome != "failed" and row.label]
        tracks += StageCounts.of(separated)
        clips += StageCounts.of(_clip_outcomes(rows))
        for row in separated:
            tiers[row.tier] += 1
            kept_s += row.duration_s * (row.outcome == "kept")
    return SeparateTally(clips=clips, tracks=tracks, tiers=tiers, kept_s=round(kept_s, 3))


def _clip_outcomes(rows: Sequence[Track]) -> list[TaggedClip]:
    """One outcome per clip: it was separated, came to no tracks, or failed for the reason that all of its rows have."""
    firsts = {row.clip_id: row for row in reversed(rows)}
    return [
        TaggedClip(clip_id=clip_id, outcome=row.outcome, reason=row.reason)
        if row.outcome == "failed" or not row.label
        else TaggedClip(clip_id=clip_id)
        for clip_id, row in firsts.items()
    ]
