"""Promotion: a round's checkpoint replaces the current one only when it is no worse on the held-out set.

Two figures have to agree. SDRi (eq. 7) rewards masks near one half where the separator is unsure; SI-SDRi (eq. 9) does
not, but it forgives a wrong level.

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
FIGURES = {"sdri_db": "SDRi", "si_sdri_db": "SI-SDRi"}


class Promotion(Record):
    """The decision and what it rests on; improvements are None where an evaluation gave no number."""

    promoted: bool
    reason: str
    current_sdri_db: float | None = None
    candidate_sdri_db: float | None = None
    current_si_sdri_db: float | None = None
    candidate_si_sdri_db: float | None = None
    tolerance_db: float = 0.0


def decide(current: Mapping[str, Any], candidate: Mapping[str, Any], config: Config) -> Promotion:
    """Compare mean SDRi and SI-SDRi with positive and negative query: the candidate may be worse in neither.

    A candidate without finite figures never replaces.

    Args:
        current: metrics of the checkpoint in use, as ``evaluate_mixtures`` gives them.
        candidate: metrics of the round's checkpoint, on the same mixtures.
        config: ``config.evaluate.tolerance_db`` is how much worse a candidate may be.
    """
    tolerance_db = config.evaluate.tolerance_db
    before, after = ({name: _mean_db(metrics, name) for name in FIGURES} for metrics in (current, candidate))

    def decision(promoted: bool, reason: str) -> Promotion:
        found = {f"current_{name}": value for name, value in before.items()}
        found |= {f"candidate_{name}": value for name, value in after.items()}
        return Promotion(promoted=promoted, reason=reason, tolerance_db=tolerance_db, **found)

    if not candidate:
        return decision(False, "there is no candidate: the round trained none")
    gains_db, parts = {}, []
    for name, title in FIGURES.items():
        own, other = after[name], before[name]
        if own is None:
            return decision(False, f"the candidate has no finite {title} on the held-out set")
        if other is None:
            return decision(False, f"the current checkpoint has no finite {title} to compare with")
        gains_db[title] = own - other
        parts.append(f"{title} {own:.2f} dB instead of {other:.2f}")
    if current.get("set") != candidate.get("set"):
        return decision(False, "current and candidate were evaluated on different mixtures")
    comparison = ", ".join(parts)
    worse = [title for title, gain_db in gains_db.items() if gain_db < -tolerance_db]
    if worse:
        limit = f" by more than {tolerance_db:g} dB" if tolerance_db else ""
        where = "both" if len(worse) == len(FIGURES) else worse[0]
        return decision(False, f"{comparison}: worse in {where}{limit}")
    return decision(True, comparison if min(gains_db.values()) >= 0 else f"{comparison}, within {tolerance_db:g} dB")


def _mean_db(metrics: Mapping[str, Any], figure: str) -> float | None:
    """Mean with positive and negative query; None when it is missing or not finite."""
    mode = metrics.get(QUERY_MODE)
    value = mode.get(figure, {}).get("mean") if isinstance(mode, Mapping) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
