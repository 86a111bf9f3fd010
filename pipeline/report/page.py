"""The pages: figures and tables into templates that escape everything.

Only the SVG of the figures goes into a page as markup; it comes out of an XML serialiser. The pages hold no inline
style and no inline script, so their content security policy forbids both.

Example::

    html = round_page(workspace=workspace, state=state, summary=summary, earlier=[], training={}, gallery=g, table=t)
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.ledger import RoundState
from pipeline.report import words
from pipeline.report.figures import (
    Figure,
    category_figure,
    label_figure,
    score_figures,
    time_figure,
    together_figure,
    training_figure,
)
from pipeline.report.flow_figure import flow_figure
from pipeline.report.history import Past, settings_of
from pipeline.report.listen import Gallery
from pipeline.report.pictures import RANGE_DB, mel_range_hz
from pipeline.report.problems import find_problems
from pipeline.report.summary import KEPT_TIERS, TIERS, RoundSummary
from pipeline.report.tables import (
    calibration_rows,
    evaluation_rows,
    label_rows,
    metric_rows,
    source_rows,
    stage_rows,
    time_rows,
    training_facts,
    yield_rows,
)
from pipeline.report.track_table import TrackTable
from pipeline.report.trend_figures import duration_figure, evaluation_figure, kept_figure, score_trends
from pipeline.report.yield_figures import wanted_figure, yield_figure
from pipeline.workspace import Workspace

STATIC = ("report.css", "report.js", "listen.js", "tracks.js")


def round_page(
    *,
    workspace: Workspace,
    state: RoundState,
    summary: RoundSummary,
    earlier: Sequence[Past],
    training: Mapping[str, Any],
    gallery: Gallery,
    table: TrackTable,
) -> str:
    """The page of a round as HTML.

    Args:
        workspace: its address is shown.
        state: what the round did.
        summary: the figures of its tracks.
        earlier: the rounds before, the last one last.
        training: the curves of ``training.json``.
        gallery: the listening sample that lies beside the page.
        table: the table of tracks that lies beside the page.
    """
    config = settings_of(workspace, state)
    previous = earlier[-1] if earlier else None
    rounds = [*earlier, Past(state, summary)]
    before = previous.summary if previous else None
    seconds = {stage: taken for stage, taken in state.timings_s.items() if taken > 0}
    figures: dict[str, Figure | None] = {
        "flow": flow_figure(state.counts, summary),
        "yield": yield_figure(summary, before) if summary.yields else None,
        "wanted": wanted_figure(summary, state.calibration, before) if summary.wanted else None,
        "categories": category_figure(summary) if summary.categories else None,
        "together": together_figure(summary) if len(summary.together_labels) > 1 else None,
        "labels": label_figure(summary, summary.quality_score),
        "evaluation": evaluation_figure(rounds),
        "training": training_figure(training),
        "time": time_figure(seconds, previous.state.timings_s if previous else {}) if seconds else None,
    }
    return _render(
        "round.html.j2",
        workspace=workspace,
        state=state,
        config=config,
        summary=summary,
        previous=previous,
        now=rounds[-1],
        findings=find_problems(state, summary, earlier),
        figures=figures,
        score_figures=score_figures(summary, summary.leading_scores),
        other_score_figures=score_figures(summary, summary.other_scores),
        stages=stage_rows(state.counts),
        sources=source_rows(summary),
        yields=yield_rows(rounds, summary),
        calibrations=calibration_rows(state.calibration),
        labels=label_rows(state, summary),
        evaluations=evaluation_rows(rounds),
        metrics=metric_rows(state.metrics),
        times=time_rows(state, summary, config),
        training=training_facts(state.training),
        mel_range=mel_range_hz(config.audio.sample_rate_hz),
        mel_depth_db=RANGE_DB,
        gallery=gallery,
        table=table,
        page_data=_page_data(state, summary, gallery, table),
    )


def overview_page(workspace: Workspace, rounds: Sequence[Past]) -> str:
    """The page over all rounds as HTML; ``rounds`` are in their order."""
    promoted = [past.sdri_db for past in rounds if past.state.promoted and past.sdri_db is not None]
    figures: dict[str, Figure | None] = {
        "evaluation": evaluation_figure(rounds),
        "kept": kept_figure(rounds),
        "duration": duration_figure(rounds),
    }
    return _render(
        "overview.html.j2",
        workspace=workspace,
        rounds=rounds,
        start_db=rounds[0].sdri_before_db if rounds else None,
        promoted_db=promoted[-1] if promoted else None,
        aside=workspace.set_aside(workspace.config),
        findings=[find_problems(past.state, past.summary, rounds[:place]) for place, past in enumerate(rounds)],
        figures=figures,
        score_figures=score_trends(rounds, rounds[-1].summary.leading_scores) if rounds else [],
        other_score_figures=score_trends(rounds, rounds[-1].summary.other_scores) if rounds else [],
        evaluations=evaluation_rows(rounds),
        page_data={},
    )


def copy_static(folder: Path) -> None:
    """Put style and scripts beside a page."""
    files = resources.files("pipeline.report").joinpath("static")
    for name in STATIC:
        (folder / name).write_bytes(files.joinpath(name).read_bytes())


def _page_data(state: RoundState, summary: RoundSummary, gallery: Gallery, table: TrackTable) -> dict[str, Any]:
    """What the page's scripts have to know."""
    return {
        "round": state.number,
        "scores": [
            {**score._asdict(), "leading": leading}
            for leading, scores in ((True, summary.leading_scores), (False, summary.other_scores))
            for score in scores
        ],
        "chunks": table.chunks,
        "rows": table.rows,
        "clips": len(gallery.clips),
        "checkpoint": state.checkpoint_in_hash,
    }


def _render(template: str, **content: Any) -> str:
    return _environment().get_template(template).render(tiers=TIERS, kept_tiers=KEPT_TIERS, **content)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable] = {
        "number": words.number,
        "signed": words.signed,
        "percent": words.percent,
        "count": words.count,
        "duration": words.amount_of_time,
        "plural": words.plural,
        "tier": words.tier_word,
        "purpose": words.tier_purpose,
    }
    environment.filters.update(filters)
    return environment
