"""The typed records that flow between stages, and the Arrow tables they are stored in.

A record is frozen and validated when it is made. ``table_of`` and ``records_of`` turn lists of records into Arrow
tables and back; the column order is the field order, so a manifest reads like the class.

Example::

    table = table_of(Track, tracks)
    assert records_of(Track, table) == tracks
"""

import hashlib
import types
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, model_validator

Outcome = Literal["kept", "dropped", "failed"]
Tier = Literal["sst", "itt", "rejected"]
TagSource = Literal["corpus", "panns", "clap"]
TrackSource = Literal["labels", "label_free"]

TRUNCATED = "truncated"
"""Among ``Clip.problems``: its recording ends before its header says."""


class Record(BaseModel):
    """Base of all records: frozen, strict about unknown fields, hashable."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OutcomeRecord(Record):
    """A record that says what became of an input: kept, or dropped/failed with a reason."""

    outcome: Outcome = "kept"
    reason: str = ""

    @model_validator(mode="after")
    def _reason_unless_kept(self):
        if self.outcome != "kept" and not self.reason:
            raise ValueError(f"a {self.outcome} {type(self).__name__} needs a reason")
        return self


class CorpusEntry(Record):
    """One line of a corpus as the user gave it: an audio file with its labels and captions, unchecked.

    ``end_s`` bounds the part of the file that the entry means (AudioSet segments); None is the end of the file.
    """

    path: str
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    split: str = ""
    start_s: float = 0.0
    end_s: float | None = None


class Clip(OutcomeRecord):
    """One window of a recording, the unit of everything after ingest. Labels are AudioSet display names.

    ``captions`` say in any words what the recording holds; weak supervision asks by them (``data_specs.captions``).

    ``clip_id`` comes from the content (``content_id``), so that the same audio gets the same id on every machine.
    ``problems`` are notes that did not cost the clip: "downmixed from 6 channels", "truncated", ...
    ``entry`` is the line of the corpus that it came from (``pipeline.ingest.Listed``), ``since_round`` the first round
    that could use it.
    """

    clip_id: str
    path: str
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    split: str = ""
    start_s: float = 0.0
    duration_s: float = 0.0
    source_rate_hz: int = 0
    sha256: str = ""
    problems: tuple[str, ...] = ()
    entry: str = ""
    since_round: int = 1


class TaggedClip(OutcomeRecord):
    """The mutually exclusive labels of a clip, each with a score in [0, 1], and who gave them."""

    clip_id: str
    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    source: TagSource = "corpus"


class Track(OutcomeRecord):
    """One separated waveform of a clip with its label, its scores and the gate's decision; one manifest row.

    ``index`` is k in the shard member ``<clip>.<k>.flac``; ``shard`` is empty for tracks that no shard holds.
    ``source`` says whether its label was asked for, or heard in an estimate that was separated without labels; a clip
    that came to no tracks that way has one row with an empty label.
    The optional numbers are the scores of ``data_specs.scores``, None where they were not or could not be computed.
    """

    track_id: str
    clip_id: str
    label: str
    index: int
    negative_labels: tuple[str, ...] = ()
    source: TrackSource = "labels"
    tier: Tier = "rejected"
    re_sdr_db: float | None = None
    re_si_sdr_db: float | None = None
    background_db: float | None = None
    energy_share_db: float | None = None
    silence_share: float | None = None
    mixture_similarity: float | None = None
    spectral_overlap: float | None = None
    temporal_overlap: float | None = None
    long_term_overlap: float | None = None
    onset_overlap: float | None = None
    mask_time_variation: float | None = None
    mask_frequency_variation: float | None = None
    softness: float | None = None
    residual_correlation: float | None = None
    positive_agreement_db: float | None = None
    negative_agreement_db: float | None = None
    label_margin_db: float | None = None
    order_margin_db: float | None = None
    previous_agreement_db: float | None = None
    label_similarity: float | None = None
    label_gain: float | None = None
    other_label_similarity: float | None = None
    other_label_drop: float | None = None
    order_margin_heard: float | None = None
    residual_label_similarity: float | None = None
    residual_similarity: float | None = None
    reference_similarity: float | None = None
    reference_margin: float | None = None
    order_margin_reference: float | None = None
    idempotence_db: float | None = None
    foreign_agreement_db: float | None = None
    others_in_track_db: float | None = None
    own_in_residual_db: float | None = None
    expected_si_sdr_db: float | None = None
    good_probability: float | None = None
    duration_s: float = 0.0
    unit: str = ""
    shard: str = ""
    checkpoint: str = ""
    config_hash: str = ""


class StageCounts(Record):
    """What a stage did with its inputs; ``inputs == kept + dropped + failed`` always holds."""

    inputs: int = 0
    kept: int = 0
    dropped: int = 0
    failed: int = 0
    reasons: dict[str, int] = {}

    @model_validator(mode="after")
    def _adds_up(self):
        if self.inputs != self.kept + self.dropped + self.failed:
            raise ValueError(
                f"{self.inputs} inputs, but {self.kept} kept + {self.dropped} dropped + {self.failed} failed"
            )
        return self

    @classmethod
    def of(cls, records: Iterable[OutcomeRecord]) -> "StageCounts":
        """Count outcomes and the reasons of what was not kept."""
        tally = {"kept": 0, "dropped": 0, "failed": 0}
        reasons: dict[str, int] = {}
        for record in records:
            tally[record.outcome] += 1
            if record.outcome != "kept":
                reasons[record.reason] = reasons.get(record.reason, 0) + 1
        return cls(inputs=sum(tally.values()), reasons=dict(sorted(reasons.items())), **tally)

    def __add__(self, other: "StageCounts") -> "StageCounts":
        reasons = {key: self.reasons.get(key, 0) + other.reasons.get(key, 0) for key in {*self.reasons, *other.reasons}}
        return StageCounts(
            inputs=self.inputs + other.inputs,
            kept=self.kept + other.kept,
            dropped=self.dropped + other.dropped,
            failed=self.failed + other.failed,
            reasons=dict(sorted(reasons.items())),
        )


def content_id(*parts: str | float | int, length: int = 16) -> str:
    """A hexadecimal id of ``length`` characters that depends on nothing but ``parts``."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:length]


