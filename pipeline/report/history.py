"""What earlier rounds of the workspace found, for comparisons and trends.

Figures of a round are kept beside its page; where they are missing (an older version, a deleted report) they are made
from the manifests again.

Example::

    for past in history(workspace, up_to=3):
        past.state.number, past.summary.kept.seconds, past.sdri_db
"""

from typing import NamedTuple

from pydantic import ValidationError

from data_specs.config import Config
from pipeline.ledger import RoundState
from pipeline.report.scan import Totals, track_batches
from pipeline.report.summary import RoundSummary
from pipeline.report.words import mean_of
from pipeline.workspace import Workspace

SUMMARY_FILE = "summary.json"
EVALUATED_MODE = "pos_neg"


class Past(NamedTuple):
    """A round: what it did, and the figures of its tracks."""

    state: RoundState
    summary: RoundSummary

    @property
    def sdri_db(self) -> float | None:
        """Mean SDRi of the round's new separator with positive and negative query."""
        return mean_of(self.state.metrics.get("candidate"), EVALUATED_MODE, "sdri_db")

    @property
    def sdri_before_db(self) -> float | None:
        """The same of the separator that the round began with."""
        return mean_of(self.state.metrics.get("current"), EVALUATED_MODE, "sdri_db")

    @property
    def seconds(self) -> float:
        """Time of all stages together."""
        return sum(self.state.timings_s.values())


def history(workspace: Workspace, *, up_to: int | None = None) -> list[Past]:
    """All rounds, the first one first; with ``up_to``, those before it that came to their end, to compare it with."""
    states = map(workspace.round_state, workspace.round_numbers())
    return [
        Past(state, stored_summary(workspace, state, settings_of(workspace, state)))
        for state in states
        if up_to is None or (state.number < up_to and state.next_stage in (None, "report"))
    ]


def settings_of(workspace: Workspace, state: RoundState) -> Config:
    """The configuration that a round began with, and what the workspace's configuration says of reports."""
    config = workspace.config
    return state.settings.model_copy(update={"report": config.report}) if state.config else config


def stored_summary(workspace: Workspace, state: RoundState, config: Config) -> RoundSummary:
    """The figures of a round from its report, or from its manifests where the report does not hold them."""
    report = workspace.round_storage(state.number).child("report")
    if report.is_file(SUMMARY_FILE):
        try:
            return RoundSummary.model_validate_json(report.read_bytes(SUMMARY_FILE))
        except ValidationError:  # written by another version
            pass
    totals = Totals(config, state.calibration)
    for batch in track_batches(workspace, state.number):
        totals.add(batch)
    return totals.summary(workspace, state.number, config)
