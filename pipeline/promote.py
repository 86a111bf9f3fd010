"""Promotion: a round's checkpoint replaces the current one only when it is no worse on the held-out set.

Example::

    decision = decide(metrics["current"], metrics["candidate"], config)
    decision.promoted, decision.reason
"""

import math
from collections.abc import Mapping
from typing import Any

from data_specs.config import Config
from data_specs.records import Record

QUERY_MODE = "pos_neg"
METRIC = "sdri_db"


class Promotion(Record):
    """The decision and what it rests on; improvements are None where an evaluation gave no number."""

    promoted: bool
    reason: str
    current_sdri_db: float | None = None
    candidate_sdri_db: float | None = None
    tolerance_db: float = 0.0


def decide(current: Mapping[str, Any], candidate: Mapping[str, Any], config: Config) -> Promotion:
    """Compare the mean SDRi with positive and negative query; a candidate without a finite figure never replaces.

    Args:
        current: metrics of the checkpoint in use, as ``evaluate_mixtures`` gives them.
        candidate: metrics of the round's checkpoint, on the same mixtures.
        config: ``config.evaluate.tolerance_db`` is how much worse a candidate may be.
    """
    tolerance_db = config.evaluate.tolerance_db
    before, after = mean_sdri_db(current), mean_sdri_db(candidate)

    def decision(promoted: bool, reason: str) -> Promotion:
        return Promotion(
            promoted=promoted,
            reason=reason,
            current_sdri_db=before,
            candidate_sdri_db=after,
            tolerance_db=tolerance_db,
        )

    if not candidate:
        return decision(False, "there is no candidate: the round trained none")
    if after is None:
        return decision(False, "the candidate has no finite SDRi on the held-out set")
    if before is None:
        return decision(False, "the current checkpoint has no finite SDRi to compare with")
    if current.get("set") != candidate.get("set"):
        return decision(False, "current and candidate were evaluated on different mixtures")
    comparison = f"SDRi {after:.2f} dB against {before:.2f} dB of the current checkpoint"
    if after >= before - tolerance_db:
        return decision(True, comparison if after >= before else f"{comparison}, within {tolerance_db:g} dB")
    return decision(False, f"{comparison}, worse by more than {tolerance_db:g} dB" if tolerance_db else f"{comparison}")


def mean_sdri_db(metrics: Mapping[str, Any]) -> float | None:
    """Mean SDRi with positive and negative query; None when it is missing or not finite."""
    mode = metrics.get(QUERY_MODE)
    value = mode.get(METRIC, {}).get("mean") if isinstance(mode, Mapping) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
