"""The flow of a round: what came in, what each stage let through, and where the rest went, as one Sankey diagram.

Clips flow from left to right; what a stage drops or fails leaves downwards, by reason. The last node stands for the
tracks of the separated clips, and splits into the gate's tiers and the reasons of what it rejected. Widths are
proportional to counts, but never thinner than a hair, so that a single failure is seen.

Example::

    figure = flow_figure(state.counts, summary)
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from data_specs.records import StageCounts
from pipeline.report.figures import Figure
from pipeline.report.summary import KEPT_TIERS, RoundSummary
from pipeline.report.svg import COLOURS, STYLE, new_figure, themed_svg
from pipeline.report.words import count, percent, tier_word

CLIP_STAGES = {"ingest": "Ingested", "tag": "Tagged", "separate": "Separated"}
REASONS = 3
TOP, TRUNK = 56.0, 150.0
STAGE, LOSSY_STAGE, SPLIT, TEXT = 140.0, 228.0, 130.0, 390.0
"""Widths: of a stage that let everything through, of one that did not, of the split into tiers, of its text."""
HAIR, BAR, STEP = 2.0, 9.0, 46.0


class _Stream(NamedTuple):
    """Part of a stage's inputs: what it is called, how many, in which colour."""

    text: str
    size: int
    colour: str


