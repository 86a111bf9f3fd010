"""The report's figures as Markdown and plain tables, for an orchestrator's own pages. Knows no orchestrator.

A Prefect flow gives ``round_artifacts`` to Prefect's Markdown and table artifacts, so that its UI alone tells whether a
night was good. Text from data is escaped, so that a label or a path stays text in Markdown as well.

Example::

    for artifact in round_artifacts(workspace, 2):
        print(artifact.key, artifact.description, artifact.markdown or artifact.table)
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data_specs.config import Config
from data_specs.records import Record
from data_specs.scores import SCORES
from pipeline.report.history import Past, history, settings_of, stored_summary
from pipeline.report.problems import Findings, find_problems
from pipeline.report.summary import KEPT_TIERS, TIERS, RoundSummary
from pipeline.report.tables import (
    calibration_rows,
    evaluation_rows,
    label_rows,
    source_rows,
    stage_rows,
    time_rows,
    together_rows,
    training_facts,
    wanted_rows,
    yield_rows,
)
from pipeline.report.words import amount_of_time, count, number, percent, plural, signed, tier_word
from pipeline.workspace import Workspace

LEVELS = {"bad": "look before use", "watch": "worth a look"}
BAR = 24
REASONS, PAIRS = 5, 10
KEY_NAME = 40
"""Characters of a workspace's name that its keys begin with."""


class Artifact(Record):
    """One artifact: Markdown, or a table as a list of rows with equal keys; the other one is empty.

    ``key`` has the form that Prefect asks for: lower case letters, digits and dashes, the same for every round of
    a workspace, another one for another workspace.
    """

    key: str
    description: str
    markdown: str = ""
    table: tuple[dict[str, Any], ...] = ()


def round_artifacts(workspace: Workspace, round_number: int) -> list[Artifact]:
    """A Markdown summary of a finished or unfinished round, and its tables: labels, rounds.

    Raises:
        UserError: there is no workspace.
    """
    state = workspace.round_state(round_number)
    config = settings_of(workspace, state)
    past = Past(state, stored_summary(workspace, state, config))
    rounds = [*history(workspace, up_to=round_number), past]
    findings = find_problems(past.state, past.summary, rounds[:-1])
    about = f"Round {round_number} of {workspace.uri}"
    address = f"{workspace.round_storage(round_number).uri}/report/index.html"
    return [
        Artifact(
            key=artifact_key("round", workspace),
            description=f"{escaped(headline(past, findings))} Workspace {workspace.uri}",
            markdown=_markdown(rounds, findings, config, address),
        ),
        Artifact(
            key=artifact_key("labels", workspace),
            description=f"{about}: yield per label",
            table=_labels(past),
        ),
        Artifact(
            key=artifact_key("rounds", workspace),
            description=f"All rounds of {workspace.uri}",
            table=tuple(_rounds(rounds)),
        ),
    ]


def artifact_key(what: str, workspace: Workspace) -> str:
    """A key that no other workspace on the same server has: ``data-engine-round-field-3f9c01ab``."""
    name = re.sub("[^a-z0-9]+", "-", workspace.uri.rstrip("/").rpartition("/")[2].lower()).strip("-")
    return "-".join(filter(None, ("data-engine", what, name[:KEY_NAME], workspace.identity())))


def headline(past: Past, findings: Findings) -> str:
    """The round in one sentence, for log lines and titles."""
    summary, promotion = past.summary, past.state.promotion
    said = f"Round {past.state.number}: no tracks"
    if summary.tracks:
        said = f"Round {past.state.number} kept {count(summary.kept.tracks)} of {count(summary.tracks)} tracks"
        said += f" ({percent(summary.kept_share)}), {amount_of_time(summary.kept.seconds)} of audio"
    if promotion is not None:
        said += "; new separator promoted" if past.state.promoted else "; separator unchanged"
    problems = findings.problems
    return f"{said}; {plural(len(problems), 'problem')}." if problems else f"{said}; no problems."


