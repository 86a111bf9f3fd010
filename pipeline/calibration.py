"""What a calibration is worth: from tracks with known truth to the gate of a round, and how far to trust it.

Used by ``pipeline.calibrate``, which makes the tracks. A model that was right about scenes can be wrong about clips. A
sample of the natural clips is compared with the scenes (``shift_auc``: how well a classifier tells them apart by their
scores, 0.5 is not at all); the further apart, the more probable a track must be to be kept (``caution``). Where there
is nothing to calibrate on, or the model sees nothing, the paper's thresholds decide and the summary says why.

Example::

    summary = summarise(tracks, natural_scores, config)
    gate = gate_of(tracks, summary, config)
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from data_specs.config import Config
from data_specs.records import Record
from pipeline.cuts import CUTS, CutDetector
from pipeline.evidence import SECOND_LOOK
from pipeline.gate import CalibratedGate, Gate, PaperGate, cautious
from pipeline.quality import ABSENT_DB, CalibrationTrack, QualityModel
from pipeline.references import NO_REFERENCES, References

TRUSTED_AUC = 0.65  # on unseen sources; a model that sees less than this is no gate
VETO_TRACKS = 5  # fewer tracks of a label say nothing
SHIFT_TRACKS = 20  # fewer natural tracks cannot be compared
SHIFT_FREE, SHIFT_FULL = 0.9, 1.0  # shift_auc where caution begins, and where it is complete
CAUTION_MAX = 0.5
YIELDS = (10, 25, 50)  # percent of tracks at which precision is stated
WANTED = tuple(tenths / 10 for tenths in range(1, 10))  # probabilities at which it is


class Calibration(Record):
    """Summary of a round's calibration.

    Attributes:
        gate: ``calibrated``, or ``paper`` where there was nothing to calibrate on.
        warning: why it falls back, or keeps less; empty when all is well.
        tracks, sources, scenes: what it rests on.
        good_share: share of good tracks among the separator's own.
        auc: of the probability of good on unseen sources.
        precision: stated and true precision of the most probable 10, 25 and 50 % of unseen tracks.
        reliability: the same by rising ``wanted`` probability, of all unseen ``tracks`` that reach it.
        shift_auc: see the module's docstring; None without natural clips.
        caution: how far towards 1 the wanted probabilities are moved.
        vetoed: labels that the separator makes worse.
        known: labels with calibration clips.
    """

    gate: str
    warning: str = ""
    tracks: int = 0
    sources: int = 0
    scenes: int = 0
    good_share: float | None = None
    auc: float | None = None
    precision: dict[str, dict[str, float]] = {}
    reliability: tuple[dict[str, float], ...] = ()
    shift_auc: float | None = None
    caution: float = 0.0
    vetoed: tuple[str, ...] = ()
    known: tuple[str, ...] = ()


def fall_back(reason: str) -> Calibration:
    """The summary of a round that the paper's thresholds decide."""
    return Calibration(gate="paper", warning=f"{reason}; the paper's thresholds decide")


def gate_of(
    tracks: Sequence[CalibrationTrack], summary: Calibration, config: Config, references: References = NO_REFERENCES
) -> Gate:
    """The gate that a table of calibration tracks, scored with ``references``, and its summary stand for."""
    if summary.gate == "paper":
        return PaperGate(config.gate)
    good_db = config.gate.good_db
    judged = _judged(tracks)
    names = sorted({name for track in judged for name in track.scores})
    cheap = [name for name in names if name not in SECOND_LOOK]
    first, second = (QualityModel.fit(judged, good_db=good_db, names=own) for own in (cheap, names))
    return CalibratedGate(
        config.gate,
        first,
        second,
        cuts=CutDetector.fit(tracks, good_db=good_db),
        references=references,
        vetoed=summary.vetoed,
        known=summary.known,
        caution=summary.caution,
    )


def _judged(tracks: Sequence[CalibrationTrack]) -> list[CalibrationTrack]:
    """What the quality model learns from: all but the cuts, which have a detector of their own."""
    return [track for track in tracks if track.origin not in CUTS]


