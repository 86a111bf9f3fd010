"""One pass over the manifests of a round: its figures, and a sample of its clips. Memory does not grow with the tracks.

Manifest parts are read one after the other and looked at in batches of some thousand rows. Clip ids are hashes of
content, so the clips with the smallest ids are a random sample, and the same one every time.

Example::

    totals, sample = Totals(config, state.calibration), ClipSample(per_label=2, most=120)
    for batch in track_batches(workspace, 1):
        totals.add(batch)
        sample.add(batch)
    totals.summary(workspace, 1, config)
"""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations, groupby, zip_longest
from math import ceil
from typing import Any

import numpy as np
import pyarrow as pa

from data_specs.config import Config
from data_specs.labels import label_table
from data_specs.records import Clip
from data_specs.scores import SCORES, Score
from pipeline.report.summary import (
    KEPT_TIERS,
    TIERS,
    Amount,
    CategoryFigures,
    LabelFigures,
    RoundSummary,
    ScoreFigures,
    Yield,
    bin_quantile,
    gate_thresholds,
)
from pipeline.report.wanted import WantedYields
from pipeline.workspace import ClipSet, Workspace

BATCH_ROWS = 20_000
TOGETHER_LABELS = 12
OTHER_CATEGORY = "Not in the ontology"
YIELD_RANGE_DB = range(-10, 41)
FINE_DB, FINE = 1 / 8, 1 / 256
"""Bin widths for scores in dB and for others; figures draw eight bins as one."""


def track_batches(workspace: Workspace, round_number: int) -> Iterator[pa.Table]:
    """The round's track manifest in tables of about ``BATCH_ROWS`` rows; a clip's rows are in one table."""
    waiting: list[pa.Table] = []
    for table in workspace.track_tables(round_number):
        if "source" not in table.column_names:  # of a round that knew label queries only
            table = table.append_column("source", pa.array(["labels"] * len(table)))
        waiting.append(table)
        if sum(map(len, waiting)) >= BATCH_ROWS:
            yield pa.concat_tables(waiting, promote_options="default")
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting, promote_options="default")


def bin_width(score: Score) -> float:
    """Width of the finest bins that a score is counted in."""
    return FINE_DB if score.unit == "dB" else FINE


