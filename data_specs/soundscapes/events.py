"""The registry of built-in events: one model per AudioSet class, all behind one interface.

The classes are told apart by ear and none contains another in the ontology. A model renders an event of any duration
at any sample rate from a random generator; everything that varies between recordings of the class is drawn inside.

Example::

    bark = render_event("Bark", seed=7, duration_s=5.0, sample_rate_hz=32_000)     # float32 (160000,)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_specs.soundscapes.animals import ANIMALS
from data_specs.soundscapes.engines import ENGINES
from data_specs.soundscapes.impacts import IMPACTS
from data_specs.soundscapes.noises import NOISES
from data_specs.soundscapes.small_animals import SMALL_ANIMALS
from data_specs.soundscapes.talk import TALK
from data_specs.soundscapes.tonal import TONAL
from data_specs.soundscapes.voices import VOICES
from data_specs.soundscapes.water import WATER

PEAK = 0.9

Model = Callable[[np.random.Generator, float, int], np.ndarray]


@dataclass(frozen=True)
class EventModel:
    """A sound source of one class. ``model`` gives any level; ``render`` brings it to peak 0.9."""

    label: str
    model: Model

    def render(self, rng: np.random.Generator, duration_s: float, sample_rate_hz: int) -> np.ndarray:
        """One event, (T,) float32 with T = round(duration_s * sample_rate_hz), peak 0.9, never silent."""
        length = max(1, round(duration_s * sample_rate_hz))
        waveform = np.asarray(self.model(rng, length / sample_rate_hz, sample_rate_hz)[:length], np.float64)
        waveform = waveform - waveform.mean()
        return (waveform * (PEAK / np.max(np.abs(waveform)))).astype(np.float32)


EVENTS: dict[str, EventModel] = {
    label: EventModel(label, model)
    for label, model in sorted(
        {**ANIMALS, **ENGINES, **IMPACTS, **NOISES, **SMALL_ANIMALS, **TALK, **TONAL, **VOICES, **WATER}.items()
    )
}


def render_event(label: str, *, seed: int, duration_s: float, sample_rate_hz: int) -> np.ndarray:
    """The event of a class that belongs to a seed, (T,) float32.

    Raises:
        KeyError: there is no built-in model of ``label``; ``EVENTS`` lists them.
    """
    return EVENTS[label].render(np.random.default_rng(seed), duration_s, sample_rate_hz)
