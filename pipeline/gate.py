"""The gate: which separated tracks a round keeps, and for which kind of training.

Stands after ``evidence``. A gate sees the scores of one clip's tracks and gives one decision per track: tier ``sst``
(the clip can train with its own tracks), tier ``itt`` (the track can train alone), or rejected with a reason. Any
object with the methods of ``Gate`` can take the place of the two here.

Example::

    gate = PaperGate(config.gate)
    decisions = gate.decide(clips)                 # clips as pipeline.evidence gives them
    decisions[0][1].tier, decisions[0][1].reason   # the second track of the first clip
"""

from collections.abc import Collection, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from data_specs.config import GateConfig
from data_specs.records import Tier
from pipeline.cuts import CutDetector
from pipeline.evidence import SECOND_LOOK
from pipeline.quality import Prediction, QualityModel, Scores
from pipeline.references import NO_REFERENCES, References

NO_SCORES = "scores are not finite"
CUT = "divides the clip without separating it"
COPY = "copy of the clip"
SWAPPED = "heard as the clip's labels in another order"
ORDER = ("order_margin_heard", "order_margin_reference")  # two ears: texts, and recordings of the labels
RULED_OUT = (CUT, COPY, SWAPPED)
"""Reasons of tracks that are kept out however probable it is that they are good."""


class Decision(NamedTuple):
    """What becomes of one track. ``reason`` is empty for kept tracks, and one of few countable texts.

    ``prediction`` is what a calibrated gate expects of the track; None from gates that do not predict.
    """

    tier: Tier
    reason: str = ""
    prediction: Prediction | None = None


class Scored(Protocol):
    """A clip as a gate sees it: labels, and the scores of their tracks; None for a score that is not finite."""

    @property
    def labels(self) -> Sequence[str]: ...

    @property
    def scores(self) -> Sequence[Scores]: ...


class Gate(Protocol):
    """Decides about the tracks of clips."""

    @property
    def needs_evidence(self) -> bool:
        """Whether it looks at more than the remix, which costs further passes of the separator."""

    @property
    def references(self) -> References:
        """The recordings of labels that its scores compare tracks with."""

    def in_doubt(self, clips: Sequence[Scored]) -> list[tuple[int, int]]:
        """The tracks, as (clip, track), for which a second look could change the decision."""

    def decide(self, clips: Sequence[Scored]) -> list[list[Decision]]:
        """One decision per track of every clip, in order."""


class PaperGate:
    """The paper's gate (A.2, Table 9): all tracks of a clip are kept when Re-SDR and Re-SISDR both exceed a threshold.

    ``sst_db`` gives tier ``sst``, which is ``itt`` as well; ``itt_db`` alone gives tier ``itt``.
    """

    needs_evidence = False
    references = NO_REFERENCES

    def __init__(self, config: GateConfig) -> None:
        self.config = config

    def in_doubt(self, clips: Sequence[Scored]) -> list[tuple[int, int]]:
        """None: the remix says it all."""
        return []

    def decide(self, clips: Sequence[Scored]) -> list[list[Decision]]:
        """The same decision for every track of a clip."""
        return [self._decide(clip.scores) for clip in clips]

    def _decide(self, scores: Sequence[Scores]) -> list[Decision]:
        if not scores:
            return []
        remix_db = {"Re-SDR": scores[0].get("re_sdr_db"), "Re-SISDR": scores[0].get("re_si_sdr_db")}
        known_db = [value for value in remix_db.values() if value is not None]
        if len(known_db) < len(remix_db):
            return [Decision("rejected", NO_SCORES)] * len(scores)
        if min(known_db) > self.config.sst_db:
            decision = Decision("sst")
        elif min(known_db) > self.config.itt_db:
            decision = Decision("itt")
        else:
            failing = [name for name, value in remix_db.items() if not (value or 0.0) > self.config.itt_db]
            decision = Decision("rejected", f"{' and '.join(failing)} not above {self.config.itt_db:g} dB")
        return [decision] * len(scores)