def flow_figure(counts: Mapping[str, StageCounts], summary: RoundSummary) -> Figure | None:
    """The diagram, None before anything was ingested."""
    stages = [name for name in CLIP_STAGES if name in counts and counts[name].inputs]
    if not stages:
        return None
    losses = [_losses(counts[name]) for name in stages]
    ends = _ends(summary)
    last = counts[stages[-1]]
    scale = TRUNK / counts[stages[0]].inputs
    places = _end_places(ends, last.kept * scale)
    lowest_loss = TOP + TRUNK + 24 + STEP * max(len(own) for own in losses)
    columns = [2.0]
    for own in losses:
        columns.append(columns[-1] + (LOSSY_STAGE if own else STAGE))
    width = columns[-1] + SPLIT + TEXT
    height = max(lowest_loss if any(losses) else 0.0, TOP + TRUNK, *(y + 30 for y in places)) + 10
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(width=width, height=height)
        figure.set_layout_engine("none")
        axes.set_position((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        _node(axes, columns[0], counts[stages[0]].inputs * scale, "Clips in", count(counts[stages[0]].inputs))
        for x, following, name, own in zip(columns[:-1], columns[1:], stages, losses, strict=True):
            kept = counts[name].kept * scale
            _band(axes, (x + BAR, TOP), (following, TOP), kept, "flow")
            _node(axes, following, kept, CLIP_STAGES[name], f"{count(counts[name].kept)} clips")
            _falling(axes, x + BAR, TOP + kept, own, scale)
        if ends:
            _split(axes, columns[-1], last.kept * scale, ends, places)
        svg = themed_svg(figure, "flow", label="Flow of clips and tracks through the round")
    rows = [
        (CLIP_STAGES[name], *map(count, (counts[name].inputs, counts[name].kept)), loss.text, count(loss.size))
        for name, own in zip(stages, losses, strict=True)
        for loss in own or [_Stream("", 0, "")]
    ]
    rows += [("Tracks", count(summary.tracks), "", end.text, count(end.size)) for end in ends]
    first = counts[stages[0]]
    text = f"Of {count(first.inputs)} clips {count(last.kept)} passed {CLIP_STAGES[stages[-1]].lower()}."
    if summary.tracks:
        tiers = ", ".join(f"{count(summary.tiers[tier].tracks)} are {tier_word(tier)}" for tier in KEPT_TIERS)
        text = f"Of {count(first.inputs)} clips {count(last.kept)} were separated into {count(summary.tracks)} tracks: "
        text += f"{tiers}, {count(summary.tiers['rejected'].tracks)} were rejected."
    return Figure("From clips to tracks", svg, text, ("", "in", "kept", "what became of the rest", ""), tuple(rows))


def _losses(counts: StageCounts) -> list[_Stream]:
    """What left a stage, the largest first; small reasons together."""
    if not counts.dropped and not counts.failed:
        return []
    colour = "bad" if counts.failed and not counts.dropped else "rejected"
    ordered = sorted(counts.reasons.items(), key=lambda item: (-item[1], item[0]))
    streams = [_Stream(reason, n, colour) for reason, n in ordered[:REASONS]]
    rest = sum(n for _, n in ordered[REASONS:])
    return [*streams, _Stream(f"{len(ordered) - REASONS} more reasons", rest, colour)] if rest else streams


def _ends(summary: RoundSummary) -> list[_Stream]:
    """Kept tiers, then rejected tracks by reason."""
    if not summary.tracks:
        return []
    ends = [_Stream(tier_word(tier), summary.tiers[tier].tracks, tier) for tier in KEPT_TIERS]
    reasons = list(summary.reasons.items())
    ends += [_Stream(f"rejected: {reason}", n, "rejected") for reason, n in reasons[:REASONS]]
    rest = sum(n for _, n in reasons[REASONS:])
    return [*ends, _Stream("rejected for other reasons", rest, "rejected")] if rest else ends


def _node(axes: Axes, x: float, height: float, title: str, text: str) -> None:
    axes.add_patch(Rectangle((x, TOP), BAR, max(height, HAIR), color=COLOURS["ink"], lw=0))
    axes.text(x, TOP - 26, title, fontsize=11, color=COLOURS["soft"])
    axes.text(x, TOP - 10, text, fontsize=13, fontweight=700)


def _band(axes: Axes, start: tuple[float, float], end: tuple[float, float], height: float, colour: str) -> None:
    """A band of ``height`` whose upper edge goes from ``start`` to ``end``."""
    (x0, y0), (x1, y1), middle = start, end, (start[0] + end[0]) / 2
    height = max(height, HAIR)
    upper = [(x0, y0), (middle, y0), (middle, y1), (x1, y1)]
    lower = [(x1, y1 + height), (middle, y1 + height), (middle, y0 + height), (x0, y0 + height)]
    codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
    fill, alpha = ("grey", 0.28) if colour == "flow" else (colour, 0.75)
    axes.add_patch(PathPatch(Path([*upper, *lower], codes), facecolor=COLOURS[fill], alpha=alpha, lw=0))


def _falling(axes: Axes, x: float, top: float, losses: Sequence[_Stream], scale: float) -> None:
    """Bands that leave the trunk downwards, each to its own line of text."""
    for place, loss in enumerate(losses):
        height = max(loss.size * scale, HAIR)
        y = TOP + TRUNK + 24 + place * STEP
        _band(axes, (x, top), (x + 60, y), min(height, STEP - 12), loss.colour)
        top += height
        axes.text(x + 66, y + 9, count(loss.size), fontsize=12, fontweight=700)
        axes.text(x + 66, y + 23, _fitted(loss.text, 25), fontsize=10.5, color=COLOURS["soft"])


def _end_places(ends: Sequence[_Stream], height: float) -> list[float]:
    """Upper edges of the ends, apart enough for two lines of text."""
    total = sum(end.size for end in ends)
    places, y = [], TOP - 18.0
    for end in ends:
        places.append(y)
        y += max(height * end.size / max(total, 1) + 14, 40.0)
    return places


def _split(axes: Axes, x: float, height: float, ends: Sequence[_Stream], places: Sequence[float]) -> None:
    """The tracks of the separated clips by what became of them."""
    total = max(sum(end.size for end in ends), 1)
    y, end_x = TOP, x + SPLIT
    for end, top in zip(ends, places, strict=True):
        part = max(height * end.size / total, HAIR)
        _band(axes, (x + BAR, y), (end_x, top), part, end.colour)
        axes.add_patch(Rectangle((end_x, top), BAR / 2, max(part, 4.0), color=COLOURS[end.colour], lw=0))
        middle = top + max(part, 4.0) / 2
        axes.text(end_x + 14, middle, count(end.size), fontsize=13, fontweight=700, va="bottom")
        said = f"{percent(end.size / total)}, {end.text}"
        axes.text(end_x + 14, middle + 2, _fitted(said, 64), fontsize=10.5, color=COLOURS["soft"], va="top")
        y += part


def _fitted(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
