"""The report's figures: what a figure is, and those of one round.

A figure is an SVG with a sentence that says what there is to see, and the numbers behind it as a table, for those who
cannot see it or want to copy them. Colours and fonts come from the page (``pipeline.report.svg``).

Example::

    figure = category_figure(summary)
    figure.svg, figure.text
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from data_specs.scores import Score
from pipeline.report.summary import KEPT_TIERS, TIERS, RoundSummary, ScoreFigures
from pipeline.report.svg import COLOURS, STYLE, new_figure, themed_svg
from pipeline.report.tables import together_rows
from pipeline.report.words import amount_of_time, number, percent, plural, sentence, tier_word, time_unit

BINS_PER_BAR = 8
NAMED_TRACKS = 4
"""A label needs so many tracks to be named as the best or the worst."""
SMALL = {"width": 350, "height": 210}
WIDE = 390
"""Widths in CSS pixels of figures that stand three and two in a row; a phone shows either nearly as drawn."""


class Figure(NamedTuple):
    """A picture (SVG), what it says in a sentence, and its numbers: column titles and rows."""

    title: str
    svg: str
    text: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()


def score_figure(score: Score, figures: ScoreFigures, thresholds: Mapping[str, float]) -> Figure:
    """Tracks over a score, stacked by tier, with the gate's thresholds drawn in."""
    width = figures.width * BINS_PER_BAR
    bars = {tier: _bars(figures.bins.get(tier, {})) for tier in TIERS}
    low, high = _range(figures, thresholds.values())
    positions = np.arange(round(low / width), round(high / width))
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(**SMALL)
        bottom = np.zeros(len(positions))
        for tier in TIERS:
            counts = _clipped(bars[tier], positions)
            if counts.sum():
                axes.bar(positions * width, counts, width * 0.9, bottom, align="edge", color=COLOURS[tier], lw=0)
                bottom += counts
        axes.set(
            xlim=(low, high), ylabel="tracks", xlabel=f"{score.title} ({score.unit})" if score.unit else score.title
        )
        _whole_numbers(axes)
        axes.set_ylim(0, max(1.0, bottom.max() * 1.22))
        for asking, value in thresholds.items():
            axes.axvline(value, color=COLOURS["ink"], linewidth=1, linestyle=(0, (3, 2)))
            axes.annotate(
                f"{tier_word(asking)} {value:g}" if score.unit else f"{tier_word(asking)} {value:.2f}",
                (value, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3 if value == max(thresholds.values()) else -3, -2),
                textcoords="offset points",
                ha="left" if value == max(thresholds.values()) else "right",
                va="top",
                fontsize=10,
            )
        svg = themed_svg(figure, score.name, label=f"Histogram of {score.title} by tier")
    middle = [figures.quantile(share) for share in (0.1, 0.5, 0.9)]
    text = f"{score.title}: median {number(middle[1], score.unit)}; 80 % of the tracks lie between "
    text += f"{number(middle[0], score.unit)} and {number(middle[2], score.unit)}."
    rows = tuple(
        (f"{k * width:g} to {(k + 1) * width:g}", *(bars[tier].get(k, 0) for tier in TIERS))
        for k in sorted({k for counts in bars.values() for k in counts})
    )
    return Figure(score.title, svg, text, (score.unit or score.title, *map(tier_word, TIERS)), rows)


def category_figure(summary: RoundSummary) -> Figure:
    """Audio per top class: single-source clips, and the tracks that the round adds to them (Figure 1)."""
    rows = [row for row in summary.categories if row.total_s > 0]
    unit_s, unit = time_unit(max((row.total_s for row in rows), default=1.0))
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(width=WIDE, height=60 + 34 * max(1, len(rows)))
        left = np.zeros(len(rows))
        parts = [("single", [row.single_source_s for row in rows])]
        parts += [(tier, [row.tiers_s.get(tier, 0.0) for row in rows]) for tier in KEPT_TIERS]
        for colour, seconds in parts:
            axes.barh(range(len(rows)), np.array(seconds) / unit_s, 0.62, left, color=COLOURS[colour], lw=0)
            left += np.array(seconds) / unit_s
        for place, row in enumerate(rows):
            gain = f"× {row.total_s / row.single_source_s:.1f}" if row.single_source_s else "new"
            axes.annotate(
                gain, (left[place], place), xytext=(6, 0), textcoords="offset points", va="center", fontsize=10.5
            )
        axes.set_yticks(range(len(rows)), [row.category for row in rows])
        axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
        axes.invert_yaxis()
        axes.set(xlabel=f"audio ({unit})", xlim=(0, 1.13 * max(left, default=1.0)))
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        svg = themed_svg(figure, "categories", label="Audio per category")
    total_s, single_s = sum(row.total_s for row in rows), summary.single_source_s
    text = f"{amount_of_time(single_s)} of single-source clips, {amount_of_time(total_s)} with the kept tracks."
    columns = ("category", "single-source clips", *map(tier_word, KEPT_TIERS), "all")
    table = tuple(
        (r.category, *map(amount_of_time, (r.single_source_s, *(r.tiers_s.get(t, 0.0) for t in KEPT_TIERS), r.total_s)))
        for r in rows
    )
    return Figure("Audio per category", svg, text, columns, table)