class Totals:
    """Counts everything in the batches that it is shown.

    Args:
        config: of the round.
        calibration: of the round, as in ``RoundState``: what its gate rests on.
    """

    def __init__(self, config: Config, calibration: Mapping[str, Any]) -> None:
        self.thresholds = gate_thresholds(config, calibration)
        self.wanted = WantedYields(config, calibration)
        self.near_silent_db = config.report.near_silent_db
        self.tracks = self.failed = self.clips = 0
        self.clips_s = 0.0
        self.tiers = dict.fromkeys(TIERS, Amount())
        self.sources: dict[str, dict[str, Amount]] = {}
        self.reasons: Counter[str] = Counter()
        self.scores: dict[str, dict[str, Counter[int]]] = {s.name: defaultdict(Counter) for s in SCORES}
        self.label_tiers: dict[tuple[str, str], Amount] = {}
        self.label_clips: Counter[str] = Counter()
        self.label_scores: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        self.label_near_silent: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.remix: dict[int, np.ndarray] = {}  # bin of the worse remix score -> clips, seconds, tracks, seconds

    def add(self, batch: pa.Table) -> None:
        """Count the rows of a batch; failed rows, and those without a label, have no track."""
        batch = batch.filter(_has_track(batch))
        if not len(batch):
            return
        labels, tiers = batch["label"].to_pylist(), batch["tier"].to_pylist()
        self.tracks += len(batch)
        self.reasons.update(reason for reason in batch["reason"].to_pylist() if reason)
        rows = batch.group_by(["label", "tier"]).aggregate([("duration_s", "sum"), ("duration_s", "count")])
        for row in rows.to_pylist():
            amount = Amount(tracks=row["duration_s_count"], seconds=row["duration_s_sum"])
            self.tiers[row["tier"]] += amount
            key = row["label"], row["tier"]
            self.label_tiers[key] = self.label_tiers.get(key, Amount()) + amount
        self._add_sources(batch)
        for score in SCORES:
            if score.name in batch.column_names:
                self._add_score(score, _column(batch, score.name), labels, tiers)
        self._add_clips(batch, labels)
        self.wanted.add(batch)

    def _add_sources(self, batch: pa.Table) -> None:
        rows = batch.group_by(["source", "tier"]).aggregate([("duration_s", "sum"), ("duration_s", "count")])
        for row in rows.to_pylist():
            own = self.sources.setdefault(row["source"], dict.fromkeys(TIERS, Amount()))
            own[row["tier"]] += Amount(tracks=row["duration_s_count"], seconds=row["duration_s_sum"])

    def _add_score(self, score: Score, values: np.ndarray, labels: list[str], tiers: list[str]) -> None:
        finite = np.isfinite(values)
        bins = np.ceil(values[finite] / bin_width(score)).astype(np.int64) - 1
        if not score.unit:  # shares and cosines of exactly zero belong to what is drawn right of it
            bins[values[finite] == 0] = 0
        chosen = np.flatnonzero(finite).tolist()
        of_tier, of_label = self.scores[score.name], self.label_scores
        for row, number in zip(chosen, bins.tolist(), strict=True):
            of_tier[tiers[row]][number] += 1
            of_label[score.name, labels[row]][number // 4] += 1
        if score.name == "energy_share_db":
            quiet = values < self.near_silent_db
            self.label_near_silent.update(labels[row] for row in np.flatnonzero(quiet) if tiers[row] in KEPT_TIERS)

    def _add_clips(self, batch: pa.Table, labels: list[str]) -> None:
        """Labels that are in a clip together, and what its remix scores would keep."""
        seconds = _column(batch, "duration_s")
        worst_db = np.minimum(_column(batch, "re_sdr_db"), _column(batch, "re_si_sdr_db"))
        for _, group in groupby(enumerate(batch["clip_id"].to_pylist()), key=lambda item: item[1]):
            rows = [row for row, _ in group]
            own = sorted({labels[row] for row in rows})
            self.clips += 1
            self.clips_s += seconds[rows[0]]
            self.label_clips.update(own)
            self.pairs.update(combinations(own, 2))
            if np.isfinite(worst_db[rows[0]]):
                found = [1.0, seconds[rows[0]], len(rows), seconds[rows].sum()]
                number = ceil(worst_db[rows[0]] / FINE_DB) - 1
                self.remix[number] = self.remix.get(number, np.zeros(4)) + found

    def summary(self, workspace: Workspace, round_number: int, config: Config) -> RoundSummary:
        """Everything counted, and the hours of the single-source clips beside it."""
        single_s = _single_source_seconds(workspace)
        matrix_labels = [label for label, _ in _most_common(self.label_clips)[:TOGETHER_LABELS]]
        return RoundSummary(
            round=round_number,
            tracks=self.tracks,
            clips=self.clips,
            clips_s=self.clips_s,
            single_source_s=sum(single_s.values()),
            tiers=self.tiers,
            sources=dict(sorted(self.sources.items())),
            reasons=dict(_most_common(self.reasons)),
            scores={s.name: _figures(self.scores[s.name], s) for s in SCORES if self.scores[s.name]},
            thresholds=self.thresholds,
            yields=self._yields({config.gate.itt_db, config.gate.sst_db}),
            wanted=self.wanted.rows if self.tracks else (),
            labels=self._labels(),
            categories=self._categories(single_s),
            together_labels=tuple(matrix_labels),
            together=tuple(tuple(self._together(a, b) for b in matrix_labels) for a in matrix_labels),
            near_silent=self.label_near_silent.total(),
            near_silent_db=self.near_silent_db,
        )

    def _yields(self, thresholds_db: set[float]) -> tuple[Yield, ...]:
        if not self.remix:
            return ()
        rows = []
        for threshold_db in sorted({*map(float, YIELD_RANGE_DB), *thresholds_db}):
            above = [found for number, found in self.remix.items() if number * FINE_DB >= threshold_db]
            clips, clips_s, tracks, tracks_s = np.sum([np.zeros(4), *above], axis=0).tolist()
            rows.append(
                Yield(
                    threshold_db=threshold_db, clips=int(clips), clips_s=clips_s, tracks=int(tracks), tracks_s=tracks_s
                )
            )
        return tuple(rows)

    def _labels(self) -> tuple[LabelFigures, ...]:
        """Most tracks first."""
        found = [
            LabelFigures(
                label=label,
                category=category(label),
                tiers={tier: self.label_tiers[label, tier] for tier in TIERS if (label, tier) in self.label_tiers},
                clips=self.label_clips[label],
                near_silent=self.label_near_silent[label],
                medians={s.name: median for s in SCORES if (median := self._median(s, label)) is not None},
            )
            for label in {label for label, _ in self.label_tiers}
        ]
        return tuple(sorted(found, key=lambda row: (-row.all.tracks, row.label)))

    def _median(self, score: Score, label: str) -> float | None:
        return bin_quantile(self.label_scores.get((score.name, label), {}), 4 * bin_width(score), 0.5)

    def _categories(self, single_s: dict[str, float]) -> tuple[CategoryFigures, ...]:
        """Most audio first."""
        tiers_s: dict[str, dict[str, float]] = defaultdict(dict)
        for (label, tier), amount in sorted(self.label_tiers.items()):
            own = tiers_s[category(label)]
            own[tier] = own.get(tier, 0.0) + amount.seconds
        found = [
            CategoryFigures(category=name, single_source_s=single_s.get(name, 0.0), tiers_s=tiers_s.get(name, {}))
            for name in {*single_s, *tiers_s}
        ]
        return tuple(sorted(found, key=lambda row: (-row.total_s, row.category)))

    def _together(self, a: str, b: str) -> int:
        return self.label_clips[a] if a == b else self.pairs[min(a, b), max(a, b)]


class ClipSample:
    """Picks the clips to listen to: of every label some kept and some rejected tracks, and some of every reason."""

    def __init__(self, *, per_label: int, most: int) -> None:
        self.per_label, self.most = per_label, most
        self._strata: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)  # by clip id

    def add(self, batch: pa.Table) -> None:
        """Look at the rows of a batch."""
        columns = ("label", "tier", "reason", "clip_id", "unit")
        batch = batch.filter(_has_track(batch))
        for label, tier, reason, clip_id, unit in zip(*(batch[name].to_pylist() for name in columns), strict=True):
            self._offer((tier, label), clip_id, unit)
            if reason:
                self._offer(("reason", reason), clip_id, unit)

    def _offer(self, stratum: tuple[str, str], clip_id: str, unit: str) -> None:
        chosen = self._strata[stratum]
        if (clip_id, unit) not in chosen:
            insort(chosen, (clip_id, unit))
            del chosen[self.per_label :]

    def clips(self) -> dict[str, str]:
        """Clip id -> work unit of at most ``most`` clips: one of every stratum, then the second of each, and so on.

        Tiers and reasons take turns, so that there is something of each where there is no room for all labels. A clip
        counts for all strata that it is in.
        """
        kinds: dict[str, list[list[tuple[str, str]]]] = defaultdict(list)
        for (kind, _), items in sorted(self._strata.items()):
            kinds[kind].append(items)
        in_turn = [items for turn in zip_longest(*kinds.values(), fillvalue=[]) for items in turn]
        chosen: dict[str, str] = {}
        for rank in range(self.per_label):
            for items in in_turn:
                fresh = [item for item in items if item[0] not in chosen]
                if fresh and len(items) - len(fresh) <= rank and len(chosen) < self.most:
                    chosen[fresh[0][0]] = fresh[0][1]
        return dict(sorted(chosen.items()))


