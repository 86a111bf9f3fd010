"""The yield of a round: what other thresholds on the remix, or another wanted probability, would have kept.

The first is the paper's (Tables 6 and 9). The second is for rounds that a calibrated gate decided; it also says how
many of such tracks are good where the truth is known.

Example::

    figure = wanted_figure(summary, state.calibration, previous=None)
    figure.svg, figure.text
"""

from collections.abc import Mapping
from typing import Any

import matplotlib

from pipeline.report.figures import WIDE, Figure
from pipeline.report.summary import RoundSummary
from pipeline.report.svg import COLOURS, STYLE, new_figure, themed_svg
from pipeline.report.tables import reliability_rows, wanted_rows
from pipeline.report.words import amount_of_time, count, percent, plural, tier_word, time_unit

PAPER_THRESHOLDS_DB = (10.0, 15.0)
_FIELDS = {"itt": "tracks", "sst": "sst_tracks"}
"""Where ``WantedYield`` counts the tracks of a tier."""


def yield_figure(summary: RoundSummary, previous: RoundSummary | None) -> Figure:
    """Audio in tracks above a threshold on both remix scores, this round's and the one before (Tables 6 and 9)."""
    marks = summary.thresholds.get("re_sdr_db", {})
    unit_s, unit = time_unit(max(row.tracks_s for row in summary.yields))
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(width=WIDE, height=270)
        for one, colour in ((previous, "grey"), (summary, "sst")):
            if one is not None and one.yields:
                x = [row.threshold_db for row in one.yields]
                y = [row.tracks_s / unit_s for row in one.yields]
                axes.plot(x, y, color=COLOURS[colour], label=f"round {one.round}")
        axes.legend(loc="upper right", handlelength=1.2)
        for tier, value in marks.items():
            row = summary.yield_at(value)
            if row is not None:
                axes.axvline(value, color=COLOURS["ink"], linewidth=1, linestyle=(0, (3, 2)))
                axes.plot([value], [row.tracks_s / unit_s], "o", color=COLOURS["sst"], markersize=6)
                axes.annotate(
                    f"{tier_word(tier)} {value:g} dB: {amount_of_time(row.tracks_s)}",
                    (value, row.tracks_s / unit_s),
                    xytext=(7, 6),
                    textcoords="offset points",
                    fontsize=10.5,
                )
        axes.set(xlabel="threshold on Re-SDR and Re-SISDR (dB)", ylabel=f"audio in tracks ({unit})")
        axes.set_ylim(bottom=0)
        axes.set_xlim(_falling_part(summary))
        axes.grid(axis="y")
        svg = themed_svg(figure, "yield", label="Audio in tracks over the threshold")
    said = [
        f"{row.threshold_db:g} dB keeps {row.tracks:,} tracks of {row.clips:,} clips, {amount_of_time(row.tracks_s)}"
        for row in summary.yields
        if row.threshold_db in (marks.values() or PAPER_THRESHOLDS_DB)
    ]
    return Figure("Yield against remix threshold", svg, f"A threshold of {'; one of '.join(said)}.")


