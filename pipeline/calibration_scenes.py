"""Scenes with known truth for calibration: single-source clips, mixed like the natural clips of the corpus.

Used by ``pipeline.calibrate``. Which labels meet in a scene follows the tags of the corpus, so that what is often heard
together is often calibrated together; overlaps, gains, rooms and background follow ``config.soundscapes``.

Half of the scenes are made of clips held back from training, as they are. They are few, and a model of what scores are
worth that knows few recordings is too sure or too careful, as it happens. So the other half are of clips that the
separator was trained on, augmented: more of their tracks are good, but equal scores mean the same.

Example::

    for scene in scenes_to_calibrate_on(held_back, trained, config, count=150, seed=0, tags=workspace.iter_tags(1)):
        scene.mixture, scene.truth
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_specs.config import Config, TrainConfig
from data_specs.records import Clip, TaggedClip, content_id, seed_of
from data_specs.soundscapes import DrawnEvent, EventSource, Scene, compose_scene
from data_specs.soundscapes.sources import Origin
from pipeline.audio import decode
from pipeline.augment import augment
from pipeline.scenes import sounding

AUGMENTATION = TrainConfig(speed_range=(0.8, 1.25), eq_db=8.0)
MIXED_SETS = 0.5  # share of scenes with labels as in the corpus; the others take any that are unrelated


class ClipEvents:
    """Events from clips with one label each: an ``EventSource``.

    Args:
        augmentation: what is done to every event (``pipeline.augment``); None leaves them as they are.
    """

    def __init__(self, clips: Sequence[Clip], augmentation: TrainConfig | None = None):
        self._augmentation = augmentation
        self._by_label: dict[str, list[Clip]] = {}
        for clip in sorted(clips, key=lambda clip: clip.clip_id):
            self._by_label.setdefault(clip.labels[0], []).append(clip)
        self._by_id = {clip.clip_id: clip for clip in clips}
        self.labels: Sequence[str] = sorted(self._by_label)

    @property
    def fingerprint(self) -> str:
        """Identity of the events."""
        return content_id(*(clip.clip_id for label in self.labels for clip in self._by_label[label]))

    def draw(self, label: str, rng: np.random.Generator, duration_s: float, sample_rate_hz: int) -> DrawnEvent:
        """A random clip of the label, augmented, without silence at its ends and cut to ``duration_s``.

        Raises:
            AudioError: when the recording cannot be read any more.
        """
        clips = self._by_label[label]
        clip = clips[int(rng.integers(len(clips)))]
        origin: dict[str, str | int | float] = {
            "source": "clip",
            "clip_id": clip.clip_id,
            "seed": int(rng.integers(2**53)),
            "duration_s": duration_s,
        }
        return DrawnEvent(label, self.remake(label, origin, sample_rate_hz), origin)

    def remake(self, label: str, origin: Origin, sample_rate_hz: int) -> np.ndarray:
        """The samples of an event that was drawn before, (T,) float32."""
        clip = self._by_id[str(origin["clip_id"])]
        waveform = decode(clip.path, start_s=clip.start_s, duration_s=clip.duration_s, sample_rate_hz=sample_rate_hz)
        rng = np.random.default_rng(int(origin["seed"]))
        if self._augmentation is not None:
            waveform = augment(waveform, rng, self._augmentation)
        first, last = sounding(waveform, sample_rate_hz)
        waveform = waveform[first:last]
        length = round(float(origin["duration_s"]) * sample_rate_hz)
        start = int(rng.integers(max(1, len(waveform) - length + 1)))
        return waveform[start : start + length]


def label_sets(available: Sequence[str], tags: Iterable[TaggedClip]) -> list[tuple[str, ...]]:
    """The sets of two or more available labels that the corpus has together, as often as it has them."""
    known = set(available)
    sets = (tuple(label for label in tag.labels if label in known) for tag in tags if tag.outcome == "kept")
    return sorted(one for one in sets if len(one) > 1)


def calibration_scene(
    source: EventSource, sets: Sequence[tuple[str, ...]], *, seed: int, config: Config, share: float = MIXED_SETS
) -> Scene:
    """The scene of a seed, as long as a clip, with one of ``sets`` as its labels in ``share`` of all scenes.

    Raises:
        UserError: fewer than two unrelated labels.
        AudioError: a recording cannot be read any more.
    """
    rng = np.random.default_rng(seed_of("calibration labels", seed))
    labels = sets[int(rng.integers(len(sets)))] if sets and rng.random() < share else None
    return compose_scene(
        source,
        seed=seed,
        config=config.soundscapes,
        duration_s=config.audio.clip_duration_s,
        sample_rate_hz=config.audio.sample_rate_hz,
        labels=labels,
    )


@dataclass(frozen=True)
class KnownScene:
    """What calibration needs of a scene: mixture (T,), truth (Q, T), labels, and which recording each source is of."""

    name: str
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    mixture: np.ndarray
    truth: np.ndarray


def scenes_to_calibrate_on(
    held_back: Sequence[Clip],
    trained: Sequence[Clip],
    config: Config,
    *,
    count: int,
    seed: int,
    tags: Iterable[TaggedClip] = (),
) -> Iterator[KnownScene]:
    """Scenes of clips held back, then as many of clips ``trained`` on with the same labels; ``count`` in all.

    Where one of the labels has no clip that was trained on, all scenes are of clips held back.

    Args:
        tags: of the corpus, whose labels are heard together in some scenes.

    Raises:
        UserError: no two unrelated labels.
        AudioError: a recording cannot be read any more.
    """
    unheard = ClipEvents(held_back)
    heard = ClipEvents([clip for clip in trained if clip.labels[0] in unheard.labels], AUGMENTATION)
    sets = label_sets(unheard.labels, tags)
    first = count - count // 2 if heard.labels == unheard.labels else count
    yield from scenes_of(unheard, config, count=first, seed=seed, sets=sets)
    for scene in scenes_of(heard, config, count=count - first, seed=seed_of("trained on", seed), sets=sets):
        yield replace(scene, name=f"trained-{scene.name}")


def scenes_of(
    source: EventSource,
    config: Config,
    *,
    count: int,
    seed: int,
    sets: Sequence[tuple[str, ...]] = (),
    share: float = MIXED_SETS,
) -> Iterator[KnownScene]:
    """``count`` scenes of a seed, as long as a clip, with events from ``source``.

    Args:
        sets: labels that are heard together (``label_sets``). share: of scenes whose labels are one of them.

    Raises:
        UserError: no two unrelated labels.
        AudioError: a recording cannot be read any more.
    """
    for k in range(count):
        scene = calibration_scene(source, sets, seed=seed_of("calibration", seed, k), config=config, share=share)
        origins = [track.origin for track in scene.recipe.tracks]
        yield KnownScene(
            name=str(k),
            labels=tuple(track.label for track in scene.tracks),
            sources=tuple(str(origin.get("clip_id", origin["seed"])) for origin in origins),
            mixture=scene.mixture,
            truth=np.stack([track.waveform for track in scene.tracks]),
        )