def category(label: str) -> str:
    """The top class of the ontology above a label, for labels of any manifest."""
    return label_table().category(label) or OTHER_CATEGORY


def iter_clips(workspace: Workspace, clip_set: ClipSet) -> Iterator[Clip]:
    """Every ingested clip of a set, one batch of rows in memory at a time."""
    for table in workspace.clip_tables(clip_set):
        for row in table.to_pylist():
            yield Clip(**row)


def _single_source_seconds(workspace: Workspace) -> dict[str, float]:
    """Seconds of kept single-source clips by category."""
    seconds: dict[str, float] = defaultdict(float)
    for table in workspace.clip_tables("single_source"):
        columns = (table[name].to_pylist() for name in ("labels", "duration_s", "outcome"))
        for labels, duration_s, outcome in zip(*columns, strict=True):
            if outcome == "kept" and labels:
                seconds[category(label_table().exclusive(labels)[0])] += duration_s
    return seconds


def _has_track(batch: pa.Table) -> pa.ChunkedArray:
    """Which rows stand for a track, and not for a clip that failed or came to none."""
    separated = pa.compute.not_equal(batch["outcome"], "failed")
    return pa.compute.and_(separated, pa.compute.not_equal(batch["label"], ""))


def _column(batch: pa.Table, name: str) -> np.ndarray:
    """A column of numbers (N,), NaN where there is none."""
    return batch[name].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)


def _figures(of_tier: dict[str, Counter[int]], score: Score) -> ScoreFigures:
    bins = {tier: dict(sorted(of_tier[tier].items())) for tier in TIERS if of_tier.get(tier)}
    return ScoreFigures(width=bin_width(score), bins=bins)


def _most_common(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
