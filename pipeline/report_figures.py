"""Figures of the report as SVG text: histograms of the remix scores, and the training curve.

Figures hold no text from the data, only fixed words and numbers. The same data gives the same bytes.

Example::

    svg = score_histogram(summary.re_sdr_db, "Re-SDR", thresholds_db={"ITT": 10.0, "SST": 15.0})
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

TIER_COLOURS = {"sst": "#1b7f5c", "itt": "#6fb98f", "rejected": "#c9c5bd"}
RANGE_DB = (-20.0, 50.0)
_STYLE: Any = {
    "svg.hashsalt": "report",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8680",
    "axes.labelcolor": "#3c3a37",
    "xtick.color": "#3c3a37",
    "ytick.color": "#3c3a37",
}


def score_histogram(scores_db: Mapping[str, Sequence[float]], title: str, *, thresholds_db: Mapping[str, float]) -> str:
    """Tracks over a score in bins of 2 dB, stacked by tier, with the gate's thresholds as lines.

    Scores outside of ``RANGE_DB`` are counted in the outermost bins.
    """
    low, high = RANGE_DB
    tiers = [tier for tier in TIER_COLOURS if len(scores_db.get(tier, ()))]
    values = [[min(max(value, low), high) for value in scores_db[tier]] for tier in tiers]
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(width=4.6, height=2.6)
        if tiers:
            axes.hist(
                values,
                bins=int((high - low) / 2),
                range=RANGE_DB,
                stacked=True,
                color=[TIER_COLOURS[tier] for tier in tiers],
                label=[tier.upper() if tier != "rejected" else tier for tier in tiers],
            )
            axes.legend(frameon=False, fontsize=8)
        for name, threshold_db in thresholds_db.items():
            axes.axvline(threshold_db, color="#b5483a", linewidth=1, linestyle="--")
            axes.annotate(
                f"{name} {threshold_db:g}",
                (threshold_db, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(2, 2),
                textcoords="offset points",
                fontsize=7,
                color="#b5483a",
                ha="left" if threshold_db == max(thresholds_db.values()) else "right",
            )
        axes.set(xlabel=f"{title} (dB)", ylabel="tracks", xlim=RANGE_DB)
        return _svg(figure)


def training_curve(history: Mapping[str, Any]) -> str | None:
    """Loss per step and validation SDRi; None when the history holds neither.

    Args:
        history: ``loss`` per step, ``validation_sdri_db`` at the steps in ``step``.
    """
    loss, steps, validation = (list(history.get(key) or ()) for key in ("loss", "step", "validation_sdri_db"))
    if not loss and not validation:
        return None
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(width=6.4, height=2.6)
        if loss:
            at = steps if len(steps) == len(loss) else range(1, len(loss) + 1)
            axes.plot(at, loss, color="#8a8680", linewidth=1)
            axes.set(ylabel="loss (eq. 5)")
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if validation:
            at = steps if len(steps) == len(validation) else range(1, len(validation) + 1)
            right = axes.twinx()
            right.plot(at, validation, color=TIER_COLOURS["sst"], marker="o", markersize=3, linewidth=1.2)
            right.set_ylabel("validation SDRi (dB)", color=TIER_COLOURS["sst"])
            right.spines["right"].set_visible(True)
        return _svg(figure)


def _figure(*, width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
