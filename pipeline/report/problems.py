"""What is wrong with a round, the worst first: the top of its report and of its Prefect artifact.

Every check looks at one thing and says nothing when that is fine. A problem is ``bad`` when the shards should not be
trusted before somebody has looked, and ``watch`` when it is worth a look.

Example::

    for problem in find_problems(state, summary, earlier).problems:
        print(problem.level, problem.title)
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from data_specs.records import Record
from data_specs.scores import SCORES
from pipeline.ledger import RoundState
from pipeline.report.history import Past
from pipeline.report.summary import LabelFigures, RoundSummary, stability_index
from pipeline.report.tables import calibration_rows
from pipeline.report.words import amount_of_time, listed, number, ordered, percent, plural, sentence, signed

FAILED_BAD = 0.05
SILENT_BAD = 0.05
HEARD_BAD, HEARD_WATCH = 0.3, 0.05
DRIFT_CLEAR = 0.25
YIELD_FALL = 0.05
LABEL_FALL, LABEL_TRACKS = 0.25, 20
EMPTY_LABEL_TRACKS = 5
WORSE_DB = 1.0
LABEL_MIXTURES = 5
"""A label that was heard in fewer held-out mixtures may be worse by chance."""
PROMISE = 0.1


class Problem(Record):
    """One finding. ``labels`` lead to clips to listen to; ``lines`` are details such as file names."""

    level: Literal["bad", "watch"]
    title: str
    detail: str = ""
    labels: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


class Findings(NamedTuple):
    """Problems, the bad ones first, and what was checked and is fine."""

    problems: tuple[Problem, ...]
    fine: tuple[str, ...]


class _Round(NamedTuple):
    state: RoundState
    summary: RoundSummary
    earlier: Sequence[Past]


def find_problems(state: RoundState, summary: RoundSummary, earlier: Sequence[Past]) -> Findings:
    """Run every check on a round.

    Args:
        state: what the round did.
        summary: the figures of its tracks.
        earlier: the rounds before, the last one last.
    """
    found: list[Problem] = []
    fine: list[str] = []
    one = _Round(state, summary, earlier)
    for check in _CHECKS:
        own = list(check.find(one))
        found += own
        if not own and check.applies(one):
            fine.append(check.fine)
    return Findings(tuple(sorted(found, key=lambda problem: problem.level != "bad")), tuple(fine))


def _end(one: _Round) -> Iterator[Problem]:
    state = one.state
    if state.failure:
        yield Problem(level="bad", title="The round stopped with an error", detail=state.failure)
    elif state.next_stage not in (None, "report") and "report" not in state.finished:
        yield Problem(level="watch", title=f"The round is not finished: {state.next_stage} comes next")


def _failures(one: _Round) -> Iterator[Problem]:
    inputs = {name: counts.inputs for name, counts in one.state.counts.items()}
    for stage in dict.fromkeys(failure.stage for failure in one.summary.failures):
        own = [failure for failure in one.summary.failures if failure.stage == stage]
        failed = sum(failure.count for failure in own)
        share = failed / max(inputs.get(stage, 0), failed, 1)
        yield Problem(
            level="bad" if share > FAILED_BAD else "watch",
            title=f"{plural(failed, 'input')} of {stage.replace('_', ' ')} failed ({percent(share, 1)})",
            detail="; ".join(f"{failure.count:,} × {failure.reason}" for failure in own[:6]),
            lines=tuple(f"{name}: {failure.reason}" for failure in own for name in failure.examples),
        )


def _truncated(one: _Round) -> Iterator[Problem]:
    count, names = one.summary.truncated, one.summary.truncated_examples
    if count:
        rest = count - len(names)
        yield Problem(
            level="watch",
            title=f"{plural(count, 'recording breaks', 'recordings break')} off before the header says",
            detail="What is there was used. Most often a copy or a download was cut off.",
            lines=(*names, *([f"and {rest:,} more"] if rest else [])),
        )


def _worse_labels(one: _Round) -> Iterator[Problem]:
    labels = (one.state.metrics.get("current") or {}).get("labels", {})
    worse = sorted((row["sdri_db"], name, row["n"]) for name, row in labels.items() if (row["sdri_db"] or 0.0) < 0)
    if worse:
        sure = any(n >= LABEL_MIXTURES for _, _, n in worse)
        yield Problem(
            level="bad" if sure else "watch",
            title=f"Separation makes {plural(len(worse), 'label')} worse than leaving the mixture alone",
            detail=f"SDR improvement on held-out mixtures: {_values(worse)}. "
            + (
                "Their tracks are no better than the clips they come from."
                if sure
                else "So few mixtures may deceive: listen."
            ),
            labels=tuple(name for _, name, _ in worse),
        )


def _calibration(one: _Round) -> Iterator[Problem]:
    """Whether the gate knows what its scores are worth."""
    calibration = one.state.calibration
    if calibration.get("warning"):
        title = "The gate could not be calibrated" if calibration["gate"] == "paper" else "The gate is cautious"
        yield Problem(level="watch", title=title, detail=f"{sentence(calibration['warning'])}.")
    rows = calibration_rows(calibration)
    broken = [row for row in rows if row["stated"] - row["true"] > max(PROMISE, 2 * row["error"])]
    if broken:
        said = [f"{percent(row['true'])} of the best {row['best']}, not {percent(row['stated'])}" for row in broken]
        yield Problem(
            level="bad",
            title="The gate promises more than it keeps on scenes with known truth",
            detail=f"Good tracks are {listed(said)}.",
        )
    vetoed = tuple(calibration.get("vetoed", ()))
    if vetoed:
        yield Problem(
            level="watch",
            title=f"{plural(len(vetoed), 'label')} without kept tracks, because separation makes them worse",
            detail=f"On scenes with known truth, their tracks are further from the truth than the mixture: "
            f"{listed(list(vetoed), 6)}.",
            labels=vetoed,
        )


def _training(one: _Round) -> Iterator[Problem]:
    before, after = ((one.state.metrics.get(side) or {}).get("labels", {}) for side in ("current", "candidate"))
    fallen = sorted(
        (after[name]["sdri_db"] - row["sdri_db"], name, after[name]["n"])
        for name, row in before.items()
        if name in after and None not in (row["sdri_db"], after[name]["sdri_db"])
    )
    fallen = [row for row in fallen if row[0] < -WORSE_DB]
    if fallen and one.state.promoted:
        yield Problem(
            level="watch",
            title=f"The new separator is better on average, but more than {WORSE_DB:g} dB worse on "
            f"{plural(len(fallen), 'label')}",
            detail=f"Change of the SDR improvement: {_values(fallen)}.",
            labels=tuple(name for _, name, _ in fallen),
        )
    if one.state.promotion is not None and not one.state.promoted:
        reason = str(one.state.promotion.get("reason", ""))
        yield Problem(level="watch", title="The new separator was not promoted", detail=reason)


def _tags(one: _Round) -> Iterator[Problem]:
    heard, empty = one.summary.heard, one.summary.empty_tracks
    if heard.checked and heard.clips / heard.checked > HEARD_WATCH:
        yield Problem(
            level="bad" if heard.clips / heard.checked > HEARD_BAD else "watch",
            title=f"In {heard.clips:,} of {plural(heard.checked, 'sampled clip')} the tagger does not hear a label "
            "that came with the clip",
            detail=f"Most often: {_counts(heard.labels)}.",
            labels=tuple(name for name, _ in ordered(heard.labels)),
        )
    if empty.checked and empty.clips / empty.checked > HEARD_WATCH:
        yield Problem(
            level="bad" if empty.clips / empty.checked > HEARD_BAD else "watch",
            title=f"In {empty.clips:,} of {plural(empty.checked, 'sampled kept track')} the tagger does not hear the "
            "track's own label",
            detail=f"Most often: {_counts(empty.labels)}. The remix scores cannot see this: listen.",
            labels=tuple(name for name, _ in ordered(empty.labels)),
        )


def _near_silent(one: _Round) -> Iterator[Problem]:
    summary = one.summary
    if summary.near_silent:
        share = summary.near_silent / max(summary.kept.tracks, 1)
        labels = sorted((row for row in summary.labels if row.near_silent), key=lambda row: -row.near_silent)
        yield Problem(
            level="bad" if share > SILENT_BAD else "watch",
            title=f"{plural(summary.near_silent, 'kept track')} nearly silent ({percent(share, 1)} of the kept ones)",
            detail=f"Energy below {number(summary.near_silent_db, 'dB', 0)} of the clip. "
            f"Most often: {_counts({row.label: row.near_silent for row in labels})}.",
            labels=tuple(row.label for row in labels),
        )


def _yield(one: _Round) -> Iterator[Problem]:
    summary = one.summary
    if summary.tracks and not summary.kept.tracks:
        yield Problem(level="bad", title="The gate kept no track", detail="Training had single-source clips only.")
    empty = [row for row in summary.labels if row.all.tracks >= EMPTY_LABEL_TRACKS and not row.kept.tracks]
    if empty and summary.kept.tracks:
        yield Problem(
            level="watch",
            title=f"{plural(len(empty), 'label')} with no kept track at all",
            detail=f"{_counts({row.label: row.all.tracks for row in empty}, 'tracks')}.",
            labels=tuple(row.label for row in empty),
        )


def _drift(one: _Round) -> Iterator[Problem]:
    """Against the last round; what rose is no problem."""
    if not one.earlier or not one.summary.tracks or not one.earlier[-1].summary.tracks:
        return
    before, now = one.earlier[-1].summary, one.summary
    fall = (before.kept_share or 0.0) - (now.kept_share or 0.0)
    if fall > YIELD_FALL:
        yield Problem(
            level="bad" if fall > 3 * YIELD_FALL else "watch",
            title=f"The gate keeps less than in round {before.round}: {percent(now.kept_share)} of the tracks, "
            f"{percent(before.kept_share)} before",
            detail=f"{amount_of_time(now.kept.seconds)} kept, {amount_of_time(before.kept.seconds)} before."
            + _other_gate(before, now),
        )
    for score in SCORES:
        if score.name not in before.scores or score.name not in now.scores:
            continue
        old, new = before.scores[score.name], now.scores[score.name]
        index, medians = stability_index(old, new), (old.quantile(0.5) or 0.0, new.quantile(0.5) or 0.0)
        worse = medians[1] < medians[0] if score.better == "higher" else medians[1] > medians[0]
        if index is not None and index > DRIFT_CLEAR and (worse or score.better == "neither"):
            yield Problem(
                level="watch",
                title=f"{score.title} has drifted since round {before.round}: median "
                f"{number(medians[0], score.unit)} then, {number(medians[1], score.unit)} now",
                detail=f"Population stability index {index:.2f}; above {DRIFT_CLEAR:g} the shift is clear.",
            )
    old_labels = {row.label: row for row in before.labels}
    fallen = [row for row in now.labels if _has_fallen(row, old_labels.get(row.label))]
    if fallen:
        said = [f"{r.label} {percent(r.kept_share)} ({percent(old_labels[r.label].kept_share)})" for r in fallen]
        yield Problem(
            level="watch",
            title=f"{plural(len(fallen), 'label')} with a much smaller kept share than in round {before.round}",
            detail=f"{listed(said, 6)}.",
            labels=tuple(row.label for row in fallen),
        )


def _other_gate(before: RoundSummary, now: RoundSummary) -> str:
    """Where the gate is another one than in the round before, the shares do not compare."""
    if not before.tracks or before.calibrated == now.calibrated:
        return ""
    gates = {True: "a calibrated gate", False: "the paper's thresholds"}
    return f" Here {gates[now.calibrated]} decided, before {gates[before.calibrated]}."


def _has_fallen(now: LabelFigures, before: LabelFigures | None) -> bool:
    if before is None or min(now.all.tracks, before.all.tracks) < LABEL_TRACKS:
        return False
    return before.kept_share - now.kept_share > LABEL_FALL


def _values(rows: Sequence[tuple[float, str, int]]) -> str:
    return listed([f"{name} {signed(value_db, 1)} dB (n = {n})" for value_db, name, n in rows], 6)


def _counts(counts: dict[str, int], what: str = "") -> str:
    return listed([f"{name} ({n:,}{' ' + what if what else ''})" for name, n in ordered(counts)], 6)


class _Check(NamedTuple):
    """What a round without a finding can say of itself, what looks for findings, and whether there is what it needs."""

    fine: str
    find: Callable[[_Round], Iterator[Problem]]
    applies: Callable[[_Round], bool] = lambda one: True


def _labels_are_evaluated(one: _Round) -> bool:
    return bool((one.state.metrics.get("current") or {}).get("labels"))


def _is_calibrated(one: _Round) -> bool:
    return one.state.calibration.get("gate") == "calibrated"


_CHECKS = (
    _Check("the round is finished", _end),
    _Check("no input failed", _failures),
    _Check("no recording breaks off", _truncated),
    _Check("separation improves every label", _worse_labels, _labels_are_evaluated),
    _Check("the gate knows what its scores are worth", _calibration, _is_calibrated),
    _Check("the new separator is no step back", _training, lambda one: one.state.promotion is not None),
    _Check("the tagger agrees with the labels", _tags, lambda one: bool(one.summary.heard.checked)),
    _Check("no kept track is nearly silent", _near_silent, lambda one: bool(one.summary.kept.tracks)),
    _Check("every label has kept tracks", _yield, lambda one: bool(one.summary.tracks)),
    _Check("no drift against the last round", _drift, lambda one: bool(one.earlier)),
)
