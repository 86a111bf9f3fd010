"""Figures over the rounds of a workspace: evaluation, yield, scores, time. Used by both pages.

Example::

    figure = evaluation_figure(history(workspace))
"""

from collections.abc import Iterable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from data_specs.scores import Score
from pipeline.ledger import STAGES
from pipeline.report.figures import SMALL, Figure
from pipeline.report.history import EVALUATED_MODE, Past
from pipeline.report.summary import KEPT_TIERS
from pipeline.report.svg import COLOURS, STYLE, new_figure, themed_svg
from pipeline.report.words import amount_of_time, number, percent, sentence, signed, tier_word, time_unit

TREND = {"width": 370, "height": 245}
METRICS = (("sdri_db", "SDRi", "sst"), ("si_sdri_db", "SI-SDRi", "single"))


def evaluation_figure(rounds: Sequence[Past]) -> Figure | None:
    """SDRi and SI-SDRi on the held-out mixtures over the rounds (Table 2); None where no round was evaluated.

    The first point is the separator that the first round began with. A hollow point was not promoted.
    """
    evaluated = [past for past in rounds if past.sdri_db is not None]
    if not evaluated:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(**TREND)
        for metric, title, colour in METRICS:
            points = _points(evaluated, metric)
            axes.plot([x for x, _, _ in points], [y for _, y, _ in points], color=COLOURS[colour])
            for x, y, promoted in points:
                face = COLOURS[colour if promoted else "card"]
                axes.plot([x], [y], "o", markersize=7, markerfacecolor=face, markeredgecolor=COLOURS[colour])
            if points:
                x, y, _ = points[-1]
                axes.annotate(
                    f"{title} {y:.2f}", (x, y), xytext=(9, 0), textcoords="offset points", va="center", fontsize=10.5
                )
        _rounds_axis(axes, [evaluated[0].state.number - 1, *(past.state.number for past in evaluated)], room=0.28)
        axes.set_ylabel("mean improvement (dB)")
        axes.grid(axis="y")
        axes.margins(y=0.15)
        svg = themed_svg(figure, "evaluation", label="SDR improvement over the rounds")
    first, last = evaluated[0], evaluated[-1]
    start = first.sdri_before_db
    text = f"SDRi of round {last.state.number}'s separator: {number(last.sdri_db, 'dB')}"
    if start is not None and last.sdri_db is not None:
        text += f", {signed(last.sdri_db - start)} dB against the separator that round {first.state.number} began with"
    return Figure("Improvement on held-out mixtures", svg, f"{text}.")


def _points(rounds: Sequence[Past], metric: str) -> list[tuple[int, float, bool]]:
    """Round, value, promoted; the starting separator first."""
    points = []
    start = (rounds[0].state.metrics.get("current") or {}).get(EVALUATED_MODE, {}).get(metric, {}).get("mean")
    if start is not None:
        points.append((rounds[0].state.number - 1, start, True))
    for past in rounds:
        value = past.state.metrics["candidate"].get(EVALUATED_MODE, {}).get(metric, {}).get("mean")
        if value is not None:
            points.append((past.state.number, value, past.state.promoted))
    return points


def kept_figure(rounds: Sequence[Past]) -> Figure | None:
    """Audio in kept tracks per round and tier; None without tracks."""
    if not any(past.summary.kept.tracks for past in rounds):
        return None
    unit_s, unit = time_unit(max(past.summary.kept.seconds for past in rounds))
    places = [past.state.number for past in rounds]
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(**TREND)
        bottom = np.zeros(len(rounds))
        for tier in KEPT_TIERS:
            heights = np.array(
                [past.summary.tiers[tier].seconds if tier in past.summary.tiers else 0 for past in rounds]
            )
            axes.bar(places, heights / unit_s, 0.6, bottom, color=COLOURS[tier], lw=0, label=tier_word(tier))
            bottom += heights / unit_s
        for place, top, past in zip(places, bottom, rounds, strict=True):
            share = percent(past.summary.kept_share)
            axes.annotate(share, (place, top), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=10.5)
        _rounds_axis(axes, places)
        axes.set_ylabel(f"kept audio ({unit})")
        axes.set_ylim(0, 1.3 * max(bottom))
        axes.grid(axis="y")
        axes.legend(ncols=2, loc="upper left", handlelength=1, columnspacing=1.2)
        svg = themed_svg(figure, "kept", label="Audio kept per round")
    said = [(past.state.number, past.summary.kept.seconds, past.summary.kept_share) for past in rounds[-3:]]
    text = "; ".join(f"round {n} kept {amount_of_time(seconds)}, {percent(share)}" for n, seconds, share in said)
    columns = ("round", *(tier_word(tier) for tier in KEPT_TIERS), "all kept", "share of the tracks")
    rows = tuple(
        (
            past.state.number,
            *(amount_of_time(past.summary.tiers[t].seconds) if t in past.summary.tiers else "" for t in KEPT_TIERS),
            amount_of_time(past.summary.kept.seconds),
            percent(past.summary.kept_share),
        )
        for past in rounds
    )
    return Figure("Audio that the gate kept", svg, f"{sentence(text)} of the tracks.", columns, rows)


