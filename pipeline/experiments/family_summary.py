"""One table and one figure of an experiment's results.

Example::

    write_report(results, {"weak": "labels; CNT, CRL and URL"}, Path("out"))     # table.md, families.svg
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pipeline.experiments.summary import markdown, spread
from pipeline.storage import Storage

TABLE, FIGURE = "table.md", "families.svg"


@dataclass(frozen=True)
class FamilyReport:
    """Measures of a run with what the table calls them, which two of them are drawn, and what sets families apart."""

    columns: Mapping[str, str]
    drawn: tuple[str, str]
    differ_in: str


FAMILY_REPORT = FamilyReport(
    columns={
        "sdri_db": "SDRi",
        "si_sdri_db": "SI-SDRi",
        "pos_si_sdri_db": "SI-SDRi, positive only",
        "sound_si_sdri_db": "SI-SDRi, asked by sound",
        "silence_sdr_db": "silence SDR",
        "single_source_db": "single source",
    },
    drawn=("si_sdri_db", "single_source_db"),
    differ_in="knows of the scenes",
)
"""Measures in dB, means over the seeds with their standard deviation."""


def write_report(
    results: Mapping[str, Any], what: Mapping[str, str], out: Path, report: FamilyReport = FAMILY_REPORT
) -> None:
    """Write ``table.md`` and ``families.svg`` below ``out``; families in the order of ``what``."""
    runs = {name: [run for run in results["runs"] if run["family"] == name] for name in what}
    runs = {name: own for name, own in runs.items() if own}
    storage = Storage(out)
    storage.write_bytes(TABLE, table(runs, what, results["settings"], report).encode())
    storage.write_bytes(FIGURE, figure(runs, report))


def table(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    what: Mapping[str, str],
    settings: Mapping[str, Any],
    report: FamilyReport,
) -> str:
    """A Markdown table with one row per family."""
    seeds = max(len(own) for own in runs.values())
    head = ["family", report.differ_in, *report.columns.values(), "steps", "seconds", "parameters"]
    rows = []
    for name, own in runs.items():
        counts = [f"{np.mean([run[key] for run in own]):,.0f}" for key in ("steps", "seconds")]
        figures = [_spread([run.get(column) for run in own]) for column in report.columns]
        rows.append([name, what[name], *figures, *counts, f"{own[0]['parameters'] / 1e6:.2f} M"])
    company = "scenes, every label only with its companion," if settings.get("paired") else "scenes"
    said = (
        f"{settings['minutes']:g} min of training per run, {seeds} {'seed' if seeds == 1 else 'seeds'}; "
        f"{settings['train_scenes']} {company} from `{Path(settings['sources']).name}` to learn from, "
        f"{settings['test_scenes']} others to test; dB."
    )
    return f"{said}\n\n{markdown(head, rows)}"


def _spread(values: Sequence[float | None]) -> str:
    """Mean and deviation; a dash where a family, or an older run, has no such figure."""
    known = [value for value in values if value is not None]
    return spread(known) if known else "–"


def figure(runs: Mapping[str, Sequence[Mapping[str, Any]]], report: FamilyReport) -> bytes:
    """Two measures of every family as SVG: one dot per seed, a line at the mean."""
    drawing = Figure(figsize=(9, 1.2 + 0.35 * len(runs)), layout="constrained")
    axes = drawing.subplots(1, 2, sharey=True)
    for axis, column in zip(axes, report.drawn, strict=True):
        for row, own in enumerate(runs.values()):
            values = [run[column] for run in own]
            axis.plot(values, [row] * len(values), "o", color="tab:blue", alpha=0.6)
            axis.plot([np.mean(values)] * 2, [row - 0.3, row + 0.3], color="black")
        axis.axvline(0, color="0.8", zorder=0)
        axis.set_xlabel(f"{report.columns[column]} (dB)")
        axis.set_yticks(range(len(runs)), list(runs))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    image = io.BytesIO()
    drawing.savefig(image, format="svg", metadata={"Date": None})
    return image.getvalue()
