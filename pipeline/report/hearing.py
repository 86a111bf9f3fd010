"""What the tagger hears in the clips of the listening sample, against what their labels say.

A label counts as heard when the tagger ranks it, or a class above or below it, among the best tenth of all classes.
Ranks ask less of a tagger than scores do: its scores fall with every further sound in a mixture. A wrong label
still ends up outside of the best tenth nine times out of ten.

Example::

    hearing = Hearing(load_tagger(config), sample_rate_hz=32_000)
    heard = hearing.listen(mixture)                  # mixture (T,)
    heard.tags, heard.holds("Bark")
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from data_specs.labels import label_table
from models.taggers import TAGGER_RATE_HZ, Tagger
from pipeline.audio import resample
from pipeline.report.summary import Disagreements

BEST_SHARE = 0.1
TAGS = 2


class Heard(NamedTuple):
    """The best tags with their scores, and the names of the best tenth of the classes."""

    tags: tuple[tuple[str, float], ...]
    best: frozenset[str]

    def holds(self, label: str) -> bool:
        """Whether the label is heard; labels outside of AudioSet's classes get the benefit of the doubt."""
        return label not in label_table() or not self.best.isdisjoint(_relatives(label))


class Hearing:
    """A tagger with ears for the report."""

    def __init__(self, tagger: Tagger, *, sample_rate_hz: int) -> None:
        self._tagger, self._rate_hz = tagger, sample_rate_hz

    @torch.inference_mode()
    def listen(self, waveform: np.ndarray) -> Heard:
        """What the tagger hears in a waveform (T,)."""
        audio = torch.from_numpy(resample(waveform, self._rate_hz, TAGGER_RATE_HZ)).unsqueeze(0)  # (1, T)
        scores = self._tagger.scores(audio)[0].float().cpu().numpy()  # (527,)
        names = label_table().names
        order = np.argsort(-scores, kind="stable")
        best = [names[index] for index in order[: round(BEST_SHARE * len(names))]]
        tags = label_table().exclusive(best[: 4 * TAGS])[:TAGS]
        return Heard(tuple((name, round(float(scores[names.index(name)]), 3)) for name in tags), frozenset(best))


def counted(so_far: Disagreements, labels: Sequence[str], heard: Heard) -> Disagreements:
    """``so_far`` and one more check of labels against what was heard."""
    counts = dict(so_far.labels)
    missed = [label for label in labels if not heard.holds(label)]
    for label in missed:
        counts[label] = counts.get(label, 0) + 1
    return Disagreements(checked=so_far.checked + 1, clips=so_far.clips + bool(missed), labels=counts)


@cache
def _relatives(label: str) -> frozenset[str]:
    return frozenset(name for name in label_table().names if label_table().related(name, label))
