"""Where the events of a scene come from: the built-in models here, single-source clips in ``pipeline.scenes``.

Example::

    event = BuiltinSource().draw("Bark", np.random.default_rng(0), 5.0, 32_000)
    again = BuiltinSource().remake(event.label, event.origin, 32_000)      # the same samples
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from data_specs.records import content_id
from data_specs.soundscapes.events import EVENTS, render_event

Origin = Mapping[str, str | int | float]


@dataclass(frozen=True)
class DrawnEvent:
    """One event: its AudioSet name, its samples (T,) float32, and what a recipe needs to make it again."""

    label: str
    waveform: np.ndarray
    origin: dict[str, str | int | float]


class EventSource(Protocol):
    """Gives events by label. ``fingerprint`` changes when the same draw would give other samples."""

    @property
    def labels(self) -> Sequence[str]:
        """AudioSet names that can be drawn."""

    @property
    def fingerprint(self) -> str:
        """Identity of the events, for ids."""

    def draw(self, label: str, rng: np.random.Generator, duration_s: float, sample_rate_hz: int) -> DrawnEvent:
        """A random event of at most ``duration_s``."""

    def remake(self, label: str, origin: Origin, sample_rate_hz: int) -> np.ndarray:
        """The samples of an event that was drawn before, (T,) float32."""


class BuiltinSource:
    """The built-in event models, all of them or some labels only.

    Raises:
        KeyError: for a label without a model.
    """

    def __init__(self, labels: Sequence[str] | None = None) -> None:
        self.labels: Sequence[str] = [EVENTS[label].label for label in labels] if labels is not None else list(EVENTS)

    @property
    def fingerprint(self) -> str:
        """Identity of the events, for ids."""
        return content_id("builtin", *self.labels)

    def draw(self, label: str, rng: np.random.Generator, duration_s: float, sample_rate_hz: int) -> DrawnEvent:
        """A random event of exactly ``duration_s``."""
        origin: dict[str, str | int | float] = {
            "source": "builtin",
            "seed": int(rng.integers(2**53)),
            "duration_s": duration_s,
        }
        return DrawnEvent(label, self.remake(label, origin, sample_rate_hz), origin)

    def remake(self, label: str, origin: Origin, sample_rate_hz: int) -> np.ndarray:
        """The samples of an event that was drawn before, (T,) float32."""
        return render_event(
            label, seed=int(origin["seed"]), duration_s=float(origin["duration_s"]), sample_rate_hz=sample_rate_hz
        )