def _markdown(rounds: Sequence[Past], findings: Findings, config: Config, address: str) -> str:
    past = rounds[-1]
    state, summary = past.state, past.summary
    parts = [f"# Round {state.number}", escaped(headline(past, findings)), f"Report: `{address}`"]
    parts += ["## Problems", *_problems(findings)]
    if state.counts:
        parts += ["## What came in, what was kept", _stages(past)]
    if summary.tracks:
        kept = [(tier_word(t), summary.tiers[t].tracks, amount_of_time(summary.tiers[t].seconds)) for t in TIERS]
        parts += ["## Gate", _table(("tier", "tracks", "", "audio"), _barred(kept))]
        parts += ["## Audio per category", _categories(summary)]
        parts += ["## Labels that share clips", _together(summary)]
        parts += ["## Scores", _scores(summary, rounds[-2].summary if len(rounds) > 1 else None)]
        parts += ["## Yield against threshold", _yields(rounds, summary)]
    if summary.wanted:
        parts += ["## Yield against wanted probability", _wanted(summary, state.calibration)]
    sources = source_rows(summary)
    if sources:
        cells = [(row["title"], row["all"].tracks, *(row["tiers"][tier].tracks for tier in TIERS)) for row in sources]
        parts += ["## Where the tracks come from", _table(("source", "tracks", *map(tier_word, TIERS)), cells)]
    calibrated = calibration_rows(state.calibration)
    if calibrated:
        rows = [(f"best {row['best']}", percent(row["stated"]), percent(row["true"])) for row in calibrated]
        parts += ["## Calibration of the gate", _table(("tracks", "good, as it says", "good, in truth"), rows)]
    if state.metrics:
        parts += ["## Evaluation", _evaluations(rounds)]
    trained = training_facts(state.training)
    if trained:
        parts += ["## Training", _table(("", ""), trained.items())]
    times = time_rows(state, summary, config)
    if times:
        bars = [(row["stage"], row["seconds"], *map(amount_of_time, (row["cpu_s"], row["gpu_s"]))) for row in times]
        columns = ("stage", "seconds", "", "CPU time", "GPU time")
        parts += ["## Time and cost", _table(columns, _barred(bars))]
    return "\n\n".join(parts) + "\n"


def _problems(findings: Findings) -> list[str]:
    lines = [
        f"- **{LEVELS[problem.level]}**: {escaped(problem.title)}"
        + (f"  \n  {escaped(problem.detail)}" * bool(problem.detail))
        for problem in findings.problems
    ]
    if findings.fine:
        lines.append(f"- fine: {', '.join(findings.fine)}")
    return ["\n".join(lines)]


def _stages(past: Past) -> str:
    rows = []
    for row in stage_rows(past.state.counts):
        counts = row["counts"]
        reasons = "; ".join(f"{n:,} × {reason}" for reason, n in row["reasons"][:REASONS])
        rows.append(
            (f"{row['title']} ({row['unit']})", counts.inputs, counts.kept, counts.dropped, counts.failed, reasons)
        )
    return _table(("stage", "inputs", "kept", "dropped", "failed", "reasons"), rows)


def _categories(summary: RoundSummary) -> str:
    rows = [
        (
            row.category,
            amount_of_time(row.single_source_s),
            *(amount_of_time(row.tiers_s.get(tier, 0.0)) for tier in KEPT_TIERS),
            amount_of_time(row.total_s),
        )
        for row in summary.categories
    ]
    return _table(("category", "single-source clips", *map(tier_word, KEPT_TIERS), "all"), rows)


def _together(summary: RoundSummary) -> str:
    rows = [(f"{label} and {other}", clips) for label, other, clips in together_rows(summary)[:PAIRS]]
    return _table(("labels", "clips"), rows) if rows else "No two labels share a clip."


def _scores(summary: RoundSummary, previous: RoundSummary | None) -> str:
    rows = []
    for score in SCORES:
        figures = summary.scores.get(score.name)
        if figures is None:
            continue
        before = previous.scores.get(score.name) if previous else None
        median, old = figures.quantile(0.5), before.quantile(0.5) if before else None
        change = median - old if median is not None and old is not None else None
        ends = (number(figures.quantile(share), score.unit) for share in (0.1, 0.9))
        asked = ", ".join(f"{tier_word(t)} {value:g}" for t, value in summary.thresholds.get(score.name, {}).items())
        rows.append((score.title, number(median, score.unit), signed(change), *ends, asked))
    return _table(("score", "median", "change", "10 % below", "10 % above", "thresholds"), rows)


