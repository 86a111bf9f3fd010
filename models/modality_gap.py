"""The modality gap of a query encoder: how far audio embeddings lie from the embeddings of their texts.

Audio-only queries work as far as the two agree (``models.manipulations``). LAION-CLAP and MS-CLAP have a mean cosine of
about 0.4 on AudioCaps (Saijo et al. 2024, section II-B).

Example::

    gap = modality_gap(encoder.embed_audio(sounds), encoder.embed_text(labels), labels)
    gap.matching_cosine, gap.other_cosine
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class ModalityGap(NamedTuple):
    """Mean cosine of sounds with their own text, and with texts that differ from it; NaN where there is none.

    ``own_is_nearest`` is the share of sounds that no other of these texts fits better than their own.
    """

    matching_cosine: float
    other_cosine: float
    sounds: int
    own_is_nearest: float


def modality_gap(audio: Tensor, text: Tensor, texts: Sequence[str]) -> ModalityGap:
    """From unit vectors (N, D) of sounds and of their texts."""
    cosine = audio @ text.T
    same = torch.tensor([[one == other for other in texts] for one in texts], device=cosine.device)
    nearest = cosine.diagonal() > cosine.masked_fill(same, -torch.inf).amax(dim=1)
    return ModalityGap(
        float(cosine.diagonal().mean()), float(cosine[~same].mean()), len(texts), float(nearest.float().mean())
    )
