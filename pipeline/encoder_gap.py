"""The modality gap of a query encoder on single sounds: how well they agree with the texts of their labels.

Measured after a round that trained with sounds as queries, and by ``data-engine experiment gap``.

Example::

    gap_of(clip_sounds(clips, sample_rate_hz=32_000), encoder)   # {"matching_cosine": 0.4, ...}
"""

import heapq
import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from data_specs.records import Clip, seed_of
from data_specs.soundscapes import BuiltinSource
from models.modality_gap import modality_gap
from models.query_encoders import QueryEncoder
from pipeline.sound_pools import RecordingPool

GAP_SOUNDS = 64
GAP_DURATION_S = 5.0

LabelledSound = tuple[str, np.ndarray]


def clip_sounds(clips: Iterable[Clip], *, sample_rate_hz: int, most: int = GAP_SOUNDS) -> Iterator[LabelledSound]:
    """Labels and crops (T,) of single-source clips, at most ``most`` of them; what cannot be read is left out."""
    chosen = heapq.nsmallest(most, clips, key=lambda clip: seed_of("modality gap", clip.clip_id))
    pool, rng = RecordingPool(chosen, sample_rate_hz), np.random.default_rng(0)
    for index, clip in enumerate(chosen):
        sound = pool.draw(index, rng, round(GAP_DURATION_S * sample_rate_hz))
        if sound.any():
            yield clip.labels[0], sound


def builtin_sounds(*, sample_rate_hz: int, most: int = GAP_SOUNDS) -> Iterator[LabelledSound]:
    """The same of built-in events, all labels in turn."""
    source, rng = BuiltinSource(), np.random.default_rng(0)
    for number in range(most):
        label = source.labels[number % len(source.labels)]
        yield label, source.draw(label, rng, GAP_DURATION_S, sample_rate_hz).waveform


def gap_of(sounds: Iterable[LabelledSound], encoder: QueryEncoder) -> dict[str, float]:
    """``ModalityGap`` of an encoder; empty without any sound."""
    heard = list(sounds)
    if not heard:
        return {}
    labels = [label for label, _ in heard]
    audio = torch.cat([encoder.embed_audio(torch.from_numpy(sound)[None]).cpu() for _, sound in heard])
    gap = modality_gap(audio, encoder.embed_text(labels).cpu(), labels)
    return {name: value for name, value in gap._asdict().items() if math.isfinite(value)}
