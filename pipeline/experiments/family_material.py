"""The scenes that families of training are compared on, and what each may know of them.

All families see the same training scenes: their tracks with labels, their tracks alone, their mixtures with labels, or
their mixtures alone. Test scenes are others, of other recordings; so are the single tracks that come out of them.

Example::

    scenes = family_scenes(BUILTIN, config, train=200, test=40)
    scenes.mixtures.texts(0), scenes.mixtures.draw(0, rng, length=163_840)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.labels import label_table
from data_specs.records import seed_of
from data_specs.soundscapes import BuiltinSource, EventSource
from pipeline.calibration_scenes import ClipEvents, scenes_of
from pipeline.experiments.material import clips_of, eval_mixture
from pipeline.experiments.training import KeptTrack
from pipeline.mixtures import crop
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.scoring import EvalMixture

BUILTIN = "builtin"
BUILTIN_LABELS = (
    "Bark",
    "Rain",
    "Siren",
    "Church bell",
    "Alarm clock",
    "Cricket",
    "Helicopter",
    "Knock",
    "Sawing",
    "Speech",
)
"""As many as ESC-10 has: tonal and noisy, lasting and short ones."""


class ScenePool:
    """Waveforms with labels in memory: a ``SoundPool``, a ``LabelledPool`` and a ``MixtureSource``."""

    def __init__(self, waveforms: Sequence[np.ndarray], labels: Sequence[tuple[str, ...]]):
        self._waveforms, self._labels = waveforms, labels

    def __len__(self) -> int:
        return len(self._waveforms)

    def texts(self, index: int) -> tuple[str, ...]:
        """The labels of a waveform."""
        return self._labels[index]

    def draw(self, index: int, rng: np.random.Generator, length: int) -> np.ndarray:
        """A random crop of a waveform, (length,) float32."""
        return crop(self._waveforms[index], rng, length)


class AnyMixture:
    """A pool as a ``MixtureSource`` that tells no label."""

    def __init__(self, pool: ScenePool):
        self._pool = pool

    def draw(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, Sequence[str]]:
        """A random crop of a random waveform, (length,) float32."""
        return self._pool.draw(int(rng.integers(len(self._pool))), rng, length), ()


@dataclass(frozen=True)
class FamilyScenes:
    """What families learn from, and what they are measured on.

    Attributes:
        tracks: the sources of the training scenes with their labels.
        sounds: the same without labels.
        mixtures: the training scenes with all of their labels.
        singles: the first source of every test scene by itself: what comes in should come out.
    """

    tracks: tuple[KeptTrack, ...]
    sounds: ScenePool
    mixtures: ScenePool
    test: tuple[EvalMixture, ...]
    singles: tuple[EvalMixture, ...]
    sample_rate_hz: int


def family_scenes(
    sources: str,
    config: Config,
    *,
    train: int,
    test: int,
    train_splits: Sequence[str] = (),
    test_splits: Sequence[str] = (),
    paired: bool = False,
    progress: Progress = NO_PROGRESS,
) -> FamilyScenes:
    """Make the scenes, the same ones for every family and seed.

    Args:
        sources: ``builtin``, or a clip list of single-source recordings, whose splits are then named.
        train, test: how many scenes, as long as a clip of ``config``.
        paired: every scene has two labels that keep company (``companions``), in training and in tests.

    Raises:
        UserError: the list cannot be read, or a split has too few recordings or labels.
    """
    heard = [_events(sources, splits, config, progress) for splits in (train_splits, test_splits)]
    pairs = companions([label for label in heard[0].labels if label in heard[1].labels]) if paired else ()
    learned, measured = (
        list(scenes_of(events, config, count=count, seed=seed_of("families", part), sets=pairs, share=1.0))
        for events, count, part in zip(heard, (train, test), ("train", "test"), strict=True)
    )
    vocabulary = sorted({label for scene in [*learned, *measured] for label in scene.labels})
    mixtures = [eval_mixture(number, scene, vocabulary) for number, scene in enumerate(measured)]
    tracks = [(label, source) for scene in learned for label, source in zip(scene.labels, scene.truth, strict=True)]
    return FamilyScenes(
        tuple(KeptTrack(label, source) for label, source in tracks),
        ScenePool([source for _, source in tracks], [()] * len(tracks)),
        ScenePool([scene.mixture for scene in learned], [scene.labels for scene in learned]),
        tuple(mixtures),
        tuple(EvalMixture(f"single {one.mixture_id}", one.targets[0].waveform, (one.targets[0],)) for one in mixtures),
        config.audio.sample_rate_hz,
    )


def companions(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Labels two by two, in their order, unrelated ones together; who finds nobody is left out.

    Raises:
        UserError: there is no second pair, which weak supervision adds to the first, and which tests take absent labels
            from.
    """
    table = label_table()
    pairs: list[tuple[str, str]] = []
    free = list(labels)
    while free:
        one = free.pop(0)
        other = next((label for label in free if not table.related(one, label)), None)
        if other is not None:
            free.remove(other)
            pairs.append((one, other))
    if len(pairs) < 2:
        raise UserError(
            f"companions take four labels or more, unrelated two by two, in training as in test recordings; these have "
            f"{', '.join(labels) or 'none'} in common: name other splits, or take --independent"
        )
    return pairs


def _events(sources: str, splits: Sequence[str], config: Config, progress: Progress) -> EventSource:
    if sources == BUILTIN:
        return BuiltinSource(BUILTIN_LABELS)
    return ClipEvents(clips_of(sources, splits, config, progress), augmentation=None)
