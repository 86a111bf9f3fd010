"""The gate: which separated tracks a round keeps, and for which kind of training.

Stands after ``remix``. A gate sees the scores of one clip and gives one decision per track: tier ``sst`` (the clip can
train with its own tracks), tier ``itt`` (the track can train alone), or rejected with a reason. Any object with the
method of ``Gate`` can take the place of ``PaperGate``.

Example::

    decisions = PaperGate(config.gate).decide(scores)
    decisions[0].tier, decisions[0].reason
"""

from typing import NamedTuple, Protocol

from data_specs.config import GateConfig
from data_specs.records import Tier
from pipeline.remix import RemixScores


class Decision(NamedTuple):
    """What becomes of one track. ``reason`` is empty for kept tracks, and one of few countable texts."""

    tier: Tier
    reason: str = ""


class Gate(Protocol):
    """Decides about all tracks of a clip."""

    def decide(self, scores: RemixScores) -> list[Decision]:
        """One decision per entry of ``scores.energy_share_db``, in its order."""


class PaperGate:
    """The paper's gate (A.2, Table 9): all tracks of a clip are kept when Re-SDR and Re-SISDR both exceed a threshold.

    ``sst_db`` gives tier ``sst``, which is ``itt`` as well; ``itt_db`` alone gives tier ``itt``.
    """

    def __init__(self, config: GateConfig) -> None:
        self.config = config

    def decide(self, scores: RemixScores) -> list[Decision]:
        """The same decision for every track of the clip."""
        worst_db = min(scores.re_sdr_db, scores.re_si_sdr_db)
        if worst_db > self.config.sst_db:
            decision = Decision("sst")
        elif worst_db > self.config.itt_db:
            decision = Decision("itt")
        else:
            decision = Decision("rejected", self._reason(scores))
        return [decision] * len(scores.energy_share_db)

    def _reason(self, scores: RemixScores) -> str:
        failing = [
            name
            for name, value_db in (("Re-SDR", scores.re_sdr_db), ("Re-SISDR", scores.re_si_sdr_db))
            if not value_db > self.config.itt_db
        ]
        return f"{' and '.join(failing)} not above {self.config.itt_db:g} dB"