def _yields(rounds: Sequence[Past], summary: RoundSummary) -> str:
    rows = [
        (
            row["round"],
            f"{row['yield'].threshold_db:g} dB {' '.join(map(tier_word, row['tiers']))}".strip(),
            count(row["yield"].clips),
            amount_of_time(row["yield"].clips_s),
            count(row["yield"].tracks),
            amount_of_time(row["yield"].tracks_s),
        )
        for row in yield_rows(rounds, summary)
    ]
    return _table(("round", "above", "clips", "audio", "tracks", "audio of tracks"), rows)


def _wanted(summary: RoundSummary, calibration: Mapping[str, Any]) -> str:
    rows = [
        (
            " ".join([f"{row['yield'].probability:.2f}", *map(tier_word, row["tiers"])]),
            count(row["yield"].tracks),
            percent(row["share"]),
            amount_of_time(row["yield"].tracks_s),
            count(row["yield"].sst_clips),
            percent(row["stated"]),
            percent(row["true"]),
        )
        for row in wanted_rows(summary, calibration)
    ]
    return _table(("wanted", "tracks", "share", "audio", "SST clips", "good, as it says", "good, in truth"), rows)


def _evaluations(rounds: Sequence[Past]) -> str:
    rows = [
        (
            f"round {row['round']}" if row["past"] else f"start of round {row['round'] + 1}",
            amount_of_time(row["past"].summary.kept.seconds) if row["past"] else "",
            *(f"{number(v['mean'])} ± {number(v['std'])}" if v else number(None) for v in row["metrics"].values()),
            {True: "promoted", False: "not promoted", None: ""}[row["promoted"]],
        )
        for row in reversed(evaluation_rows(rounds))
    ]
    titles = evaluation_rows(rounds)[0]["metrics"]
    return _table(("separator", "kept audio", *(f"{title} (dB)" for title in titles), "decision"), rows)


def _labels(past: Past) -> tuple[dict[str, Any], ...]:
    rows = [(figures["label"], figures) for figures in label_rows(past.state, past.summary)]
    return tuple(
        {
            "label": row.label,
            "category": row.category,
            "clips": row.clips,
            "tracks": row.all.tracks,
            **{tier_word(tier): row.tiers[tier].tracks if tier in row.tiers else 0 for tier in TIERS},
            "kept": percent(row.kept_share),
            "kept audio": amount_of_time(row.kept.seconds),
            "SDRi (dB)": number(figures["sdri_db"]),
            "change (dB)": signed(figures["change_db"]),
            **{s.title: number(row.medians.get(s.name)) for s in SCORES if s.name in past.summary.scores},
        }
        for row, figures in rows
    )


def _rounds(rounds: Sequence[Past]) -> Iterable[dict[str, Any]]:
    for past in reversed(rounds):
        yield {
            "round": past.state.number,
            "state": past.state.state,
            "tracks": past.summary.tracks,
            "kept": percent(past.summary.kept_share),
            "kept audio": amount_of_time(past.summary.kept.seconds),
            "SDRi before (dB)": number(past.sdri_before_db),
            "SDRi after (dB)": number(past.sdri_db),
            "promoted": past.state.promoted,
            "time": amount_of_time(past.seconds),
        }


def escaped(text: str) -> str:
    """Text that Markdown and the HTML in it leave alone, on one line."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", " ".join(safe.split()))


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        f"| {' | '.join(escaped(str(cell)) if cell != '---' else cell for cell in line)} |" for line in lines
    )


def _barred(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows of name, value, …, with a bar of the value behind it."""
    most = max([row[1] for row in rows] + [1e-9])
    return [(row[0], f"{row[1]:,.0f}", "█" * round(BAR * row[1] / most), *row[2:]) for row in rows]
