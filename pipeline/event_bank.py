"""Thousands of rendered built-in events on disk, drawn from in microseconds: the single-source data of pre-training.

Example::

    bank = EventBank.render(folder, variants=80, duration_s=6.0, sample_rate_hz=32_000, seed=0)
    bark = bank.draw("Bark", rng, length=163_840)
"""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import scipy

from data_specs.records import seed_of
from data_specs.soundscapes import EVENTS, render_event
from data_specs.soundscapes.rooms import in_room
from pipeline.mixtures import crop
from pipeline.progress import NO_PROGRESS, Progress

FULL_SCALE = 32_000
SPEED = (0.8, 1.25)
TILT_HZ = (150.0, 6_000.0)


class EventBank:
    """A track pool (``pipeline.mixtures.TrackPool``) over a folder of ``<label number>.npy`` files.

    Every draw varies speed and spectral tilt, so that a few dozen renderings stand for many more recordings.
    """

    def __init__(self, folder: Path, labels: Sequence[str], sample_rate_hz: int):
        self.labels = list(labels)
        self.sample_rate_hz = sample_rate_hz
        self._events = {label: np.load(_path(folder, label), mmap_mode="r") for label in self.labels}

    @classmethod
    def render(
        cls,
        folder: Path,
        *,
        variants: int,
        duration_s: float,
        sample_rate_hz: int,
        seed: int,
        progress: Progress = NO_PROGRESS,
    ) -> "EventBank":
        """Render ``variants`` events of every built-in label, half of them in rooms; existing files are kept."""
        folder.mkdir(parents=True, exist_ok=True)
        missing = [label for label in EVENTS if not _path(folder, label).exists()]
        with (
            ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool,  # torch has threads here
            progress.task("render events", len(missing)) as task,
        ):
            jobs = [
                pool.submit(_render_label, folder, label, variants, duration_s, sample_rate_hz, seed)
                for label in missing
            ]
            for job in jobs:
                job.result()
                task.advance()
        return cls(folder, list(EVENTS), sample_rate_hz)

    def draw(self, label: str, rng: np.random.Generator, length: int) -> np.ndarray:
        """A random, varied crop of a random event, (length,) float32."""
        events = self._events[label]
        event = events[int(rng.integers(len(events)))].astype(np.float32) / FULL_SCALE
        if rng.random() < 0.7:
            event = _at_speed(event, float(rng.uniform(*SPEED)))
        if rng.random() < 0.5:
            event = _tilted(event, rng, self.sample_rate_hz)
        return crop(event, rng, length)


def _path(folder: Path, label: str) -> Path:
    return folder / f"{list(EVENTS).index(label):03d}.npy"


def _render_label(folder: Path, label: str, variants: int, duration_s: float, sample_rate_hz: int, seed: int) -> None:
    events = np.zeros((variants, round(duration_s * sample_rate_hz)), np.int16)
    for i in range(variants):
        own_seed = seed_of("event-bank", seed, label, i)
        event = render_event(label, seed=own_seed, duration_s=duration_s, sample_rate_hz=sample_rate_hz)
        if i % 2:
            event = in_room(event, np.random.default_rng(own_seed), sample_rate_hz)
        events[i] = np.round(event / max(1e-6, np.abs(event).max()) * FULL_SCALE)
    temporary = folder / f".{_path(folder, label).name}"
    np.save(temporary, events)
    os.replace(temporary, _path(folder, label))


def _at_speed(event: np.ndarray, speed: float) -> np.ndarray:
    """Resample by linear interpolation: faster is shorter and higher."""
    positions = np.arange(0, len(event) - 1, speed, dtype=np.float32)
    return np.interp(positions, np.arange(len(event), dtype=np.float32), event).astype(np.float32)


def _tilted(event: np.ndarray, rng: np.random.Generator, sample_rate_hz: int) -> np.ndarray:
    """More or less of what lies above a random frequency, as distance and microphones do."""
    corner = np.exp(rng.uniform(*np.log(TILT_HZ)))
    pole = np.exp(-2 * np.pi * corner / sample_rate_hz)
    low = scipy.signal.lfilter([1 - pole], [1, -pole], event)
    return (low + 10 ** (rng.uniform(-12, 6) / 20) * (event - low)).astype(np.float32)
