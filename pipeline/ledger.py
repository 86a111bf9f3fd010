"""What a round has done so far: the content of ``rounds/NNN/round.json``.

``pipeline.round`` writes a new state after each finished stage; ``status``, the report and the next round read it.
A state is enough to tell what a rerun would do: the stages in ``finished`` are skipped, the first other one runs.

Example::

    state = RoundState(number=1)
    state = state.with_stage("tag", seconds=0.8, counts={"tag": counts})
    state.next_stage  # "separate"
"""

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from data_specs.config import Config, stored_config
from data_specs.records import Record, StageCounts

STAGES = ("tag", "calibrate", "separate", "train", "evaluate", "promote", "report")


class RoundState(Record):
    """State of one round.

    Attributes:
        number: the round, from 1.
        finished: stages that are done, in the order of ``STAGES``.
        failure: "stage: error" of the last attempt when it ended in an error; empty otherwise.
        config: snapshot of the configuration.
        finished_before: how many rounds were finished when this one began; None in rounds that did not record it.
        code_version: ``code_version()`` when the round began.
        checkpoint_in, checkpoint_in_hash: what the round separated with.
        unconditional_hash: the unconditional separator that it separated with; empty for none.
        checkpoint_out, checkpoint_out_hash: what it trained; empty before training.
        counts: per stage; ``ingest``, ``ingest_single_source``, ``tag`` and ``separate`` count clips, ``gate`` tracks.
        tiers: tracks per tier of the gate (``sst``, ``itt``, ``rejected``).
        kept_s: seconds of audio in the tracks that passed the gate.
        calibration: what the gate rests on (``pipeline.calibration.Calibration``).
        timings_s: seconds per stage, the last attempt's.
        training: what training reports about itself (steps, losses, samples).
        metrics: ``current`` and ``candidate`` on the held-out set, as in metrics.json.
        promotion: the decision, with ``promoted`` and ``reason``; None before it is made.
    """

    number: int
    finished: tuple[str, ...] = ()
    failure: str = ""
    config: dict[str, Any] = {}
    finished_before: int | None = None
    code_version: str = ""
    checkpoint_in: str = ""
    checkpoint_in_hash: str = ""
    unconditional_hash: str = ""
    checkpoint_out: str = ""
    checkpoint_out_hash: str = ""
    counts: dict[str, StageCounts] = {}
    tiers: dict[str, int] = {}
    kept_s: float = 0.0
    calibration: dict[str, Any] = {}
    timings_s: dict[str, float] = {}
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    promotion: dict[str, Any] | None = None

    @property
    def state(self) -> str:
        """``new``, ``started``, ``failed`` or ``finished``."""
        if self.next_stage is None:
            return "finished"
        if self.failure:
            return "failed"
        return "started" if self.config else "new"

    @property
    def next_stage(self) -> str | None:
        """The stage that a rerun begins with, None for a finished round."""
        return next((stage for stage in STAGES if stage not in self.finished), None)

    @property
    def settings(self) -> Config:
        """The configuration that the round began with."""
        return stored_config(self.config)

    @property
    def promoted(self) -> bool:
        """Whether the round's checkpoint replaced the one before."""
        return bool(self.promotion and self.promotion.get("promoted"))

    def with_stage(
        self, stage: str, *, seconds: float, counts: dict[str, StageCounts] | None = None, **fields: Any
    ) -> "RoundState":
        """This state with ``stage`` finished, its counts added and ``fields`` replaced."""
        return self.having(
            finished=tuple(name for name in STAGES if name in {*self.finished, stage}),
            failure="",
            counts={**self.counts, **(counts or {})},
            timings_s={**self.timings_s, stage: round(seconds, 3)},
            **fields,
        )

    def having(self, **fields: Any) -> "RoundState":
        """This state with ``fields`` replaced."""
        return RoundState(**{**dict(self), **fields})


@cache
def code_version() -> str:
    """The package's version and a hash of its source, so that two rounds can be told apart by their code."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for layer in ("data_specs", "models", "pipeline", "flows"):
        for path in sorted((root / layer).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    try:
        version = metadata.version("sound-data-engine")
    except metadata.PackageNotFoundError:
        version = "source"
    return f"{version}+{digest.hexdigest()[:12]}"
