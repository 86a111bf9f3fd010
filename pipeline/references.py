"""Reference sounds: what recordings of a label sound like to the listener, so that tracks can be compared with them.

A listener's texts and sounds lie apart, and a small listener, or one that has heard synthetic sounds only, knows real
recordings by their texts badly. The single-source clips that the separator was trained on say better what a label
sounds like. ``pipeline.calibrate`` gathers them once per round; ``pipeline.evidence`` scores tracks by them. A track of
one of these recordings has to be compared without that one.

Shapes: Q tracks of one clip, D size of an embedding.

Example::

    references = References.gather(some_of_every_label(clips), encoder, sample_rate_hz=32_000)
    references.scores(("Bark", "Rain"), encoder.embed_audio(tracks))     # one dict per track
"""

import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from data_specs.records import Clip, seed_of
from models.query_encoders import QueryEncoder
from pipeline.audio import AudioError, decode
from pipeline.track_scores import label_margin, order_margin

PER_LABEL = 16
"""Recordings of a label that are used; more change their mean little."""


class Heard(NamedTuple):
    """A clip that was listened to: its file, which other clips may be of too, and its embedding (D,)."""

    path: str
    embedding: Tensor


@dataclass(frozen=True)
class References:
    """The mean embedding (D,) of recordings, of length 1, by label. Without any, tracks get no scores.

    ``recordings`` are what the means are of, by label and clip; they are not stored.
    """

    embeddings: dict[str, Tensor]
    recordings: dict[str, dict[str, Heard]] = field(default_factory=dict)

    @classmethod
    def gather(cls, clips: Iterable[Clip], encoder: QueryEncoder, *, sample_rate_hz: int) -> "References":
        """Listen to clips with one label each; unreadable ones are left out."""
        recordings: dict[str, dict[str, Heard]] = {}
        for clip in clips:
            if (sound := _listen(clip, encoder, sample_rate_hz)) is not None:
                recordings.setdefault(clip.labels[0], {})[clip.clip_id] = Heard(clip.path, sound.cpu())
        return cls({label: _mean(own.values()) for label, own in sorted(recordings.items())}, recordings)

    def listened_to(self, clips: Iterable[Clip]) -> list[Clip]:
        """Those of the clips that are among the recordings: the others could not be read."""
        return [clip for clip in clips if clip.clip_id in self.recordings.get(clip.labels[0], {})]

    def without(self, clip_ids: Collection[str]) -> "References":
        """The same without the recordings of some clips; a label of which none is left has no scores."""
        embeddings = dict(self.embeddings)
        for label, own in self.recordings.items():
            paths = {own[clip_id].path for clip_id in own.keys() & clip_ids}
            if paths:
                rest = [one for one in own.values() if one.path not in paths]
                del embeddings[label]
                if rest:
                    embeddings[label] = _mean(rest)
        return References(embeddings)

    def scores(self, labels: Sequence[str], heard: Tensor) -> list[dict[str, float]]:
        """What tracks that were heard as (Q, D) have in common with recordings of their labels, one dict per track.

        ``reference_similarity`` is the cosine with those of its own label. With several labels, ``reference_margin`` is
        how much more that is than with any other's, ``order_margin_reference`` how much more than in any other order
        of the tracks. A label without recordings has no scores and is no other label.
        """
        found: list[dict[str, float]] = [{} for _ in labels]
        known = [row for row, label in enumerate(labels) if label in self.embeddings]
        if not known:
            return found
        recordings = torch.stack([self.embeddings[labels[row]] for row in known]).to(heard)
        fit = recordings @ heard[known].T  # (labels, tracks)
        several = len(known) > 1
        margins, order = (label_margin(fit).tolist(), order_margin(fit)) if several else ([], 0.0)
        for place, row in enumerate(known):
            found[row]["reference_similarity"] = float(fit[place, place])
            if several:
                found[row] |= {"reference_margin": margins[place], "order_margin_reference": order}
        return found

    def to_bytes(self) -> bytes:
        """As a Parquet table of labels and embeddings."""
        rows = [{"label": label, "embedding": own.tolist()} for label, own in self.embeddings.items()]
        schema = pa.schema([("label", pa.string()), ("embedding", pa.list_(pa.float32()))])
        data = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), data)
        return data.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "References":
        """What ``to_bytes`` wrote."""
        rows = pq.read_table(io.BytesIO(data)).to_pylist()
        return cls({row["label"]: torch.tensor(row["embedding"]) for row in rows})


NO_REFERENCES = References({})


def some_of_every_label(clips: Iterable[Clip]) -> list[Clip]:
    """Up to ``PER_LABEL`` clips of every label, chosen by content, of clips with one label each."""
    by_label: dict[str, list[Clip]] = {}
    for clip in clips:  # of which there may be millions
        own = by_label.setdefault(clip.labels[0], [])
        own.append(clip)
        if len(own) > 2 * PER_LABEL:
            own[:] = _chosen(own)
    return [clip for _, own in sorted(by_label.items()) for clip in _chosen(own)]


def _mean(heard: Iterable[Heard]) -> Tensor:
    return torch.nn.functional.normalize(torch.stack([one.embedding for one in heard]).mean(dim=0), dim=0)


def _chosen(clips: Sequence[Clip]) -> list[Clip]:
    return nsmallest(PER_LABEL, clips, key=lambda clip: seed_of("reference", clip.clip_id))


@torch.inference_mode()
def _listen(clip: Clip, encoder: QueryEncoder, sample_rate_hz: int) -> Tensor | None:
    """The embedding (D,) of a clip; None where it cannot be read any more."""
    try:
        sound = decode(clip.path, start_s=clip.start_s, duration_s=clip.duration_s, sample_rate_hz=sample_rate_hz)
    except AudioError:
        return None
    return encoder.embed_audio(torch.from_numpy(sound).unsqueeze(0))[0]
