"""What a round's report says, as plain values: one pass over the track manifest, and tables made from ``round.json``.

Used by ``pipeline.report``, which lays it out. Memory does not grow with the tracks but for 8 bytes each.

Example::

    summary = summarise_tracks(workspace.iter_tracks(1))
    summary.tiers, summary.labels["Bark"].kept_share
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from data_specs.records import StageCounts, Tier, Track
from pipeline.scoring import QUERY_MODES

TIERS: tuple[Tier, ...] = get_args(Tier)
EXAMPLE_CLIPS = 3
REJECTED_EXAMPLES = 10
# Where a stage of the round counts its inputs in round.json, in the order data meets them.
STAGE_TITLES = {
    "ingest": ("Ingest", "clips of the corpus"),
    "ingest_single_source": ("Ingest, single-source", "clips"),
    "tag": ("Tag", "clips"),
    "separate": ("Separate", "clips"),
    "gate": ("Gate", "tracks"),
}
METRIC_TITLES = {
    "sdr_db": "SDR",
    "sdri_db": "SDR improvement",
    "si_sdr_db": "SI-SDR",
    "si_sdri_db": "SI-SDR improvement",
    "bss_sdr_db": "BSS-eval SDR",
    "bss_sdri_db": "BSS-eval SDR improvement",
    "silence_sdr_db": "Silence SDR",
    "silence_si_sdr_db": "Silence SI-SDR",
    "re_sdr_db": "Re-SDR of the remix",
}


@dataclass
class LabelYield:
    """Tracks of one label by tier, and the seconds kept."""

    label: str
    tiers: Counter[str] = field(default_factory=Counter)
    kept_s: float = 0.0

    @property
    def tracks(self) -> int:
        return sum(self.tiers.values())

    @property
    def kept(self) -> int:
        return self.tracks - self.tiers["rejected"]

    @property
    def kept_share(self) -> float:
        return self.kept / self.tracks


@dataclass
class TrackSummary:
    """One pass over a track manifest.

    Attributes:
        tiers: tracks by tier.
        kept_s: seconds of audio in kept tracks.
        re_sdr_db, re_si_sdr_db: scores by tier, of the tracks that have them.
        labels: yield by label.
        examples: a sample of clips per kept tier, each with its tracks.
        rejected: a sample of rejected tracks.
    """

    tiers: Counter[str] = field(default_factory=Counter)
    kept_s: float = 0.0
    re_sdr_db: dict[str, array] = field(default_factory=lambda: {tier: array("f") for tier in TIERS})
    re_si_sdr_db: dict[str, array] = field(default_factory=lambda: {tier: array("f") for tier in TIERS})
    labels: dict[str, LabelYield] = field(default_factory=dict)
    examples: dict[str, dict[str, list[Track]]] = field(default_factory=lambda: {"sst": {}, "itt": {}})
    rejected: list[Track] = field(default_factory=list)

    @property
    def tracks(self) -> int:
        return sum(self.tiers.values())

    @property
    def kept(self) -> int:
        return self.tracks - self.tiers["rejected"]


def summarise_tracks(tracks: Iterable[Track]) -> TrackSummary:
    """Counts, scores, yield per label and examples of a manifest.

    Examples are the clips with the smallest ids. Ids are hashes of content, so this is a random sample, not the best.
    """
    summary = TrackSummary()
    for track in tracks:
        summary.tiers[track.tier] += 1
        row = summary.labels.setdefault(track.label, LabelYield(track.label))
        row.tiers[track.tier] += 1
        if track.re_sdr_db is not None:
            summary.re_sdr_db[track.tier].append(track.re_sdr_db)
        if track.re_si_sdr_db is not None:
            summary.re_si_sdr_db[track.tier].append(track.re_si_sdr_db)
        if track.tier == "rejected":
            summary.rejected.append(track)
            if len(summary.rejected) > 4 * REJECTED_EXAMPLES:
                summary.rejected = _first_rejected(summary.rejected)
            continue
        summary.kept_s += track.duration_s
        row.kept_s += track.duration_s
        clips = summary.examples[track.tier]
        clips.setdefault(track.clip_id, []).append(track)
        # A clip's tracks follow one another, so the clip that is complete may go when it is not among the first.
        if len(clips) > EXAMPLE_CLIPS + 1:
            del clips[max(clip_id for clip_id in clips if clip_id != track.clip_id)]
    for tier, clips in summary.examples.items():
        summary.examples[tier] = {clip_id: clips[clip_id] for clip_id in sorted(clips)[:EXAMPLE_CLIPS]}
    summary.rejected = _first_rejected(summary.rejected)
    return summary


def _first_rejected(tracks: list[Track]) -> list[Track]:
    return sorted(tracks, key=lambda track: (track.clip_id, track.index))[:REJECTED_EXAMPLES]


def stage_rows(counts: Mapping[str, StageCounts]) -> list[dict[str, Any]]:
    """Rows of the table "what became of every input", reasons by how often they occurred."""
    names = [*(name for name in STAGE_TITLES if name in counts), *(name for name in counts if name not in STAGE_TITLES)]
    rows = []
    for name in names:
        title, unit = STAGE_TITLES.get(name, (name.replace("_", " ").capitalize(), ""))
        reasons = sorted(counts[name].reasons.items(), key=lambda item: (-item[1], item[0]))
        rows.append({"title": title, "unit": unit, "counts": counts[name], "reasons": reasons})
    return rows


def label_rows(summary: TrackSummary) -> list[LabelYield]:
    """Yield per label, most tracks first."""
    return sorted(summary.labels.values(), key=lambda row: (-row.tracks, row.label))


def metric_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows mode x metric with the statistics of both checkpoints and the change of the mean."""
    current, candidate = metrics.get("current") or {}, metrics.get("candidate") or {}
    rows = []
    for mode in QUERY_MODES:
        for name, title in METRIC_TITLES.items():
            before, after = (side.get(mode, {}).get(name) for side in (current, candidate))
            if before is None and after is None:
                continue
            rows.append(
                {"mode": mode, "name": name, "title": title, "current": before, "candidate": after}
                | {"change_db": _difference(before, after)}
            )
    return rows


def label_metric_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """SDRi per label of both checkpoints, lowest candidate first: where the teacher is weak."""
    current, candidate = ((metrics.get(side) or {}).get("labels", {}) for side in ("current", "candidate"))
    rows = []
    for label in {*current, *candidate}:
        before, after = current.get(label, {}).get("sdri_db"), candidate.get(label, {}).get("sdri_db")
        n = candidate.get(label, current.get(label, {})).get("n", 0)
        change = after - before if after is not None and before is not None else None
        rows.append({"label": label, "n": n, "current_db": before, "candidate_db": after, "change_db": change})
    return sorted(rows, key=lambda row: (row["candidate_db"] is None, row["candidate_db"] or 0.0, row["label"]))


def _difference(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> float | None:
    if before is None or after is None or before["mean"] is None or after["mean"] is None:
        return None
    return after["mean"] - before["mean"]
