"""The rows of the page's table of tracks, in chunks by column, and the lineage of every row in chunks beside them.

A chunk is loaded when somebody opens the table, a lineage chunk when somebody opens a row. Rounds with more tracks than
``report.table_tracks`` give a random sample of them, the same one every time. Memory is bounded by the table, not by
the round.

Example::

    table = TrackTable(folder, tracks=5_000_000, most=100_000)
    for batch in track_batches(workspace, 1):
        table.add(batch)
    table.finish(workspace)
    table.rows, table.chunks
"""

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_specs.scores import SCORES
from pipeline.report.data_files import write_data
from pipeline.report.scan import iter_clips
from pipeline.report.summary import TIERS
from pipeline.workspace import Workspace

CHUNK_ROWS = 5_000
FAILED = "failed"
_LINEAGE = ("track_id", "clip_id", "unit", "shard", "source", "checkpoint", "config_hash", "negative_labels")


class TrackTable:
    """Writes the data files of the table below ``folder``.

    Attributes:
        rows: tracks in the table.
        chunks: data files of rows, ``data/tracks-<k>.js``; their lineage is in ``data/lineage-<k>.js``.
    """

    def __init__(self, folder: Path, *, tracks: int, most: int) -> None:
        self.folder = folder
        self.rows = self.chunks = 0
        self._share = min(1.0, most / tracks) if tracks else 1.0
        self._waiting: list[dict[str, Any]] = []
        self._lineage: list[tuple[dict[str, Any], list[str]]] = []  # columns, and the clips of the rows

    def add(self, batch: pa.Table) -> None:
        """Take the rows of a batch that belong to the sample."""
        if self._share < 1.0:
            limit = self._share * 2**32
            batch = batch.filter(
                pa.array([zlib.crc32(name.encode()) < limit for name in batch["track_id"].to_pylist()])
            )
        columns = ("label", "tier", "outcome", "reason", "index", "duration_s", *_LINEAGE)
        scores = [score.name for score in SCORES if score.name in batch.column_names]
        for row in batch.select([*columns, *scores]).to_pylist():
            self._waiting.append(row)
            if len(self._waiting) == CHUNK_ROWS:
                self._write_chunk()

    def finish(self, workspace: Workspace) -> None:
        """Write what waits, then the lineage: where the clips come from is read once for all of them."""
        if self._waiting:
            self._write_chunk()
        wanted = {clip_id for _, clips in self._lineage for clip_id in clips}
        sources = {
            clip.clip_id: (clip.path, clip.start_s, clip.duration_s)
            for clip in (iter_clips(workspace, "natural") if wanted else ())
            if clip.clip_id in wanted
        }
        for chunk, (columns, clips) in enumerate(self._lineage):
            found = [sources.get(clip_id, ("", 0.0, 0.0)) for clip_id in clips]
            columns |= {
                "path": _coded(path for path, _, _ in found),
                "start_s": [start_s for _, start_s, _ in found],
                "duration_s": [duration_s for _, _, duration_s in found],
            }
            write_data(self.folder, f"lineage-{chunk}", columns)

    def _write_chunk(self) -> None:
        rows, self._waiting = self._waiting, []
        tiers = [FAILED if row["outcome"] == "failed" else row["tier"] for row in rows]
        content: dict[str, Any] = {
            "label": _coded(row["label"] for row in rows),
            "tier": _coded(tiers, names=[*TIERS, FAILED]),
            "reason": _coded(row["reason"] for row in rows),
            "clip": [row["clip_id"] for row in rows],
            "index": [row["index"] for row in rows],
            "seconds": [round(row["duration_s"], 2) for row in rows],
        }
        for score in SCORES:
            values = [row.get(score.name) for row in rows]
            content[score.name] = [None if value is None else round(value, 2) for value in values]
        write_data(self.folder, f"tracks-{self.chunks}", content)
        lineage: dict[str, Any] = {
            name: _coded(row[name] for row in rows) for name in ("unit", "shard", "source", "checkpoint", "config_hash")
        }
        lineage["negatives"] = _coded("; ".join(row["negative_labels"]) for row in rows)
        lineage["track_id"] = [row["track_id"] for row in rows]
        self._lineage.append((lineage, [row["clip_id"] for row in rows]))
        self.chunks += 1
        self.rows += len(rows)


def _coded(values: Iterable[str], names: Sequence[str] = ()) -> dict[str, Any]:
    """Texts as numbers into a list of the different ones."""
    places = {name: place for place, name in enumerate(names)}
    codes = [places.setdefault(value, len(places)) for value in values]
    return {"names": list(places), "codes": codes}
