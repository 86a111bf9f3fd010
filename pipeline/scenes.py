"""Scenes and events on disk: clip lists with known truth, from built-in events or from single-source recordings.

The engine itself reads only ``clips.csv``; ``truth.csv`` and the recipes are for those who check it. A file is written
under a temporary name and published; a scene's recipe comes last, so that a rerun takes a scene with a recipe as done.

Example::

    source = ClipSource(read_corpus(CorpusConfig(kind="clip_list", path="esc10/clips.csv")))
    clips = write_scenes(source, count=60, out=Path("scenes"), config=Config(), seed=0, duration_s=10.0)
"""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.labels import UnknownLabelError, label_table
from data_specs.records import CorpusEntry, content_id, seed_of
from data_specs.soundscapes import EVENTS, DrawnEvent, EventSource, Scene, SceneRecipe, compose_scene, render_event
from data_specs.soundscapes.sources import Origin
from pipeline.audio import AudioError, decode, encode_flac, probe
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.storage import Storage

SILENCE_DB = -50.0  # below the loudest frame: silence at the ends of a recording is no part of the event
FRAME_S = 0.02
QUIET_PEAK = 1e-4
DRAWS_MAX = 8


class ClipSource:
    """Events cut from single-source recordings: ``EventSource`` over the entries that have exactly one label.

    An entry with several labels counts when all but one are ancestors of that one. ``notes`` says what was left out.
    Origins name recordings relative to their common folder, so that recipes do not depend on the machine.

    Raises:
        UserError: no entries, an unknown label, a missing file, or no entry with exactly one label.
    """

    def __init__(self, entries: Sequence[CorpusEntry]) -> None:
        if not entries:
            raise UserError("the list of sources is empty: give one recording per row, with one label")
        missing = [entry.path for entry in entries if not Path(entry.path).is_file()]
        if missing:
            raise UserError(f"{len(missing)} of {len(entries)} sources do not exist, the first is {missing[0]}")
        self._root = Path(os.path.commonpath([Path(entry.path).absolute().parent for entry in entries]))
        self._by_label: dict[str, list[CorpusEntry]] = {}
        left_out = 0
        for entry in entries:
            label = _only_label(entry)
            if label is None:
                left_out += 1
            else:
                self._by_label.setdefault(label, []).append(entry)
        if not self._by_label:
            raise UserError(f"none of {len(entries)} sources has exactly one label: scenes need single-source clips")
        self.labels: Sequence[str] = sorted(self._by_label)
        self.notes: tuple[str, ...] = (f"{left_out} sources without exactly one label are left out",) * bool(left_out)

    @property
    def fingerprint(self) -> str:
        """Identity of the events: names, extents, labels and sizes of the recordings."""
        return content_id(
            *(
                f"{label}|{self._name(entry)}|{entry.start_s}|{entry.end_s}|{Path(entry.path).stat().st_size}"
                for label in self.labels
                for entry in self._by_label[label]
            )
        )

    def draw(self, label: str, rng: np.random.Generator, duration_s: float, sample_rate_hz: int) -> DrawnEvent:
        """A random crop of at most ``duration_s`` from a random recording, without the silence at its ends.

        Raises:
            UserError: a recording cannot be read, or no sound was found in several recordings of the label.
        """
        entries = self._by_label[label]
        for _ in range(DRAWS_MAX):
            entry = entries[int(rng.integers(len(entries)))]
            start_s, length_s = _draw_crop(entry, rng, duration_s)
            waveform = _read(entry.path, start_s, length_s, sample_rate_hz)
            if np.max(np.abs(waveform), initial=0.0) < QUIET_PEAK:
                continue
            first, last = sounding(waveform, sample_rate_hz)
            origin: dict[str, str | int | float] = {
                "source": "clip",
                "path": self._name(entry),
                "start_s": start_s,
                "duration_s": length_s,
                "first_sample": first,
                "last_sample": last,
            }
            return DrawnEvent(label, waveform[first:last], origin)
        raise UserError(f"the recordings of {label!r} are silent: remove them from the sources")

    def remake(self, label: str, origin: Origin, sample_rate_hz: int) -> np.ndarray:
        """The samples of an event that was drawn before, (T,) float32.

        Raises:
            UserError: the recording cannot be read.
        """
        path = str(self._root / str(origin["path"]))
        waveform = _read(path, float(origin["start_s"]), float(origin["duration_s"]), sample_rate_hz)
        return waveform[int(origin["first_sample"]) : int(origin["last_sample"])]

    def _name(self, entry: CorpusEntry) -> str:
        return Path(entry.path).absolute().relative_to(self._root).as_posix()


