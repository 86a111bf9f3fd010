"""Inputs that failed in any stage of a round, by reason, with the names of some of them; and those that break off.

Example::

    find_failures(workspace, 1)[0].examples
"""

from collections import defaultdict
from collections.abc import Iterator

import pyarrow.parquet as pq

from pipeline.report.scan import iter_clips
from pipeline.report.summary import Failure
from pipeline.workspace import ClipSet, Workspace

EXAMPLES = 5
_CLIP_SETS: dict[str, ClipSet] = {"ingest": "natural", "ingest_single_source": "single_source"}


def find_failures(workspace: Workspace, round_number: int) -> tuple[Failure, ...]:
    """Failures of ingest, tagging and separation, each input once, the most frequent reason first."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for stage, reason, name in _failed(workspace, round_number):
        counts[stage, reason] += 1
        if len(names[stage, reason]) < EXAMPLES:
            names[stage, reason].append(name)
    return tuple(
        Failure(stage=stage, reason=reason, count=count, examples=tuple(names[stage, reason]))
        for (stage, reason), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def find_truncated(workspace: Workspace) -> list[str]:
    """The recordings that end before their headers say and were used as far as they go, of both corpora."""
    return [path for clip_set in _CLIP_SETS.values() for path in workspace.truncated_recordings(clip_set)]


def _failed(workspace: Workspace, round_number: int) -> Iterator[tuple[str, str, str]]:
    """Stage, reason and the input's name: a path, or the id of a clip."""
    for stage, clip_set in _CLIP_SETS.items():
        for clip in iter_clips(workspace, clip_set):
            if clip.outcome == "failed":
                yield stage, clip.reason, clip.path
    storage = workspace.round_storage(round_number)
    for name in storage.files("tags", suffix=".parquet"):
        with storage.open(f"tags/{name}") as file:
            for batch in pq.ParquetFile(file).iter_batches(columns=["clip_id", "outcome", "reason"]):
                for row in batch.to_pylist():
                    if row["outcome"] == "failed":
                        yield "tag", row["reason"], row["clip_id"]
    for table in workspace.track_tables(round_number):
        failed = {
            row["clip_id"]: row["reason"]
            for row in table.select(["clip_id", "outcome", "reason"]).to_pylist()
            if row["outcome"] == "failed"
        }
        yield from (("separate", reason, clip_id) for clip_id, reason in failed.items())
