"""Remix scores: how well the separated tracks of a clip add up to the clip (Re-SDR and Re-SISDR).

Stands between ``separate`` and ``gate``. The remix is the sum of a clip's tracks (eq. 12 of the ClearSep paper, B.3);
scores need no reference recordings. They say nothing of whether a track holds its own label.

Example::

    scores = score_remix(tracks, mixture)     # tracks (Q, T), mixture (T,)
    scores.re_sdr_db, scores.re_si_sdr_db, scores.energy_share_db[0]
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.metrics import CEILING_DB, FLOOR_DB, SILENT_POWER, sdr_db, si_sdr_db

Waveform = np.ndarray | Tensor


@dataclass(frozen=True)
class RemixScores:
    """Scores of one clip. ``energy_share_db`` has one entry per track; all values are finite."""

    re_sdr_db: float
    re_si_sdr_db: float
    energy_share_db: tuple[float, ...]


def re_sdr(remix: Waveform, mixture: Waveform) -> float:
    """Re-SDR in dB, eq. 13: ``10 log10(|X|² / |X - X̄|²)`` of the remix X̄ (T,) against the mixture X (T,).

    Within the limits of ``pipeline.metrics``: finite for silence and for a perfect remix, NaN for input that is not.
    """
    return float(sdr_db(_row(remix), _row(mixture)))


def re_si_sdr(remix: Waveform, mixture: Waveform) -> float:
    """Re-SISDR in dB, eq. 14 and 15: as ``re_sdr``, against the projection of the remix onto the mixture."""
    return float(si_sdr_db(_row(remix), _row(mixture)))


def energy_share_db(track: Waveform, mixture: Waveform) -> float:
    """Energy of a track (T,) over that of its mixture (T,) in dB, limited like the metrics; the floor for silence."""
    power = float(_row(track).double().square().mean())
    reference = float(_row(mixture).double().square().mean())
    if power < SILENT_POWER or reference < SILENT_POWER:
        return FLOOR_DB
    return float(np.clip(10.0 * np.log10(power / reference), FLOOR_DB, CEILING_DB))


def score_remix(tracks: Waveform, mixture: Waveform) -> RemixScores:
    """Scores of a clip from its tracks (Q, T) and its mixture (T,).

    Raises:
        ValueError: shapes that do not fit, or samples that are not finite.
    """
    tracks, mixture = torch.as_tensor(tracks), torch.as_tensor(mixture)
    if tracks.ndim != 2 or mixture.shape != tracks.shape[1:]:
        raise ValueError(f"tracks {tuple(tracks.shape)} do not fit a mixture {tuple(mixture.shape)}")
    if not (torch.isfinite(tracks).all() and torch.isfinite(mixture).all()):
        raise ValueError("the separated tracks are not finite")
    remix = tracks.double().sum(dim=0)  # (T,), eq. 12
    return RemixScores(
        re_sdr_db=re_sdr(remix, mixture),
        re_si_sdr_db=re_si_sdr(remix, mixture),
        energy_share_db=tuple(energy_share_db(track, mixture) for track in tracks),
    )


def _row(waveform: Waveform) -> Tensor:
    """(T,) as (1, T)."""
    return torch.as_tensor(waveform).reshape(1, -1)
