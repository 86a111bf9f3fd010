"""What a calibrated gate would keep if it wanted another probability of "good": counted in one pass, row by row.

A batch of rows goes in, a few hundred counters stay. At the probabilities that decided, the counts are those of the
gate (``pipeline.gate.CalibratedGate``): labels that separation makes worse are never kept, labels without calibration
clips need the probability of tier ``sst``, and that tier takes whole clips whose remix is above ``gate.itt_db``.

Example::

    wanted = WantedYields(config, state.calibration)
    wanted.add(batch)
    wanted.rows[0].probability, wanted.rows[0].tracks
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_specs.config import Config
from pipeline.gate import RULED_OUT
from pipeline.report.summary import WantedYield, gate_thresholds

STEPS = 50
"""Steps of the probability between 0 and 1 at which the yield is stated."""
NEVER = -1.0


class WantedYields:
    """Counts the tracks and clips of the batches that it is shown; nothing where the paper's thresholds decided."""

    def __init__(self, config: Config, calibration: Mapping[str, Any]) -> None:
        decided = gate_thresholds(config, calibration).get("good_probability", {})
        self._known, self._vetoed = (pa.array(calibration.get(name, ()), pa.string()) for name in ("known", "vetoed"))
        self._unknown_needs, self._remix_db = decided.get("sst", 1.0), config.gate.itt_db
        self._grid = sorted({*(step / STEPS for step in range(STEPS + 1)), *decided.values()}) if decided else []
        self._tracks = np.zeros((len(self._grid) + 1, 2))  # tracks, seconds by the number of steps that they reach
        self._clips = np.zeros((len(self._grid) + 1, 3))  # clips, tracks, seconds of tier sst

    def add(self, batch: pa.Table) -> None:
        """Count the rows of a batch, a clip's next to each other; failed rows have no track."""
        if not self._grid or not len(batch):
            return
        seconds, reach, remix_db = _numbers(batch, "duration_s"), self._reach(batch), _numbers(batch, "re_sdr_db")
        _count(self._tracks, np.searchsorted(self._grid, reach, side="right"), np.ones(len(batch)), seconds)
        clip_ids = batch["clip_id"].to_numpy()
        begins = np.flatnonzero(np.append(True, clip_ids[1:] != clip_ids[:-1]))
        explained = np.minimum.reduceat(np.nan_to_num(remix_db, nan=-np.inf), begins) > self._remix_db
        least = np.where(explained, np.minimum.reduceat(reach, begins), NEVER)
        _count(
            self._clips,
            np.searchsorted(self._grid, least, side="right"),
            np.ones(len(begins)),
            np.diff(np.append(begins, len(batch))),
            np.add.reduceat(seconds, begins),
        )

    def _reach(self, batch: pa.Table) -> np.ndarray:
        """The highest probability (N,) that could be wanted of every track; below 0 where none could."""
        probability = _numbers(batch, "good_probability")
        known, vetoed = (pc.is_in(batch["label"], value_set=names).to_numpy() for names in (self._known, self._vetoed))
        ruled_out = pc.is_in(batch["reason"], value_set=pa.array(RULED_OUT)).to_numpy()
        never = np.isnan(probability) | vetoed | ruled_out | (~known & (probability < self._unknown_needs))
        return np.where(never, NEVER, probability)

    @property
    def rows(self) -> tuple[WantedYield, ...]:
        """The yield by rising probability."""
        above = [np.cumsum(counts[::-1], axis=0)[::-1][1:] for counts in (self._tracks, self._clips)]
        return tuple(
            WantedYield(
                probability=probability,
                tracks=int(tracks),
                tracks_s=tracks_s,
                sst_clips=int(sst_clips),
                sst_tracks=int(sst_tracks),
                sst_s=sst_s,
            )
            for probability, (tracks, tracks_s), (sst_clips, sst_tracks, sst_s) in zip(
                self._grid, above[0].tolist(), above[1].tolist(), strict=True
            )
        )


def _count(counts: np.ndarray, places: np.ndarray, *amounts: np.ndarray) -> None:
    for column, amount in enumerate(amounts):
        counts[:, column] += np.bincount(places, weights=amount, minlength=len(counts))


def _numbers(batch: pa.Table, name: str) -> np.ndarray:
    """A column of numbers (N,), NaN where there is none."""
    return batch[name].cast(pa.float64()).to_numpy().astype(np.float64)