def wanted_figure(summary: RoundSummary, calibration: Mapping[str, Any], previous: RoundSummary | None) -> Figure:
    """Share of the tracks that are kept over the wanted probability of "good", and how many of such tracks are good.

    Args:
        summary: of a round that a calibrated gate decided.
        calibration: of the round, as in ``RoundState``.
        previous: figures of the round before, for its yield.
    """
    marks = summary.thresholds["good_probability"]
    reliable = reliability_rows(calibration)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(width=WIDE, height=310)
        if previous is not None and previous.wanted:
            axes.plot(*_shares(previous, "tracks"), color=COLOURS["grey"], label=f"kept in round {previous.round}")
        for tier, field in _FIELDS.items():
            axes.plot(*_shares(summary, field), color=COLOURS[tier], label=f"kept for {tier_word(tier)}")
        if reliable:
            axes.errorbar(
                [row["wanted"] for row in reliable],
                [100 * row["true"] for row in reliable],
                [100 * row["error"] for row in reliable],
                fmt="o",
                markersize=4,
                linewidth=1.2,
                color=COLOURS["accent"],
                label="good on known scenes, in truth",
            )
            axes.plot(
                [row["wanted"] for row in reliable],
                [100 * row["stated"] for row in reliable],
                color=COLOURS["accent"],
                linewidth=1.2,
                linestyle=(0, (1, 2)),
                label="good, as the gate says",
            )
        for tier, probability in marks.items():
            row = summary.wanted_at(probability)
            axes.axvline(probability, color=COLOURS["ink"], linewidth=1, linestyle=(0, (3, 2)))
            axes.annotate(
                f"{tier_word(tier)} {probability:.2f}",
                (probability, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(-3 if probability == min(marks.values()) else 3, -2),
                textcoords="offset points",
                ha="right" if probability == min(marks.values()) else "left",
                va="top",
                fontsize=10,
            )
            if row is not None:
                share = 100 * getattr(row, _FIELDS[tier]) / summary.tracks
                axes.plot([probability], [share], "o", color=COLOURS[tier], markersize=6)
        axes.set(xlabel='wanted probability of "good"', ylabel="tracks (%)", xlim=(0, 1.0), ylim=(0, 109))
        axes.set_yticks(range(0, 101, 25))
        axes.grid(axis="y")
        figure.legend(loc="outside lower center", ncols=2, handlelength=1.4, columnspacing=1.2)
        svg = themed_svg(figure, "wanted", label="Share of the tracks kept over the wanted probability of good")
    rows = tuple(
        (
            " ".join([f"{row['yield'].probability:.2f}", *map(tier_word, row["tiers"])]),
            count(row["yield"].tracks),
            percent(row["share"]),
            amount_of_time(row["yield"].tracks_s),
            count(row["yield"].sst_clips),
            amount_of_time(row["yield"].sst_s),
            percent(row["stated"]),
            percent(row["true"]),
        )
        for row in wanted_rows(summary, calibration)
    )
    columns = (
        "wanted",
        "tracks",
        "share",
        "audio",
        "SST clips",
        "SST audio",
        "good, as the gate says",
        "good, in truth",
    )
    return Figure("Yield against wanted probability", svg, _wanted_text(summary, calibration), columns, rows)


def _shares(summary: RoundSummary, field: str) -> tuple[list[float], list[float]]:
    """Wanted probabilities, and percent of all tracks."""
    rows = summary.wanted
    return [row.probability for row in rows], [100 * getattr(row, field) / max(summary.tracks, 1) for row in rows]


def _wanted_text(summary: RoundSummary, calibration: Mapping[str, Any]) -> str:
    said = []
    for row in wanted_rows(summary, calibration):
        for tier in row["tiers"]:
            kept = row["yield"]
            tracks, seconds = (kept.tracks, kept.tracks_s) if tier == "itt" else (kept.sst_tracks, kept.sst_s)
            true, stated = percent(row["true"]), percent(row["stated"])
            said.append(
                f"{kept.probability:.2f} for {tier_word(tier)} keeps {plural(tracks, 'track')} "
                f"({percent(tracks / max(summary.tracks, 1))}), {amount_of_time(seconds)}"
                + (
                    f"; {true} of such tracks on known scenes are good, the gate says {stated}"
                    * (row["true"] is not None)
                )
            )
    return f"A wanted probability of {'. One of '.join(said)}."


def _falling_part(summary: RoundSummary) -> tuple[float, float]:
    """The thresholds between which the yield falls from all to nothing, with some room."""
    most = summary.yields[0].tracks
    falling = [row.threshold_db for row in summary.yields if 0 < row.tracks < most] or [0.0, 20.0]
    return min(falling) - 3, max(falling) + 3