def write_scenes(
    source: EventSource,
    *,
    count: int,
    out: Path,
    config: Config,
    seed: int,
    duration_s: float,
    progress: Progress = NO_PROGRESS,
) -> Path:
    """Write ``count`` scenes below ``out`` and return the clip list ``clips.csv``.

    Files: ``audio/<id>.flac`` the mixture, ``truth/<id>/<k>.flac`` its tracks (``background.flac`` too, if any),
    ``recipes/<id>.json``, and ``truth.csv`` with clip path, k, label and path of every track. The same call gives the
    same bytes; scenes that are there already are not made again.

    Raises:
        UserError: as ``compose_scene`` and ``source.draw``.
    """
    storage = Storage(out)
    rate = config.audio.sample_rate_hz
    for note in getattr(source, "notes", ()):
        progress.say(note)
    kind = content_id(source.fingerprint, config.soundscapes.model_dump_json(), duration_s, rate, seed)
    clips, truth = [], []
    with progress.task("make scenes", count) as task:
        for k in range(count):
            scene_id = content_id("scene", kind, k)
            recipe_name = f"recipes/{scene_id}.json"
            if storage.is_file(recipe_name):
                labels = _labels_of_recipe(storage.read_bytes(recipe_name))
            else:
                scene = compose_scene(
                    source,
                    seed=seed_of("scene", seed, k),
                    config=config.soundscapes,
                    duration_s=duration_s,
                    sample_rate_hz=rate,
                )
                _write_scene(storage, scene_id, scene)
                labels = [track.label for track in scene.tracks]
            path = f"audio/{scene_id}.flac"
            clips.append((path, ";".join(labels), ""))
            truth += [(path, k, label, f"truth/{scene_id}/{k}.flac") for k, label in enumerate(labels)]
            task.advance()
    _write_table(storage, "truth.csv", ("clip", "k", "label", "path"), truth)
    _write_table(storage, "clips.csv", ("path", "labels", "split"), clips)
    return out / "clips.csv"


def write_events(
    *,
    count: int,
    out: Path,
    duration_s: float,
    sample_rate_hz: int,
    seed: int,
    labels: Sequence[str] | None = None,
    progress: Progress = NO_PROGRESS,
) -> Path:
    """Write ``count`` single built-in events below ``out``, labels in turn, and return the clip list ``clips.csv``."""
    storage = Storage(out)
    names = list(EVENTS) if labels is None else list(labels)
    clips = []
    with progress.task("make events", count) as task:
        for k in range(count):
            label = names[k % len(names)]
            path = f"audio/{content_id('event', label, seed, k, duration_s, sample_rate_hz)}.flac"
            if not storage.is_file(path):
                event = render_event(
                    label, seed=seed_of("event", label, seed, k), duration_s=duration_s, sample_rate_hz=sample_rate_hz
                )
                storage.write_bytes(path, encode_flac(event, sample_rate_hz))
            clips.append((path, label, ""))
            task.advance()
    _write_table(storage, "clips.csv", ("path", "labels", "split"), clips)
    return out / "clips.csv"


def _write_scene(storage: Storage, scene_id: str, scene: Scene) -> None:
    rate = scene.recipe.sample_rate_hz
    for k, track in enumerate(scene.tracks):
        storage.write_bytes(f"truth/{scene_id}/{k}.flac", encode_flac(track.waveform, rate))
    if scene.background is not None:
        storage.write_bytes(f"truth/{scene_id}/background.flac", encode_flac(scene.background, rate))
    storage.write_bytes(f"audio/{scene_id}.flac", encode_flac(scene.mixture, rate))
    recipe = scene.recipe.model_dump_json(indent=1) + "\n"
    storage.write_bytes(f"recipes/{scene_id}.json", recipe.encode("utf-8"))


def _write_table(storage: Storage, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    storage.write_bytes(name, text.getvalue().encode("utf-8"))


def _labels_of_recipe(data: bytes) -> list[str]:
    return [track.label for track in SceneRecipe.model_validate_json(data).tracks]


def _only_label(entry: CorpusEntry) -> str | None:
    """The one label of a single-source recording; None when there are none or several."""
    try:
        labels = label_table().exclusive(label_table().resolve_all(entry.labels))
    except UnknownLabelError as error:
        raise UserError(f"{entry.path}: {error}") from None
    return labels[0] if len(labels) == 1 else None


def _draw_crop(entry: CorpusEntry, rng: np.random.Generator, duration_s: float) -> tuple[float, float]:
    """Start and length of a crop in seconds: anywhere that leaves ``duration_s``, else all of the entry."""
    try:
        end_s = probe(entry.path).duration_s if entry.end_s is None else entry.end_s
    except AudioError as error:
        raise _unreadable(entry.path, error) from None
    start_s = round(entry.start_s + rng.uniform(0, max(0.0, end_s - entry.start_s - duration_s)), 3)
    return start_s, min(duration_s, end_s - start_s)


def _read(path: str, start_s: float, duration_s: float, sample_rate_hz: int) -> np.ndarray:
    try:
        return decode(path, start_s=start_s, duration_s=duration_s, sample_rate_hz=sample_rate_hz)
    except AudioError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: AudioError) -> UserError:
    return UserError(f"cannot use the source {path}: {error}; remove it from the list")


def sounding(waveform: np.ndarray, sample_rate_hz: int) -> tuple[int, int]:
    """First and last sample of what lies between the silences at the ends."""
    frame = max(1, round(FRAME_S * sample_rate_hz))
    padded = np.pad(waveform.astype(np.float64), (0, -len(waveform) % frame))
    energy = np.mean(padded.reshape(-1, frame) ** 2, axis=1)
    loud = np.flatnonzero(energy >= np.max(energy) * 10 ** (SILENCE_DB / 10))
    return int(loud[0]) * frame, min(len(waveform), int(loud[-1] + 1) * frame)