def together_figure(summary: RoundSummary) -> Figure:
    """How many clips hold two labels at once, for the labels with the most clips."""
    labels, matrix = summary.together_labels, np.array(summary.together, dtype=float)
    pairs = np.tril(matrix, -1)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(width=150 + 30 * len(labels), height=90 + 28 * len(labels))
        for row, column in zip(*np.nonzero(pairs), strict=True):
            share = pairs[row, column] / pairs.max()
            box = Rectangle((column - 0.5, row - 0.5), 1, 1, color=COLOURS["accent"], alpha=0.12 + 0.88 * share, lw=0)
            axes.add_patch(box)
            ink = COLOURS["card" if share > 0.5 else "ink"]
            axes.text(column, row, f"{pairs[row, column]:.0f}", ha="center", va="center", color=ink, fontsize=10)
        shown = [_shortened(label) for label in labels]
        axes.set_xticks(range(len(labels) - 1), shown[:-1], rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(1, len(labels)), shown[1:])
        axes.tick_params(length=0, labelcolor=COLOURS["ink"])
        axes.set(xlim=(-0.5, len(labels) - 1.5), ylim=(len(labels) - 0.5, 0.5))
        axes.spines[["left", "bottom"]].set_visible(False)
        svg = themed_svg(figure, "together", label="Clips that hold two labels at once")
    found = together_rows(summary)
    said = "; ".join(f"{a} and {b} ({plural(n, 'clip')})" for a, b, n in found[:3])
    text = f"Most often together: {said}." if found else "No two of these labels share a clip."
    return Figure("Labels that share clips", svg, text, ("labels", "", "clips"), tuple(found[:40]))


def label_figure(summary: RoundSummary, score: Score) -> Figure | None:
    """Every label's kept share over the median of a score; the area of a dot is its number of tracks."""
    rows = [row for row in summary.labels if score.name in row.medians]
    if not rows:
        return None
    most = max(row.all.tracks for row in rows)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(width=WIDE, height=290)
        axes.scatter(
            [row.medians[score.name] for row in rows],
            [100 * row.kept_share for row in rows],
            s=[12 + 170 * row.all.tracks / most for row in rows],
            color=COLOURS["sst"],
            alpha=0.55,
            lw=0,
        )
        named = [row for row in rows if row.all.tracks >= NAMED_TRACKS] or rows
        by_yield = sorted(named, key=lambda row: (row.kept_share, row.medians[score.name]))
        for row, up in ((by_yield[-1], True), (by_yield[0], False)):
            axes.annotate(
                _shortened(row.label),
                (row.medians[score.name], 100 * row.kept_share),
                xytext=(0, 9 if up else -9),
                textcoords="offset points",
                ha="center",
                va="bottom" if up else "top",
                fontsize=10,
            )
        axes.set(xlabel=f"median {score.title} ({score.unit})", ylabel="tracks kept (%)", ylim=(-14, 114))
        axes.set_yticks(range(0, 101, 25))
        axes.margins(x=0.12)
        axes.grid()
        svg = themed_svg(figure, "label-yield", label=f"Kept share over the median {score.title} of every label")
    worst, best = by_yield[0], by_yield[-1]
    text = f"{best.label} keeps most, {percent(best.kept_share)} of {plural(best.all.tracks, 'track')}; "
    text += f"{worst.label} least, {percent(worst.kept_share)} of {worst.all.tracks:,}. "
    text += "A dot's area is the number of tracks."
    return Figure("Yield and quality per label", svg, text)


