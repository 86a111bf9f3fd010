"""Write a round's report and the workspace's overview: the one place where their parts come together.

Example::

    write_report(workspace, 2)
    write_overview(workspace)
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from data_specs.config import Config
from pipeline.ledger import RoundState
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.report.data_files import write_data
from pipeline.report.failures import EXAMPLES, find_failures, find_truncated
from pipeline.report.history import SUMMARY_FILE, history, settings_of
from pipeline.report.listen import Gallery
from pipeline.report.page import copy_static, overview_page, round_page
from pipeline.report.scan import ClipSample, Totals, track_batches
from pipeline.report.summary import RoundSummary
from pipeline.report.track_table import TrackTable
from pipeline.storage import Storage
from pipeline.workspace import Workspace

PAGE = "index.html"
FOLDERS = ("audio", "data", "pictures", "recipes")
"""Folders of a report whose files belong to one version of it."""


def write_report(
    workspace: Workspace, round_number: int, progress: Progress = NO_PROGRESS, *, config: Config | None = None
) -> str:
    """Write ``rounds/NNN/report/`` and the overview, and return the address of the round's page.

    Args:
        workspace: holds the round.
        round_number: which one; it need not be finished.
        progress: told about the listening sample, which takes longest.
        config: its section ``report`` decides what is shown; the workspace's own by default. All else is as the round
            began with it.

    Raises:
        UserError: there is no workspace.
    """
    state = workspace.round_state(round_number)
    report = (config or workspace.config).report
    config = settings_of(workspace, state).model_copy(update={"report": report})
    with tempfile.TemporaryDirectory(prefix="sound-data-engine-") as temporary:
        folder = Path(temporary)
        summary, gallery, table = _collect(workspace, state, config, folder, progress)
        (folder / SUMMARY_FILE).write_text(summary.model_dump_json(indent=1) + "\n", encoding="utf-8")
        page = round_page(
            workspace=workspace,
            state=state,
            summary=summary,
            earlier=history(workspace, up_to=round_number),
            training=_training(workspace, round_number),
            gallery=gallery,
            table=table,
        )
        (folder / PAGE).write_text(page, encoding="utf-8")
        copy_static(folder)
        _publish(folder, workspace.round_storage(round_number).child("report"))
    write_overview(workspace)
    return f"{workspace.round_storage(round_number).uri}/report/{PAGE}"


def write_overview(workspace: Workspace) -> str:
    """Write ``report/`` of the workspace, the page over all of its rounds, and return its address."""
    with tempfile.TemporaryDirectory(prefix="sound-data-engine-") as temporary:
        folder = Path(temporary)
        (folder / PAGE).write_text(overview_page(workspace, history(workspace)), encoding="utf-8")
        copy_static(folder)
        _publish(folder, workspace.storage.child("report"))
    return f"{workspace.uri}/report/{PAGE}"


def _collect(
    workspace: Workspace, state: RoundState, config: Config, folder: Path, progress: Progress
) -> tuple[RoundSummary, Gallery, TrackTable]:
    """One pass over the tracks, then the files of the listening sample."""
    round_number, counts = state.number, state.counts.get("gate")
    totals = Totals(config, state.calibration)
    sample = ClipSample(per_label=config.report.examples_per_label, most=config.report.examples_max)
    table = TrackTable(folder, tracks=counts.inputs if counts else 0, most=config.report.table_tracks)
    for batch in track_batches(workspace, round_number):
        for part in (totals, sample, table):
            part.add(batch)
    table.finish(workspace)
    gallery = Gallery(workspace, round_number, config, folder)
    gallery.write(sample.clips(), progress)
    write_data(folder, "listen", {"clips": gallery.clips})
    truncated = find_truncated(workspace)
    summary = totals.summary(workspace, round_number, config).model_copy(
        update={
            "failures": find_failures(workspace, round_number),
            "truncated": len(truncated),
            "truncated_examples": tuple(truncated[:EXAMPLES]),
            "heard": gallery.heard,
            "empty_tracks": gallery.empty_tracks,
        }
    )
    return summary, gallery, table


def _publish(folder: Path, target: Storage) -> None:
    """Every file under its name; what an earlier version of the report left goes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix() for path in paths}
    for path in paths:
        target.upload(path, path.relative_to(folder).as_posix())
    for name in FOLDERS:
        for file in target.files(name):
            if f"{name}/{file}" not in names:
                target.delete(f"{name}/{file}")


def _training(workspace: Workspace, round_number: int) -> dict[str, Any]:
    checkpoint = workspace.round_storage(round_number).child("checkpoint")
    return json.loads(checkpoint.read_bytes("training.json")) if checkpoint.is_file("training.json") else {}