def score_trends(rounds: Sequence[Past], scores: Iterable[Score]) -> list[Figure]:
    """Median and middle 80 % of every score over the rounds that have it."""
    figures = []
    for score in scores:
        having = [past for past in rounds if score.name in past.summary.scores]
        if not having:
            continue
        places = [past.state.number for past in having]
        low, middle, high = (
            [past.summary.scores[score.name].quantile(share) or 0.0 for past in having] for share in (0.1, 0.5, 0.9)
        )
        with matplotlib.rc_context(STYLE):
            figure, axes = new_figure(**SMALL)
            axes.fill_between(places, low, high, color=COLOURS["accent"], alpha=0.18, lw=0)
            axes.vlines(places, low, high, color=COLOURS["accent"], alpha=0.35, linewidth=1.5)
            axes.plot(places, middle, color=COLOURS["accent"], marker="o", markersize=6)
            _rounds_axis(axes, places)
            axes.set_ylabel(f"{score.title} ({score.unit})" if score.unit else score.title)
            axes.grid(axis="y")
            svg = themed_svg(figure, f"trend-{score.name}", label=f"{score.title} over the rounds")
        said = f"{score.title}: median {number(middle[-1], score.unit)} in round {places[-1]}"
        said += f", {number(middle[-2], score.unit)} in round {places[-2]}." if len(places) > 1 else "."
        columns = ("round", "10 % below", "median", "10 % above")
        rows = tuple(
            (place, *(number(value) for value in values))
            for place, *values in zip(places, low, middle, high, strict=True)
        )
        figures.append(Figure(score.title, svg, said, columns, rows))
    return figures


def duration_figure(rounds: Sequence[Past]) -> Figure | None:
    """Time per round, stacked by stage; None where nothing has run."""
    stages = [stage for stage in STAGES if any(past.state.timings_s.get(stage) for past in rounds)]
    if not stages:
        return None
    unit_s, unit = time_unit(max(past.seconds for past in rounds))
    places = [past.state.number for past in rounds]
    longest = sorted(stages, key=lambda stage: -sum(past.state.timings_s.get(stage, 0) for past in rounds))[:3]
    parts = [
        ([stage], colour, 1.0)
        for stage, colour in zip(longest, ("accent", "single", "grey")[: len(longest)], strict=True)
    ]
    parts.append(([stage for stage in stages if stage not in longest], "rejected", 1.0))
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(**TREND)
        bottom = np.zeros(len(rounds))
        for own, colour, alpha in parts:
            heights = np.array([sum(past.state.timings_s.get(stage, 0) for stage in own) for past in rounds]) / unit_s
            if own and heights.any():
                name = own[0] if len(own) == 1 else "other stages"
                axes.bar(places, heights, 0.6, bottom, color=COLOURS[colour], alpha=alpha, lw=0, label=name)
                bottom += heights
        _rounds_axis(axes, places)
        axes.set_ylabel(f"time ({unit})")
        axes.set_ylim(0, 1.3 * max(bottom))
        axes.grid(axis="y")
        axes.legend(ncols=4, loc="upper left", handlelength=1, columnspacing=1.2)
        svg = themed_svg(figure, "duration", label="Time per round and stage")
    text = f"Round {places[-1]} took {amount_of_time(rounds[-1].seconds)}."
    rows = tuple(
        (past.state.number, *(amount_of_time(past.state.timings_s.get(stage)) for stage in stages)) for past in rounds
    )
    return Figure("Time per round", svg, text, ("round", *stages), rows)


def _rounds_axis(axes: Axes, places: Sequence[int], *, room: float = 0.08) -> None:
    """Whole rounds on the x axis, with room for a label behind the last one."""
    low, high = min(places), max(places)
    span = max(high - low, 1)
    axes.set_xlim(low - max(0.5, 0.04 * span), high + max(0.5, room * span))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.set_xlabel("round")