class CalibratedGate:
    """Keeps tracks that are good with at least a wanted probability, by a model fitted on scenes with known truth.

    A track is good when its SI-SDR is above ``good_db``. ``itt_probability`` is enough for tier ``itt``. Tier ``sst``
    needs ``sst_probability`` for every track of the clip, and a remix above ``itt_db``: what the labels do not explain
    would be a wrong lesson in a mixture. A calibration that cannot be trusted in full raises both probabilities by
    ``caution`` of the way to 1.

    Args:
        first, second: models on the scores of the first look, and on those of both.
        cuts: what keeps out tracks that divide the clip without separating it; None for nothing. Copies of the clip are
            kept out always, as are tracks that fit texts and recordings better in another order of the clip's labels.
        references: what the scores that the models were fitted on were computed with.
        vetoed: labels whose tracks were worse than the mixture on the calibration scenes.
        known: labels that the calibration had; others need ``sst_probability`` for tier ``itt``.
    """

    needs_evidence = True

    def __init__(
        self,
        config: GateConfig,
        first: QualityModel,
        second: QualityModel,
        *,
        cuts: CutDetector | None = None,
        references: References = NO_REFERENCES,
        vetoed: Collection[str] = (),
        known: Collection[str] = (),
        caution: float = 0.0,
    ) -> None:
        self.config = config
        self._first, self._second = first, second
        self._cuts = cuts
        self.references = references
        self._vetoed, self._known = frozenset(vetoed), frozenset(known)
        self._itt = cautious(config.itt_probability, caution)
        self._sst = cautious(config.sst_probability, caution)

    def in_doubt(self, clips: Sequence[Scored]) -> list[tuple[int, int]]:
        """Separated tracks that the first look leaves a chance of at least ``doubt_probability`` to be good."""
        places = [(i, k) for i, clip in enumerate(clips) for k in range(len(clip.scores))]
        predicted = self._first.predict([clips[i].scores[k] for i, k in places])
        least = self.config.doubt_probability
        return [
            place
            for place, one, ruled_out in zip(places, predicted, self._ruled_out(clips), strict=True)
            if one.good_probability >= least and not ruled_out
        ]

    def decide(self, clips: Sequence[Scored]) -> list[list[Decision]]:
        """A decision per track; tier ``sst`` goes to all tracks of a clip or to none."""
        scores = [one for clip in clips for one in clip.scores]
        found = iter(zip(self._predict(scores), self._ruled_out(clips), strict=True))
        return [self._decide(clip, list(islice(found, len(clip.scores)))) for clip in clips]

    def _ruled_out(self, clips: Sequence[Scored]) -> list[str]:
        """For every track of all clips, why it is kept out whatever the model says; empty where nothing says so."""
        scores = [one for clip in clips for one in clip.scores]
        cut = self._cuts.probability(scores) if self._cuts else [0.0] * len(scores)
        alone = [len(clip.labels) == 1 for clip in clips for _ in clip.scores]  # then the whole clip may be the track
        return [self._against(*one) for one in zip(scores, cut, alone, strict=True)]

    def _against(self, scores: Scores, cut: float, alone: bool) -> str:
        if (scores.get("mixture_similarity") or 0.0) >= self.config.copy_similarity and not alone:
            return COPY
        if cut >= self.config.cut_probability:
            return CUT
        return SWAPPED if all((scores.get(name) or 0.0) < 0 for name in ORDER) else ""

    def _predict(self, scores: Sequence[Scores]) -> list[Prediction]:
        """By the second model for tracks that were looked at twice, by the first for the others."""
        twice = [SECOND_LOOK[0] in one for one in scores]
        second = iter(self._second.predict([one for one, both in zip(scores, twice, strict=True) if both]))
        first = iter(self._first.predict([one for one, both in zip(scores, twice, strict=True) if not both]))
        return [next(second) if both else next(first) for both in twice]

    def _decide(self, clip: Scored, found: Sequence[tuple[Prediction, str]]) -> list[Decision]:
        alone = [
            self._decide_alone(label, scores, prediction, ruled_out)
            for label, scores, (prediction, ruled_out) in zip(clip.labels, clip.scores, found, strict=True)
        ]
        if alone and all(self._fit_for_sst(one, scores) for one, scores in zip(alone, clip.scores, strict=True)):
            return [one._replace(tier="sst") for one in alone]
        return alone

    def _decide_alone(self, label: str, scores: Scores, prediction: Prediction, ruled_out: str) -> Decision:
        needed = self._itt if label in self._known else self._sst
        if any(value is None for value in scores.values()):
            return Decision("rejected", NO_SCORES)
        if label in self._vetoed:
            return Decision("rejected", "label that the separator makes worse", prediction)
        if ruled_out:
            return Decision("rejected", ruled_out, prediction)
        if prediction.good_probability >= needed:
            return Decision("itt", "", prediction)
        if label not in self._known and prediction.good_probability >= self._itt:
            return Decision("rejected", "label without calibration clips, not sure enough", prediction)
        return Decision(
            "rejected", f"SI-SDR above {self.config.good_db:g} dB not probable enough (< {needed:.2f})", prediction
        )

    def _fit_for_sst(self, decision: Decision, scores: Scores) -> bool:
        remix_db = scores.get("re_sdr_db")
        return (
            decision.tier == "itt"
            and decision.prediction is not None
            and decision.prediction.good_probability >= self._sst
            and remix_db is not None
            and remix_db > self.config.itt_db
        )


def cautious(probability: float, caution: float) -> float:
    """A wanted probability, moved towards 1 by the share ``caution`` of the way."""
    return probability + caution * (1 - probability)
