"""Cuts: a mixture that was divided without being separated. A detector for them, which needs no separator to learn.

Copies, equal shares, frequency bands and parts in time add up to the mixture, and a separator that has learned nothing
gives just these. They show in the waveforms alone: a mask that never changes over time or over frequency, tracks whose
levels rise and fall together. So the detector is fitted on cuts of every calibration scene, as many as there are, and
the quality model (``pipeline.quality``) need not spend its few tracks on them.

Used by ``pipeline.calibrate``, which makes the tracks, and by the gate, which keeps out what looks like a cut.

Example::

    detector = CutDetector.fit(tracks, good_db=5.0)
    detector.probability([scores])               # one number per track
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.partitions import WRONG, Partition
from pipeline.quality import CalibrationTrack, Scores, score_matrix

CUTS: dict[str, Partition] = {
    name: WRONG[name] for name in ("all to one", "equal shares", "frequency bands", "time parts")
}
CUT_SCORES = (
    "silence_share",
    "mixture_similarity",
    "spectral_overlap",
    "temporal_overlap",
    "long_term_overlap",
    "onset_overlap",
    "mask_time_variation",
    "mask_frequency_variation",
    "softness",
    "residual_correlation",
)
"""What it looks at. Not the remix, which is perfect, nor the energy, which is a matter of how a cut was made here."""

_TREES = 200
_LEAF = 3
_SEED = 0


class CutDetector:
    """Says how much a track looks like a cut rather than like a source or a separation."""

    def __init__(self, classifier: Any) -> None:
        self._classifier = classifier

    @classmethod
    def fit(cls, tracks: Sequence[CalibrationTrack], *, good_db: float) -> "CutDetector | None":
        """Fit to calibration tracks, of which those with an origin in ``CUTS`` are cuts.

        A cut that is as good as a source by chance (an SI-SDR above ``good_db``, as the whole mixture has where one
        source is far louder) is left out, and so are copies of the mixture beside a right track.

        Returns:
            None where there are no cuts to learn from, or nothing else.
        """
        from sklearn.ensemble import ExtraTreesClassifier

        cut = np.array([track.origin in CUTS for track in tracks], dtype=bool)
        chance = np.array([track.si_sdr_db > good_db for track in tracks], dtype=bool)
        copy = np.array([track.origin == "one and mixture" for track in tracks], dtype=bool)
        used = ~(cut & chance) & ~copy
        if cut[used].all() or not cut[used].any():
            return None
        x = score_matrix([track.scores for track in tracks], CUT_SCORES)
        trees = ExtraTreesClassifier(_TREES, min_samples_leaf=_LEAF, class_weight="balanced", random_state=_SEED)
        return cls(trees.fit(np.nan_to_num(x[used]), cut[used]))

    def probability(self, scores: Sequence[Scores]) -> list[float]:
        """That a track is a cut, for every track; a score that is missing counts as 0."""
        if not scores:
            return []
        x = np.nan_to_num(score_matrix(scores, CUT_SCORES))
        return self._classifier.predict_proba(x)[:, 1].tolist()
