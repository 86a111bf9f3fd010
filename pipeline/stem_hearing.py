"""Whether a track holds what its label says, or only what leaked.

A separator gives a track for whatever it is asked for, and shapes what leaks until it fits the label. So the evidence
is taken from the recording itself: the label has to fit it better than most other AudioSet classes do, by the query
encoder, where the track is loudest; and the track has to take more than a trace of the recording. One window per track
is looked at, so the cost does not grow with the recording. ``tests/benchmarks/heard.py`` measures the thresholds.

Example::

    loudest = LoudestSpans(tracks=1)
    loudest.add(mixture, tracks)                  # (N, C), (Q, N, C), any number of times
    (fit,) = loudest.fits(["Car"], encoder, sample_rate_hz=48_000)
    is_heard(energy_share_db=-6.2, fit=fit)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torchaudio.functional import resample

from data_specs.labels import label_table
from models.query_encoders import QueryEncoder

ENCODER_RATE_HZ = 32_000
OTHERS = label_table().names[::8]
"""Classes that a label is compared with: enough for their mean and spread."""

ENERGY_SHARE_MIN_DB = -20.0
FIT_MIN = 0.0


@dataclass(frozen=True)
class Fit:
    """How much better a label fits than AudioSet classes on average, in standard deviations of their cosines.

    For the recording, the track, and what the track leaves, each where the track is loudest.
    """

    recording: float
    track: float
    residual: float


def is_heard(*, energy_share_db: float, fit: Fit) -> bool:
    """Whether a track holds something of its label."""
    return energy_share_db > ENERGY_SHARE_MIN_DB and fit.recording > FIT_MIN


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
