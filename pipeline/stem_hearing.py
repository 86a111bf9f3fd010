"""Whether a track holds what its label says, or only what leaked.

A separator gives a track for whatever it is asked for. Two things tell a sound from leakage: how much of the recording
the track takes, and how much better the label fits than other AudioSet classes, by the query encoder, where the track
is loudest. Either alone says little, so they are weighed against each other. One window per track is looked at, so the
cost does not grow with the recording. ``tests/benchmarks/heard.py`` measures what the verdicts are worth.

Example::

    loudest = LoudestSpans(tracks=1)
    loudest.add(mixture, tracks)                  # (N, C), (Q, N, C), any number of times
    (fit,) = loudest.fits(["Car"], encoder, sample_rate_hz=48_000)
    verdict(evidence_db(energy_share_db=-6.2, fit=fit))     # "yes"
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torchaudio.functional import resample

from data_specs.labels import label_table
from models.query_encoders import QueryEncoder

ENCODER_RATE_HZ = 32_000
OTHERS = label_table().names[::8]
"""Classes that a label is compared with: enough for their mean and spread."""

Verdict = Literal["yes", "perhaps", "no"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
FIT_DB = 8.0
"""A label that fits better by one is worth so many decibels of energy share."""
YES_DB, NO_DB = 6.0, -7.0
"""Evidence above which a label is heard, and below which it is not."""


@dataclass(frozen=True)
class Fit:
    """How much better a label fits than AudioSet classes on average, in standard deviations of their cosines.

    For the recording, the track, and what the track leaves, each where the track is loudest.
    """

    recording: float
    track: float
    residual: float


def evidence_db(*, energy_share_db: float, fit: Fit) -> float:
    """How much speaks for a track that holds its label.

    The fit to the recording counts, not that to the track: a separator shapes what leaks until it fits the label.
    """
    return energy_share_db + FIT_DB * fit.recording


def verdict(evidence: float) -> Verdict:
    """Whether the label is heard; ``perhaps`` where it is often wrong to say either."""
    return "yes" if evidence > YES_DB else "perhaps" if evidence > NO_DB else "no"


class LoudestSpans:
    """For every track, the piece of the recording and of the track in which the track is loudest."""

    def __init__(self, tracks: int) -> None:
        self._power = [-1.0] * tracks
        self._spans: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros(1), np.zeros(1))] * tracks

    def add(self, mixture: np.ndarray, tracks: np.ndarray) -> None:
        """The next piece of a recording (N, C) and of its tracks (Q, N, C)."""
        for index, track in enumerate(tracks):
            power = float(np.square(track, dtype=np.float64).sum())
            if power > self._power[index]:
                self._power[index] = power
                self._spans[index] = (mixture.mean(axis=1), track.mean(axis=1))

    @torch.inference_mode()
    def fits(self, labels: Sequence[str], encoder: QueryEncoder, *, sample_rate_hz: int) -> list[Fit]:
        """How every label fits recording, track and residual."""
        others = encoder.embed_text(list(OTHERS))  # (K, D)
        found = []
        for label, (mixture, track) in zip(labels, self._spans, strict=True):
            audio = torch.from_numpy(np.stack([mixture, track, mixture - track]).astype(np.float32))
            embedded = encoder.embed_audio(resample(audio, sample_rate_hz, ENCODER_RATE_HZ))  # (3, D)
            cosines = embedded @ others.T  # (3, K)
            own = embedded @ encoder.embed_text([label])[0]  # (3,)
            found.append(Fit(*((own - cosines.mean(dim=1)) / cosines.std(dim=1).clamp(min=1e-6)).tolist()))
        return found
