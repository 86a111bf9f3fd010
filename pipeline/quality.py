"""A calibrated model of track quality: from the scores of a track to its expected SI-SDR and the probability of "good".

Fitted by ``pipeline.calibrate`` on scenes whose truth is known, used by ``pipeline.gate``. The model is never stored:
the table it is fitted on is, and the same table gives the same model, so that a workspace holds no code and every
decision can be traced to the scenes behind it.

The model is a forest of extremely randomised trees. How sure it may be is learned from predictions for sources that it
has not heard in any scene (Platt scaling on grouped folds), since scenes of the same few recordings make any model too
sure of itself. Partitions of scenes that no separator made widen what the trees have seen; only the separator's own
tracks decide how sure they may be.

Example::

    model = QualityModel.fit(rows, good_db=5.0)
    predictions = model.predict([scores])
    predictions[0].si_sdr_db, predictions[0].good_probability
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

FOLDS = 5
TREES = 200
LEAF = 3
PARTITION_WEIGHT = 0.5  # of a partition's track, against one of the separator's own
CLIP_DB = (-15.0, 25.0)  # SI-SDR beyond these is bad or good whatever its value
_MARGIN = 1e-3  # the trees are never surer than this
_SEED = 0

Scores = Mapping[str, float | None]

ABSENT_DB = -30.0  # stands for the SI-SDR of a track whose label is not in its scene


@dataclass(frozen=True)
class CalibrationTrack:
    """A track whose truth is known: its scores, its SI-SDR and the mixture's, its label, the recording it comes from.

    ``origin`` is empty for the separator's own tracks; the name of a partition (``pipeline.partitions``) for others.
    Tracks of one ``scene`` share what is heard beside them.
    """

    scores: Scores
    si_sdr_db: float
    mixture_si_sdr_db: float
    label: str
    source: str
    origin: str = ""
    scene: str = ""


class Prediction(NamedTuple):
    """What the model says of a track."""

    si_sdr_db: float
    good_probability: float


class QualityModel:
    """See the module's docstring.

    Attributes:
        names: the scores that it reads.
        unseen: probabilities of "good" for the separator's own calibration tracks, each by a fold without its source.
    """

    def __init__(self, names: Sequence[str], fitted: "_Fitted", unseen: Sequence[float]) -> None:
        self.names = tuple(names)
        self._fitted = fitted
        self.unseen = tuple(unseen)

    @classmethod
    def fit(cls, tracks: Sequence[CalibrationTrack], *, good_db: float, names: Sequence[str] | None = None):
        """Fit to calibration tracks.

        Args:
            good_db: a track is good when its SI-SDR is above this.
            names: scores to use; all that some track has by default.

        Raises:
            ValueError: fewer than ``FOLDS`` sources, or all tracks good, or none.
        """
        if names is None:
            names = sorted({name for track in tracks for name in track.scores})
        x = score_matrix([track.scores for track in tracks], names)
        si_sdr_db = np.clip([track.si_sdr_db for track in tracks], *CLIP_DB)
        good = np.array([track.si_sdr_db for track in tracks]) > good_db
        sources = np.array([track.source for track in tracks])
        scenes = np.array([track.scene or f"scene of {number}" for number, track in enumerate(tracks)])
        genuine = np.array([not track.origin for track in tracks])
        if len(set(sources)) < FOLDS:
            raise ValueError(f"{len(set(sources))} sources are too few to calibrate on, {FOLDS} is the least")
        if not 0 < good[genuine].sum() < genuine.sum():
            raise ValueError(f"all calibration tracks are {'good' if good.any() else 'bad'}: nothing to tell apart")
        weight = np.where(genuine, 1.0, PARTITION_WEIGHT)
        log_odds = _unseen(x, good, sources, scenes, weight)[genuine]
        scaling = _platt(log_odds, good[genuine])
        unseen = scaling.predict_proba(log_odds[:, None])[:, 1].tolist()
        return cls(names, _Fitted(_classifier(x, good, weight), _regressor(x, si_sdr_db, weight), scaling), unseen)

    def predict(self, scores: Sequence[Scores]) -> list[Prediction]:
        """One prediction per track; a score that is missing counts as a typical one."""
        if not scores:
            return []
        x = score_matrix(scores, self.names)
        probability = self._fitted.scaling.predict_proba(_log_odds(self._fitted.classifier, x)[:, None])[:, 1]
        level_db = self._fitted.regressor.predict(x)
        return [Prediction(float(db), float(p)) for db, p in zip(level_db, probability, strict=True)]


@dataclass(frozen=True)
class _Fitted:
    classifier: Any
    regressor: Any
    scaling: Any


def score_matrix(scores: Sequence[Scores], names: Sequence[str]) -> np.ndarray:
    """Tracks by scores, (N, names); NaN where a score is missing."""
    values = [[one.get(name) for name in names] for one in scores]
    return np.array([[np.nan if value is None else value for value in row] for row in values], dtype=np.float64)


def _classifier(x: np.ndarray, good: np.ndarray, weight: np.ndarray) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return _fitted(ExtraTreesClassifier(TREES, min_samples_leaf=LEAF, random_state=_SEED), x, good, weight)


def _regressor(x: np.ndarray, si_sdr_db: np.ndarray, weight: np.ndarray) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    return _fitted(ExtraTreesRegressor(TREES, min_samples_leaf=LEAF, random_state=_SEED), x, si_sdr_db, weight)


def _fitted(trees: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Any:
    """Trees behind a step that puts the median where a score is missing, fitted."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline

    steps = [("impute", SimpleImputer(strategy="median", keep_empty_features=True)), ("trees", trees)]
    return Pipeline(steps).fit(x, y, trees__sample_weight=weight)


def _log_odds(classifier: Any, x: np.ndarray) -> np.ndarray:
    probability = classifier.predict_proba(x)[:, 1].clip(_MARGIN, 1 - _MARGIN)
    return np.log(probability / (1 - probability))


def _unseen(x: np.ndarray, good: np.ndarray, sources: np.ndarray, scenes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Log-odds of every track by a model fitted without any scene in which its source is heard.

    To leave out the tracks of its source alone is not enough: what is heard beside them has shaped their scores.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    log_odds = np.zeros(len(x))
    for _, held in StratifiedGroupKFold(FOLDS).split(x, good, sources):
        seen = ~np.isin(scenes, scenes[np.isin(sources, sources[held])])
        if good[seen].all() or not good[seen].any():
            log_odds[held] = np.log(good.mean() / (1 - good.mean()))
        else:
            log_odds[held] = _log_odds(_classifier(x[seen], good[seen], weight[seen]), x[held])
    return log_odds


def _platt(log_odds: np.ndarray, good: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=100.0).fit(log_odds[:, None], good)
