"""The tables of the report as plain rows: stages, yields, labels, evaluations, times.

Pages lay them out; ``pipeline.report.artifacts`` writes some of them as Markdown.

Example::

    for row in stage_rows(state.counts):
        print(row["title"], row["counts"].kept)
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from data_specs.config import Config
from data_specs.records import StageCounts
from pipeline.ledger import STAGES, RoundState
from pipeline.report.history import EVALUATED_MODE, Past
from pipeline.report.summary import KEPT_TIERS, Amount, RoundSummary
from pipeline.report.words import MODE_TITLES, count, listed, mean_of, number, ordered

# Where a stage of the round counts its inputs in round.json, in the order data meets them, and what it counts.
STAGE_TITLES = {
    "ingest": ("Ingest", "clips of the corpus"),
    "ingest_single_source": ("Ingest, single-source", "clips"),
    "tag": ("Tag", "clips"),
    "separate": ("Separate", "clips"),
    "gate": ("Gate", "tracks"),
}
SOURCE_TITLES = {"labels": "Label queries", "label_free": "Unconditional separator, then tags"}
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
ROUND_METRICS = ("sdri_db", "si_sdri_db", "silence_sdr_db", "re_sdr_db")
TRAINING_TITLES = {
    "skipped": ("no training", ""),
    "steps": ("steps", ""),
    "single_source_clips": ("single-source clips", ""),
    "itt_tracks": ("ITT tracks", ""),
    "sst_clips": ("SST clips", ""),
    "final_loss_db": ("loss, mean of the last steps", ""),
    "validation_sdri_db": ("validation SDRi", "dB"),
    "matching_cosine": ("cosine of a sound and its label", ""),
    "other_cosine": ("cosine of a sound and another label", ""),
}
"""Facts of a round's training: their words, and units."""
RELIABLE_TRACKS = 10
HEARING = ("tag", "separate")
YIELD_THRESHOLDS_DB = (5.0, 10.0, 15.0, 20.0)


def stage_rows(counts: Mapping[str, StageCounts]) -> list[dict[str, Any]]:
    """What became of every input, reasons by how often they occurred."""
    names = [*(name for name in STAGE_TITLES if name in counts), *(name for name in counts if name not in STAGE_TITLES)]
    rows = []
    for name in names:
        title, unit = STAGE_TITLES.get(name, (name.replace("_", " ").capitalize(), ""))
        rows.append({"title": title, "unit": unit, "counts": counts[name], "reasons": ordered(counts[name].reasons)})
    return rows


def source_rows(summary: RoundSummary) -> list[dict[str, Any]]:
    """Tracks by where they come from; no rows where all come from label queries."""
    if not set(summary.sources) - {"labels"}:
        return []
    rows = []
    for source, tiers in summary.sources.items():
        every, kept = sum(tiers.values(), Amount()), sum((tiers[tier] for tier in KEPT_TIERS), Amount())
        rows.append({"title": SOURCE_TITLES[source], "tiers": tiers, "all": every, "kept": kept})
    return rows


def yield_rows(rounds: Sequence[Past], summary: RoundSummary) -> list[dict[str, Any]]:
    """Clips and tracks above thresholds, per round (Table 9); the gate's own thresholds are among them."""
    own = set(summary.thresholds.get("re_sdr_db", {}).values())
    rows = []
    for past in reversed(rounds[-3:]):
        for threshold_db in sorted({*YIELD_THRESHOLDS_DB, *own}):
            found = past.summary.yield_at(threshold_db)
            if found is not None:
                tiers = [tier for tier, value in past.summary.thresholds.get("re_sdr_db", {}).items()]
                tiers = [t for t in tiers if past.summary.thresholds["re_sdr_db"][t] == threshold_db]
                rows.append({"round": past.state.number, "yield": found, "tiers": tiers})
    return rows


