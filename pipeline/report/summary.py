"""The figures of a round's tracks as plain values: what the report draws, and what later rounds are compared with.

``pipeline.report.scan`` makes a ``RoundSummary`` in one pass over the manifests; it is kept as ``report/summary.json``
beside the page. It holds what ``round.json`` does not: everything that comes from looking at every track.

Example::

    summary = RoundSummary.model_validate_json(storage.read_bytes("report/summary.json"))
    summary.kept.tracks, summary.scores["re_sdr_db"].quantile(0.5)
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from data_specs.config import Config
from data_specs.records import Record, Tier
from data_specs.scores import SCORES, Score
from pipeline.gate import cautious

TIERS: tuple[Tier, ...] = get_args(Tier)
KEPT_TIERS = tuple(tier for tier in TIERS if tier != "rejected")
REMIX_FIRST = ("re_sdr_db", "re_si_sdr_db", "energy_share_db")
CALIBRATED_FIRST = ("good_probability", "expected_si_sdr_db", "energy_share_db")
"""The scores to look at first, by what decided: the paper's thresholds on the remix, or a calibrated gate."""
DRIFT_GROUPS = 10
"""Groups of equal size that two distributions of a score are compared by."""


class Amount(Record):
    """How many tracks, and seconds of audio in them."""

    tracks: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(tracks=self.tracks + other.tracks, seconds=self.seconds + other.seconds)


class ScoreFigures(Record):
    """Distribution of one score: tier -> bin -> tracks. Bin k covers (k · width, (k + 1) · width].

    Bins are open below, so that "above a threshold" counts whole bins where the threshold is a multiple of the width.
    """

    width: float
    bins: dict[str, dict[int, int]] = {}

    @property
    def tracks(self) -> int:
        """Tracks that have the score."""
        return sum(sum(counts.values()) for counts in self.bins.values())

    def of(self, tiers: Iterable[str]) -> dict[int, int]:
        """Tracks per bin in all of ``tiers``, in the order of the bins."""
        total: Counter[int] = Counter()
        for tier in tiers:
            total.update(self.bins.get(tier, {}))
        return dict(sorted(total.items()))

    def quantile(self, share: float, tiers: Iterable[str] = TIERS) -> float | None:
        """The score that ``share`` of the tracks do not exceed, within one bin; None without tracks."""
        return bin_quantile(self.of(tiers), self.width, share)


class Yield(Record):
    """What a threshold on both Re-SDR and Re-SISDR keeps: clips (Table 9: "source") and their tracks ("separated")."""

    threshold_db: float
    clips: int
    clips_s: float
    tracks: int
    tracks_s: float


class WantedYield(Record):
    """What a calibrated gate keeps that wants this probability of "good": tracks of both tiers, and those for ``sst``.

    Tier ``sst`` takes whole clips: all tracks have to be probable enough.
    """

    probability: float
    tracks: int
    tracks_s: float
    sst_clips: int
    sst_tracks: int
    sst_s: float


class LabelFigures(Record):
    """Tracks of one label: amounts by tier, clips, kept tracks that are nearly silent, and medians of the scores."""

    label: str
    category: str
    tiers: dict[str, Amount] = {}
    clips: int = 0
    near_silent: int = 0
    medians: dict[str, float] = {}

    @property
    def all(self) -> Amount:
        """Every track."""
        return sum(self.tiers.values(), Amount())

    @property
    def kept(self) -> Amount:
        """Tracks of the kept tiers."""
        return sum((self.tiers.get(tier, Amount()) for tier in KEPT_TIERS), Amount())

    @property
    def kept_share(self) -> float:
        """Kept tracks over all."""
        return self.kept.tracks / self.all.tracks if self.all.tracks else 0.0


class CategoryFigures(Record):
    """Seconds of audio per top class of the ontology (paper, Figure 1): single-source clips, and tracks by tier."""

    category: str
    single_source_s: float = 0.0
    tiers_s: dict[str, float] = {}

    @property
    def total_s(self) -> float:
        """Single-source clips and kept tracks."""
        return self.single_source_s + sum(self.tiers_s.get(tier, 0.0) for tier in KEPT_TIERS)


class Failure(Record):
    """Inputs that failed for one reason: how many, and the names of some."""

    stage: str
    reason: str
    count: int
    examples: tuple[str, ...] = ()


class Disagreements(Record):
    """Labels that came with clips against what a tagger hears: clips checked, clips that differ, which labels."""

    checked: int = 0
    clips: int = 0
    labels: dict[str, int] = {}


