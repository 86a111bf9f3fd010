"""Score a separator on scenes with known truth: what ``data-engine soundscapes`` wrote, in its layout.

Unlike pairs, scenes have overlaps, rooms, two to four labels and background. Every label of a scene is asked for.

Example::

    metrics = evaluate_scenes(LabelSeparator.load(ModelConfig()), Path("scenes"), sample_rate_hz=32_000)
    metrics["pos_neg"]["si_sdri_db"]["mean"]
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from data_specs.errors import UserError
from data_specs.list_files import list_rows
from data_specs.records import StageCounts
from pipeline.audio import AudioError, decode
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.scoring import EvalMixture, EvalTarget, QueriedSeparator, draw_absent_label, evaluate_mixtures

COLUMNS = ("clip", "label", "path")


def evaluate_scenes(
    separator: QueriedSeparator, scenes: Path, *, sample_rate_hz: int, progress: Progress = NO_PROGRESS
) -> dict[str, Any]:
    """Metrics of ``evaluate_mixtures`` over a folder of scenes, with ``scenes`` (counts) added; BSS-eval is left out.

    Raises:
        UserError: no scenes in that folder, or none that can be read.
    """
    listed = _listed(scenes)
    vocabulary = sorted({label for tracks in listed.values() for label, _ in tracks})
    problems: dict[str, int] = {}

    def mixtures() -> Iterator[EvalMixture]:
        for clip, tracks in listed.items():
            try:
                mixture = torch.from_numpy(decode(scenes / clip, sample_rate_hz=sample_rate_hz))
                targets = tuple(
                    EvalTarget(label, torch.from_numpy(decode(scenes / path, sample_rate_hz=sample_rate_hz)))
                    for label, path in tracks
                )
            except AudioError as error:
                problems[str(error)] = problems.get(str(error), 0) + 1
                continue
            absent = draw_absent_label(clip, [target.label for target in targets], vocabulary)
            yield EvalMixture(clip, mixture, targets, absent)

    metrics = evaluate_mixtures(separator, mixtures(), bss_mixtures=0, total=len(listed), progress=progress)
    failed = sum(problems.values())
    if failed == len(listed):
        raise UserError(f"none of the {failed} scenes in {scenes} can be read: {next(iter(problems))}")
    counts = StageCounts(inputs=len(listed), kept=len(listed) - failed, failed=failed, reasons=problems)
    return {**metrics, "scenes": counts.model_dump()}


def _listed(scenes: Path) -> dict[str, list[tuple[str, str]]]:
    """Label and path of every track, by clip."""
    if not (scenes / "truth.csv").is_file():
        raise UserError(f"{scenes} has no truth.csv: give a folder that data-engine soundscapes wrote")
    listed: dict[str, list[tuple[str, str]]] = {}
    for _, row in list_rows(scenes / "truth.csv", required=COLUMNS):
        listed.setdefault(str(row["clip"]), []).append((str(row["label"]), str(row["path"])))
    if not listed:
        raise UserError(f"{scenes / 'truth.csv'} lists no track")
    return listed
