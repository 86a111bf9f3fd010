"""The modality gap of a query encoder on labelled clips: how well its sounds and its texts agree.

Measured after a round that trained with sounds as queries, and by ``data-engine experiment gap``.

Example::

    clip_gap(workspace.iter_training_clips(), encoder, sample_rate_hz=32_000)     # {"matching_cosine": 0.6, ...}
"""

import heapq
import math
from collections.abc import Iterable

import numpy as np
import torch

from data_specs.records import Clip, seed_of
from models.modality_gap import modality_gap
from models.query_encoders import QueryEncoder
from pipeline.sound_pools import RecordingPool

GAP_CLIPS = 64
GAP_DURATION_S = 5.0


def clip_gap(
    clips: Iterable[Clip], encoder: QueryEncoder, *, sample_rate_hz: int, most: int = GAP_CLIPS
) -> dict[str, float]:
    """``ModalityGap`` of single-source clips, at most ``most`` of them; empty when none can be heard.

    Args:
        sample_rate_hz: what the encoder wants.
    """
    chosen = heapq.nsmallest(most, clips, key=lambda clip: seed_of("modality gap", clip.clip_id))
    pool, rng = RecordingPool(chosen, sample_rate_hz), np.random.default_rng(0)
    length = round(GAP_DURATION_S * sample_rate_hz)
    sounds = [pool.draw(index, rng, length) for index in range(len(pool))]
    heard = [(sound, clip.labels[0]) for sound, clip in zip(sounds, chosen, strict=True) if sound.any()]
    if not heard:
        return {}
    labels = [label for _, label in heard]
    audio = torch.cat([encoder.embed_audio(torch.from_numpy(sound)[None]).cpu() for sound, _ in heard])
    gap = modality_gap(audio, encoder.embed_text(labels).cpu(), labels)
    return {name: value for name, value in gap._asdict().items() if math.isfinite(value)}