def calibration_rows(calibration: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of the tracks that the gate is surest of, on scenes that it was not fitted on: the share that is good.

    ``stated`` is what the gate says, ``true`` what it is, ``error`` the standard error of that. No rows where the
    paper's thresholds decided.
    """
    rows = []
    for best, precision in calibration.get("precision", {}).items():
        true, tracks = precision["true"], calibration["tracks"] * int(best.removesuffix("%")) / 100
        rows.append({"best": best, **precision, "error": math.sqrt(true * (1 - true) / max(tracks, 1.0))})
    return rows


def reliability_rows(calibration: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same by the probability that is ``wanted``, where there are enough such tracks on the scenes to say it."""
    return [
        {**row, "error": math.sqrt(row["true"] * (1 - row["true"]) / row["tracks"])}
        for row in calibration.get("reliability", ())
        if row["tracks"] >= RELIABLE_TRACKS
    ]


def wanted_rows(summary: RoundSummary, calibration: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a calibrated gate keeps over the wanted probability, which tiers it decided, how good such tracks are.

    ``stated`` and ``true`` precision on scenes with known truth; None where too few of their tracks are so probable.
    """
    decided = summary.thresholds.get("good_probability", {})
    known = {row["wanted"]: row for row in reliability_rows(calibration)}
    rows = []
    for found in summary.wanted:
        tiers = [tier for tier, value in decided.items() if value == found.probability]
        if tiers or round(10 * found.probability, 6) % 1 == 0:
            precise = known.get(round(found.probability, 4), {})
            rows.append(
                {
                    "yield": found,
                    "share": found.tracks / max(summary.tracks, 1),
                    "tiers": tiers,
                    **{name: precise.get(name) for name in ("stated", "true")},
                }
            )
    return rows


def together_rows(summary: RoundSummary) -> list[tuple[str, str, int]]:
    """Two labels and the clips that hold both, the most clips first."""
    rows = [
        (label, other, summary.together[row][column])
        for row, label in enumerate(summary.together_labels)
        for column, other in enumerate(summary.together_labels[:row])
        if summary.together[row][column]
    ]
    return sorted(rows, key=lambda pair: (-pair[2], pair[:2]))


def label_rows(state: RoundState, summary: RoundSummary) -> list[dict[str, Any]]:
    """Yield and quality per label: figures of the tracks, and SDRi of the separator that made them and its change."""
    current, candidate = ((state.metrics.get(side) or {}).get("labels", {}) for side in ("current", "candidate"))
    rows = []
    for figures in summary.labels:
        before, after = (side.get(figures.label, {}).get("sdri_db") for side in (current, candidate))
        change = after - before if after is not None and before is not None else None
        rows.append({"label": figures, "sdri_db": before, "change_db": change})
    return rows


def evaluation_rows(rounds: Sequence[Past]) -> list[dict[str, Any]]:
    """Per round: audio kept, and the new separator on the held-out mixtures (Table 2); the starting one first."""
    rows: list[dict[str, Any]] = []
    for past in rounds:
        if not rows and past.state.metrics.get("current"):
            start = past.state.metrics["current"]
            rows.append(
                {"round": past.state.number - 1, "past": None, "metrics": _round_metrics(start), "promoted": None}
            )
        metrics = _round_metrics(past.state.metrics.get("candidate") or {})
        rows.append({"round": past.state.number, "past": past, "metrics": metrics, "promoted": past.state.promoted})
    return rows


def _round_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    mode = metrics.get(EVALUATED_MODE) or {}
    return {METRIC_TITLES[name]: mode.get(name) for name in ROUND_METRICS}


def metric_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows mode x metric with the statistics of both checkpoints and the change of the mean."""
    sides = [metrics.get(side) or {} for side in ("current", "candidate")]
    rows = []
    for mode, title in MODE_TITLES.items():
        for name in METRIC_TITLES:
            current, candidate = (side.get(mode, {}).get(name) for side in sides)
            if current is None and candidate is None:
                continue
            before, after = (mean_of(side, mode, name) for side in sides)
            rows.append(
                {
                    "mode": title,
                    "title": METRIC_TITLES[name],
                    "current": current,
                    "candidate": candidate,
                    "change_db": after - before if after is not None and before is not None else None,
                }
            )
    return rows


def training_facts(training: Mapping[str, Any]) -> dict[str, str]:
    """What the train stage said of itself, in words: title -> value."""
    facts = {}
    for name, (title, unit) in TRAINING_TITLES.items():
        value = training.get(name)
        if isinstance(value, int):
            facts[title] = count(value)
        elif isinstance(value, float):
            facts[title] = number(value, unit)
        elif value:
            facts[title] = value
    unreadable = list(training.get("problems") or ())
    return facts | ({"left out, because it cannot be read": listed(unreadable)} if unreadable else {})


def time_rows(state: RoundState, summary: RoundSummary, config: Config) -> list[dict[str, Any]]:
    """Per stage in seconds: wall time, CPU and GPU time of its workers; for those that hear every clip, how much faster
    than the clips' own length.

    Stages without workers of their own run on one CPU.
    """
    rows = []
    for stage in STAGES:
        seconds = state.timings_s.get(stage, 0.0)
        if seconds <= 0:
            continue
        cpus, gpus = _resources(stage, config)
        rows.append(
            {
                "stage": stage,
                "seconds": seconds,
                "cpu_s": seconds * cpus,
                "gpu_s": seconds * gpus,
                "speed": summary.clips_s / seconds if summary.clips_s and stage in HEARING else None,
            }
        )
    return rows


def _resources(stage: str, config: Config) -> tuple[float, float]:
    """CPUs and GPUs that a stage's workers hold."""
    workers = config.workers.model_dump()
    number = workers.get(f"{stage}_workers", 1)
    return number * workers.get(f"{stage}_cpus", 1.0), number * workers.get(f"{stage}_gpus", 0.0)
