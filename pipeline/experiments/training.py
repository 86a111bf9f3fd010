"""Training and measuring in an experiment: in memory, in one process, by the recipe of a round (``pipeline.train``).

Example::

    learn(start, material, config, Lesson(kept), steps=120, batch_size=8, seed=0, out=folder)
    measure(folder, material, config)["sdri_db"]
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from data_specs.config import Config
from models.checkpoints import load_separator, save_separator
from models.label_separator import LabelSeparator
from models.query_encoders import load_query_encoder
from pipeline.experiments.material import Material
from pipeline.mixtures import Batch, NaturalPool, Sampler, TrackPool, collate, crop
from pipeline.pools import ClipPool, weighted_choice
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.scoring import evaluate_mixtures
from pipeline.train import fit

START = "start"


@dataclass(frozen=True)
class KeptTrack:
    """A track to train on (ITT): label, waveform (T,), and how often it is drawn against others of its label."""

    label: str
    waveform: np.ndarray
    weight: float = 1.0


@dataclass(frozen=True)
class KeptClip:
    """A natural clip to train on with its own tracks (SST): mixture (T,), a track (T,) per label, and its weight."""

    mixture: np.ndarray
    tracks: Mapping[str, np.ndarray]
    weight: float = 1.0


@dataclass(frozen=True)
class Lesson:
    """What an arm trains on beside the single-source clips."""

    tracks: Sequence[KeptTrack] = ()
    clips: Sequence[KeptClip] = ()


class KeptPool:
    """Kept tracks in memory as a ``TrackPool``."""

    def __init__(self, tracks: Sequence[KeptTrack]):
        self._by_label: dict[str, list[KeptTrack]] = {}
        for track in tracks:
            self._by_label.setdefault(track.label, []).append(track)
        self.labels = sorted(self._by_label)

    def draw(self, label: str, rng: np.random.Generator, length: int) -> np.ndarray:
        """A random crop of a random track of the label, (length,) float32."""
        tracks = self._by_label[label]
        return crop(tracks[weighted_choice([track.weight for track in tracks], rng)].waveform, rng, length)


class KeptMixtures:
    """Kept clips in memory as a ``NaturalPool``."""

    def __init__(self, clips: Sequence[KeptClip]):
        self._clips = clips

    def draw(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The same random crop of a random clip's mixture and tracks, (length,) each."""
        clip = self._clips[weighted_choice([clip.weight for clip in self._clips], rng)]
        labels = list(clip.tracks)
        mixture, *tracks = crop_alike([clip.mixture, *(clip.tracks[label] for label in labels)], rng, length)
        return mixture, dict(zip(labels, tracks, strict=True))


def crop_alike(waveforms: Sequence[np.ndarray], rng: np.random.Generator, length: int) -> list[np.ndarray]:
    """The same random window of ``length`` samples of every waveform (T,)."""
    seed = int(rng.integers(2**53))
    return [crop(waveform, np.random.default_rng(seed), length) for waveform in waveforms]


def learn(
    checkpoint: str | Path,
    material: Material,
    config: Config,
    lesson: Lesson,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    out: Path,
    progress: Progress = NO_PROGRESS,
) -> None:
    """Train from ``checkpoint`` on the single-source clips and a lesson, and save the separator in ``out``."""
    separator = load_separator(str(checkpoint))
    encoder = load_query_encoder(config.model.clap)
    train = config.train.model_copy(update={"steps": steps, "batch_size": batch_size, "validate_every": steps})
    pools: list[TrackPool] = [ClipPool(material.training, config.audio.sample_rate_hz), KeptPool(lesson.tracks)]
    natural: NaturalPool | None = KeptMixtures(lesson.clips) if lesson.clips else None
    sampler = Sampler(pools, natural, train, length=int(separator.window_length), seed=seed)  # type: ignore[arg-type]

    def batches() -> Iterator[Batch]:
        samples = iter(sampler)
        while True:
            yield collate(list(islice(samples, batch_size)), encoder)

    with progress.task("train", steps) as task:
        fit(separator, batches(), [], train, on_step=lambda step, loss: task.advance())
    save_separator(separator, out)


def separator_of(checkpoint: str | Path, config: Config) -> LabelSeparator:
    """The separator of a checkpoint, with the configured query encoder."""
    return LabelSeparator.load(config.model.model_copy(update={"checkpoint": str(checkpoint)}))


def measure(checkpoint: str | Path, material: Material, config: Config) -> dict[str, float]:
    """Mean figures on the test scenes; names as in ``metrics.json``, ``_pos`` for the label alone as query."""
    found = evaluate_mixtures(separator_of(checkpoint, config), material.test, bss_mixtures=0)
    both, positive = found["pos_neg"], found["pos"]
    figures = {name: both[name]["mean"] for name in ("sdri_db", "si_sdri_db", *SILENCE, "re_sdr_db")}
    figures |= {f"{name}_pos": positive[name]["mean"] for name in ("sdri_db", *SILENCE)}
    figures["re_sdr_above_15"] = both["re_sdr_db"]["above_15"]
    return {name: round(float(value), 4) for name, value in figures.items()}


SILENCE = ("silence_sdr_db", "silence_si_sdr_db")