def seed_of(*parts: str | float | int) -> int:
    """A 63-bit seed that depends on nothing but ``parts``."""
    return int(content_id(*parts, length=16), 16) >> 1


RecordT = TypeVar("RecordT", bound=Record)

_ARROW_TYPES: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def _arrow_type(annotation: Any) -> pa.DataType:
    origin = get_origin(annotation)
    if origin is Literal:
        return pa.string()
    if origin in (Union, types.UnionType):  # Optional[X]: Arrow columns are nullable anyway
        (inner,) = (argument for argument in get_args(annotation) if argument is not type(None))
        return _arrow_type(inner)
    if origin is tuple:
        return pa.list_(_arrow_type(get_args(annotation)[0]))
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return pa.struct(list(arrow_schema(annotation)))
    return _ARROW_TYPES[annotation]


def arrow_schema(record: type[Record]) -> pa.Schema:
    """The Arrow schema of a record class; one column per field, in field order."""
    # Inherited fields (outcome, reason) come first in pydantic; a manifest reads better with the identity first.
    own = [name for name in record.model_fields if name not in OutcomeRecord.model_fields]
    inherited = [name for name in record.model_fields if name in OutcomeRecord.model_fields]
    return pa.schema([(name, _arrow_type(record.model_fields[name].annotation)) for name in own + inherited])


def table_of(record: type[RecordT], records: Sequence[RecordT]) -> pa.Table:
    """Records as an Arrow table; an empty sequence gives an empty table with the right columns."""
    return pa.Table.from_pylist([item.model_dump() for item in records], schema=arrow_schema(record))


def records_of(record: type[RecordT], table: pa.Table) -> list[RecordT]:
    """The records of an Arrow table.

    Raises:
        pydantic.ValidationError: when a row does not fit the record.
    """
    return [record(**row) for row in table.to_pylist()]