def training_figure(history: Mapping[str, Any]) -> Figure | None:
    """Loss per step and validation SDRi; None when the history holds neither.

    Args:
        history: ``loss`` per step, ``validation_sdri_db`` at the steps in ``step``.
    """
    loss, steps, validation = (list(history.get(key) or ()) for key in ("loss", "step", "validation_sdri_db"))
    if not loss and not validation:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(width=WIDE, height=240)
        if loss:
            at = steps if len(steps) == len(loss) else range(1, len(loss) + 1)
            axes.plot(at, loss, color=COLOURS["grey"])
            axes.set_ylabel("loss (eq. 5)")
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if validation:
            at = steps if len(steps) == len(validation) else range(1, len(validation) + 1)
            right = axes.twinx()
            right.plot(at, validation, color=COLOURS["sst"], marker="o", markersize=5)
            right.set_ylabel("validation SDRi (dB)", color=COLOURS["sst"])
        svg = themed_svg(figure, "training", label="Loss and validation over the steps of training")
    said = []
    if loss:
        said.append(f"the loss went from {number(loss[0])} to {number(loss[-1])}")
    if validation:
        begin = f"from {number(validation[0])} to" if len(validation) > 1 else "is"
        said.append(f"validation SDRi {begin} {number(validation[-1])} dB")
    text = f"In {plural(len(loss) or len(validation), 'step')} {' and '.join(said)}."
    return Figure("Training", svg, text)


def time_figure(seconds: Mapping[str, float], previous: Mapping[str, float]) -> Figure:
    """Seconds per stage, and a thin bar of the round before."""
    stages = list(seconds)
    unit_s, unit = time_unit(max(seconds.values()))
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(width=WIDE, height=50 + 34 * len(stages))
        axes.barh(range(len(stages)), [seconds[stage] / unit_s for stage in stages], 0.5, color=COLOURS["accent"], lw=0)
        for place, stage in enumerate(stages):
            axes.annotate(
                amount_of_time(seconds[stage]),
                (seconds[stage] / unit_s, place),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=10.5,
            )
            if stage in previous:
                axes.barh(place + 0.36, previous[stage] / unit_s, 0.13, color=COLOURS["grey"], lw=0)
        axes.set_yticks(range(len(stages)), stages)
        axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
        axes.invert_yaxis()
        widest = max([*seconds.values(), *(previous[stage] for stage in stages if stage in previous)])
        axes.set(xlabel=f"time ({unit})", xlim=(0, 1.22 * widest / unit_s))
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        svg = themed_svg(figure, "time", label="Time per stage")
    longest = max(seconds, key=lambda stage: seconds[stage])
    share = seconds[longest] / max(sum(seconds.values()), 1e-9)
    text = f"{sentence(longest)} took {percent(share)} of {amount_of_time(sum(seconds.values()))}."
    text += " The thin bars are the round before." * any(stage in previous for stage in stages)
    return Figure("Time per stage", svg, text)


def score_figures(summary: RoundSummary, scores: Iterable[Score]) -> list[Figure]:
    """One figure per score."""
    return [score_figure(score, summary.scores[score.name], summary.thresholds.get(score.name, {})) for score in scores]


def _bars(bins: Mapping[int, int]) -> dict[int, int]:
    bars: dict[int, int] = {}
    for place, count in bins.items():
        bars[place // BINS_PER_BAR] = bars.get(place // BINS_PER_BAR, 0) + count
    return bars


def _range(figures: ScoreFigures, marks: Sequence[float] | Any) -> tuple[float, float]:
    """The part of the axis that holds all but the outermost percents, and the thresholds."""
    width = figures.width * BINS_PER_BAR
    ends = [figures.quantile(share) or 0.0 for share in (0.005, 0.995)]
    low, high = min([ends[0], *marks]), max([ends[1], *marks])
    margin = max(2 * width, 0.04 * (high - low))
    return np.floor((low - margin) / width) * width, np.ceil((high + margin) / width) * width


def _clipped(bars: Mapping[int, int], positions: np.ndarray) -> np.ndarray:
    """Counts at the positions; what lies outside is counted in the outermost ones."""
    counts = np.zeros(len(positions))
    for place, count in bars.items():
        counts[int(np.clip(place - positions[0], 0, len(positions) - 1))] += count
    return counts


def _whole_numbers(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    axes.grid(axis="y")


def _shortened(label: str, most: int = 22) -> str:
    return label if len(label) <= most else label[: most - 1].rstrip(" ,") + "…"
