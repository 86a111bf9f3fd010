"""The report of a round: one static page with figures and audio beside it, readable from ``file://``.

The last stage of a round; ``data-engine report`` writes it again. It says what became of every input, what the gate
kept and why, whether the new checkpoint replaced the old one, and lets people listen. Sections whose stage has not run
are left out. Everything that comes from data (labels, paths, reasons) is escaped by the template.

Example::

    write_report(Workspace("runs/demo"), 1)      # runs/demo/rounds/001/report/index.html
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from data_specs.config import Config
from pipeline.ledger import RoundState
from pipeline.report_data import (
    EXAMPLE_CLIPS,
    TIERS,
    TrackSummary,
    label_metric_rows,
    label_rows,
    metric_rows,
    stage_rows,
    summarise_tracks,
)
from pipeline.report_examples import write_examples
from pipeline.report_figures import TIER_COLOURS, score_histogram, training_curve
from pipeline.workspace import Workspace

PAGE = "index.html"


def write_report(workspace: Workspace, round_number: int) -> str:
    """Write ``rounds/NNN/report/`` and return the address of its page.

    Raises:
        UserError: there is no workspace.
    """
    config = workspace.config
    state = workspace.round_state(round_number)
    summary = summarise_tracks(workspace.iter_tracks(round_number))
    with workspace.writing_folder(round_number, "report") as folder:
        figures = _write_figures(folder, config, summary, _training(workspace, round_number))
        examples = write_examples(workspace, round_number, summary.examples, folder / "audio")
        page = render(
            state=state,
            config=config,
            summary=summary,
            workspace_uri=workspace.uri,
            figures=figures,
            examples=examples,
        )
        (folder / PAGE).write_text(page, encoding="utf-8")
    return f"{workspace.round_storage(round_number).uri}/report/{PAGE}"


def render(
    *,
    state: RoundState,
    config: Config,
    summary: TrackSummary,
    workspace_uri: str,
    figures: Mapping[str, str],
    examples: list,
) -> str:
    """The page as HTML.

    Args:
        state: what the round did.
        config: thresholds and rules the round ran under.
        summary: its track manifest.
        workspace_uri: shown as it is.
        figures: addresses of the figures, relative to the page.
        examples: listening examples with addresses relative to the page.
    """
    timings_s = {stage: seconds for stage, seconds in state.timings_s.items() if seconds > 0}
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            state=state,
            config=config,
            config_hash=config.digest(),
            summary=summary,
            tiers=TIERS,
            tier_colours=TIER_COLOURS,
            workspace_uri=workspace_uri,
            stages=stage_rows(state.counts),
            labels=label_rows(summary),
            metrics=metric_rows(state.metrics),
            label_metrics=label_metric_rows(state.metrics),
            mixtures=(state.metrics.get("candidate") or {}).get("mixtures"),
            training={name: value for name, value in state.training.items() if value not in (None, "")},
            timings_s=timings_s,
            figures=figures,
            examples=examples,
            example_clips=EXAMPLE_CLIPS,
        )
    )


def _write_figures(
    folder: Path, config: Config, summary: TrackSummary, history: Mapping[str, Any] | None
) -> dict[str, str]:
    thresholds_db = {"ITT": config.gate.itt_db, "SST": config.gate.sst_db}
    svgs: dict[str, str | None] = {}
    if summary.tracks:
        svgs["re_sdr"] = score_histogram(summary.re_sdr_db, "Re-SDR", thresholds_db=thresholds_db)
        svgs["re_si_sdr"] = score_histogram(summary.re_si_sdr_db, "Re-SISDR", thresholds_db=thresholds_db)
    if history is not None:
        svgs["training"] = training_curve(history)
    files = {}
    for name, svg in svgs.items():
        if svg is not None:
            files[name] = f"figures/{name}.svg"
            (folder / "figures").mkdir(exist_ok=True)
            (folder / files[name]).write_text(svg, encoding="utf-8")
    return files


def _training(workspace: Workspace, round_number: int) -> dict[str, Any] | None:
    checkpoint = workspace.round_storage(round_number).child("checkpoint")
    return json.loads(checkpoint.read_bytes("training.json")) if checkpoint.is_file("training.json") else None


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(db=_db, signed_db=_signed_db, percent=_percent, duration=_duration, count=_count)
    return environment


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _signed_db(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _count(value: int) -> str:
    return f"{value:,}"


def _duration(seconds: float) -> str:
    """``4.2 s``, ``3 min 05 s``, ``2 h 07 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