def summarise(
    tracks: Sequence[CalibrationTrack], natural: Sequence[Mapping[str, float | None]], config: Config
) -> Calibration:
    """Fit on unseen folds, compare with natural clips, and say how far the calibration can be trusted."""
    own = [track for track in tracks if not track.origin]
    if len(own) < config.gate.tracks_min:
        return fall_back(
            f"{len(own)} calibration tracks are fewer than gate.tracks_min ({config.gate.tracks_min}), raise "
            "gate.calibration_scenes or give more single-source clips"
        )
    try:
        model = QualityModel.fit(_judged(tracks), good_db=config.gate.good_db)
    except ValueError as error:
        return fall_back(str(error))
    from sklearn.metrics import roc_auc_score

    good = np.array([track.si_sdr_db > config.gate.good_db for track in own])
    probability = np.array(model.unseen)
    auc = float(roc_auc_score(good, probability))
    if auc < TRUSTED_AUC:
        return fall_back(f"the scores do not tell good tracks from bad ones (AUC {auc:.2f} < {TRUSTED_AUC})")
    shift_auc = _shift(own, natural)
    far = np.clip(((shift_auc or 0.5) - SHIFT_FREE) / (SHIFT_FULL - SHIFT_FREE), 0, 1)
    caution = round(CAUTION_MAX * float(far), 4)
    decided = {cautious(wanted, caution) for wanted in (config.gate.itt_probability, config.gate.sst_probability)}
    warning = f"clips differ from the scenes (AUC {shift_auc:.2f}): keeping less" if caution > 0 else ""
    return Calibration(
        gate="calibrated",
        warning=warning,
        tracks=len(own),
        sources=len({track.source for track in own}),
        scenes=config.gate.calibration_scenes,
        good_share=round(float(good.mean()), 4),
        auc=round(auc, 4),
        precision=_precision(probability, good),
        reliability=_reliability(probability, good, {*WANTED, *decided}),
        shift_auc=None if shift_auc is None else round(shift_auc, 4),
        caution=caution,
        vetoed=_vetoed(own),
        known=tuple(sorted({track.label for track in own if track.si_sdr_db > ABSENT_DB})),
    )


def _precision(probability: np.ndarray, good: np.ndarray) -> dict[str, dict[str, float]]:
    order = np.argsort(-probability, kind="stable")
    result = {}
    for share in YIELDS:
        best = order[: max(1, len(order) * share // 100)]
        result[f"{share}%"] = {
            "stated": round(float(probability[best].mean()), 4),
            "true": round(float(good[best].mean()), 4),
        }
    return result


def _reliability(probability: np.ndarray, good: np.ndarray, wanted: Iterable[float]) -> tuple[dict[str, float], ...]:
    rows = []
    for least in sorted(wanted):
        found = probability >= least
        if found.any():
            stated, true = float(probability[found].mean()), float(good[found].mean())
            row = {"wanted": least, "tracks": int(found.sum()), "stated": stated, "true": true}
            rows.append({name: round(value, 4) for name, value in row.items()})
    return tuple(rows)


def _vetoed(tracks: Sequence[CalibrationTrack]) -> tuple[str, ...]:
    """Labels whose tracks are further from the truth than the mixture is, on average."""
    gains: dict[str, list[float]] = {}
    for track in tracks:
        gains.setdefault(track.label, []).append(track.si_sdr_db - track.mixture_si_sdr_db)
    return tuple(sorted(label for label, own in gains.items() if len(own) >= VETO_TRACKS and np.mean(own) < 0))


def _shift(tracks: Sequence[CalibrationTrack], natural: Sequence[Mapping[str, float | None]]) -> float | None:
    """How well scenes and clips are told apart by their scores: AUC on unseen folds, at least 0.5."""
    if len(natural) < SHIFT_TRACKS:
        return None
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

    names = sorted(set(natural[0]).intersection(*(one for one in natural), *(track.scores for track in tracks)))
    x = np.array([[one[name] for name in names] for one in [*(track.scores for track in tracks), *natural]])
    is_natural = np.array([0] * len(tracks) + [1] * len(natural))
    trees = ExtraTreesClassifier(100, min_samples_leaf=5, random_state=0, class_weight="balanced")
    told = cross_val_predict(trees, x, is_natural, cv=5, method="predict_proba")[:, 1]
    return max(0.5, float(roc_auc_score(is_natural, told)))