class RoundSummary(Record):
    """What one pass over a round's manifests found; see the fields' types.

    Attributes:
        tracks, clips, clips_s: all separated tracks (failed ones are in ``failures``), and the clips they come from.
        tiers: amounts by tier. sources: the same by where tracks come from. reasons: rejected tracks by reason.
        thresholds: what the gate asks for, score -> tier -> value.
        yields: by rising threshold. wanted: by rising probability, where a calibrated gate decided.
        together: clips that hold both labels, a matrix over ``together_labels``; the diagonal counts the label alone.
        near_silent: kept tracks below ``near_silent_db`` of energy share.
        truncated, truncated_examples: recordings of kept clips that end before their headers say, and names of some.
        tags: given labels against the tags of the round. heard: the same by the tagger on the clips of the listening
            sample. empty_tracks: of the kept tracks in that sample, those whose label the tagger does not hear.
    """

    round: int
    tracks: int = 0
    clips: int = 0
    clips_s: float = 0.0
    single_source_s: float = 0.0
    tiers: dict[str, Amount] = {}
    sources: dict[str, dict[str, Amount]] = {}
    reasons: dict[str, int] = {}
    scores: dict[str, ScoreFigures] = {}
    thresholds: dict[str, dict[str, float]] = {}
    yields: tuple[Yield, ...] = ()
    wanted: tuple[WantedYield, ...] = ()
    labels: tuple[LabelFigures, ...] = ()
    categories: tuple[CategoryFigures, ...] = ()
    together_labels: tuple[str, ...] = ()
    together: tuple[tuple[int, ...], ...] = ()
    near_silent: int = 0
    near_silent_db: float = 0.0
    failures: tuple[Failure, ...] = ()
    truncated: int = 0
    truncated_examples: tuple[str, ...] = ()
    tags: Disagreements = Disagreements()
    heard: Disagreements = Disagreements()
    empty_tracks: Disagreements = Disagreements()

    @property
    def kept(self) -> Amount:
        """Tracks of the kept tiers."""
        return sum((self.tiers.get(tier, Amount()) for tier in KEPT_TIERS), Amount())

    @property
    def kept_share(self) -> float | None:
        """Kept tracks over all; None without tracks."""
        return self.kept.tracks / self.tracks if self.tracks else None

    @property
    def calibrated(self) -> bool:
        """Whether probabilities decided, not thresholds on the remix."""
        return "good_probability" in self.thresholds

    @property
    def leading_scores(self) -> tuple[Score, ...]:
        """The few scores that say most about this round's tracks, as far as there are any."""
        known = {score.name: score for score in SCORES}
        return tuple(known[n] for n in (CALIBRATED_FIRST if self.calibrated else REMIX_FIRST) if n in self.scores)

    @property
    def other_scores(self) -> tuple[Score, ...]:
        """All that are left."""
        return tuple(score for score in SCORES if score.name in self.scores and score not in self.leading_scores)

    @property
    def quality_score(self) -> Score:
        """The one that stands for the quality of a track, in dB."""
        name = "expected_si_sdr_db" if self.calibrated else "re_sdr_db"
        return next(score for score in SCORES if score.name == name)

    def yield_at(self, threshold_db: float) -> Yield | None:
        """What is above a threshold of ``yields``; None when it is not one of them."""
        return next((row for row in self.yields if row.threshold_db == threshold_db), None)

    def wanted_at(self, probability: float) -> WantedYield | None:
        """What is as probable as that, one of ``wanted``; None when it is not one of them."""
        return next((row for row in self.wanted if row.probability == probability), None)


def gate_thresholds(config: Config, calibration: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What the gate asked of the scores: score -> tier -> threshold, in the scores' units.

    Args:
        config: of the round.
        calibration: of the round, as in ``RoundState``: a calibration that could not be made leaves the decision to the
            paper's thresholds, one that cannot be trusted in full asks for more.
    """
    gate = config.gate
    if calibration.get("gate") == "calibrated":
        wanted = {"itt": gate.itt_probability, "sst": gate.sst_probability}
        return {"good_probability": {tier: cautious(value, calibration["caution"]) for tier, value in wanted.items()}}
    remix = {"itt": gate.itt_db, "sst": gate.sst_db}
    return {"re_sdr_db": remix, "re_si_sdr_db": remix}


def bin_quantile(bins: Mapping[int, int], width: float, share: float) -> float | None:
    """The value that ``share`` of the counts do not exceed, interpolated within its bin; None for no counts."""
    wanted = share * sum(bins.values())
    below = 0
    for number, count in sorted(bins.items()):
        if count and below + count >= wanted:
            return (number + (wanted - below) / count) * width
        below += count
    return None


def stability_index(reference: ScoreFigures, other: ScoreFigures) -> float | None:
    """Population stability index of a score between two rounds: 0 for equal distributions, above 0.25 a clear shift.

    Σ (q - p) ln(q / p) over the groups that hold equal shares of the reference, p and q being the smoothed shares.
    None when either has fewer than ``100`` tracks or the bins differ: shares of small samples say little.
    """
    old, new = reference.of(TIERS), other.of(TIERS)
    if min(sum(old.values()), sum(new.values())) < 100 or reference.width != other.width:
        return None
    edges = sorted({math.floor(_edge(reference, group / DRIFT_GROUPS)) for group in range(1, DRIFT_GROUPS)})
    index = 0.0
    for low, high in zip([-math.inf, *edges], [*edges, math.inf], strict=True):
        p, q = (
            (sum(count for number, count in bins.items() if low <= number < high) + 0.5)
            / (sum(bins.values()) + 0.5 * (len(edges) + 1))
            for bins in (old, new)
        )
        index += (q - p) * math.log(q / p)
    return index


def _edge(figures: ScoreFigures, share: float) -> float:
    return (figures.quantile(share) or 0.0) / figures.width


def score_titles() -> dict[str, tuple[str, str]]:
    """Score -> (title, unit), of every score of the manifest."""
    return {score.name: (score.title, score.unit) for score in SCORES}
