"""Calibrate the gate of a round: make scenes with known truth, separate them, learn what their scores are worth.

Stands before ``separate``. The scenes are separated by the round's own separator, so that the model knows what *its*
mistakes look like. What is written is the table of calibration tracks and a summary (``pipeline.calibration``);
``load_gate`` makes the gate of the round from them.

Example::

    summary = calibrate_round(workspace, config, round_number=1)
    gate = load_gate(workspace, config, round_number=1)
"""

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import seed_of
from data_specs.scores import SCORES
from data_specs.soundscapes import EventSource
from models.label_separator import LabelSeparator
from pipeline.audio import AudioError, decode
from pipeline.calibration import Calibration, fall_back, gate_of, summarise
from pipeline.calibration_scenes import ClipEvents, calibration_scene, label_sets
from pipeline.evidence import ClipEvidence, Witness, ask, examine, first_look, second_look
from pipeline.gate import Gate, PaperGate
from pipeline.label_queries import round_encoder
from pipeline.metrics import si_sdr_db
from pipeline.partitions import RIGHT, WRONG, Partition, leaky_truth
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.quality import FOLDS, CalibrationTrack, Scores
from pipeline.units import clips_with_tags
from pipeline.workspace import Workspace

FOLDER = "calibration"
TABLE, SUMMARY = "tracks.parquet", "calibration.json"
BATCH = 4
ABOUT_RIGHT: dict[str, Partition] = {**RIGHT, "leaky truth": leaky_truth}
_OFTEN = {"exact truth": 2.0}  # the partition that is most like a wrong one: only the separator's answers tell


def calibrate_round(
    workspace: Workspace, config: Config, round_number: int, progress: Progress = NO_PROGRESS
) -> Calibration:
    """Calibrate the gate of a round and store table and summary in its folder ``calibration/``."""
    if config.gate.preset == "paper":
        return _store(workspace, round_number, [], Calibration(gate="paper"))
    clips = workspace.calibration_clips()
    if len(clips) < FOLDS:  # nothing could be learned from scenes of so few
        found = f"{len(clips)} single-source clips could be held back to calibrate on, {FOLDS} are the least"
        return _store(workspace, round_number, [], fall_back(found))
    source = ClipEvents(clips)
    sets = label_sets(source.labels, workspace.iter_tags(round_number))
    count = config.gate.calibration_scenes
    scenes = scenes_of(source, config, count=count, seed=seed_of(config.seed, round_number), sets=sets)
    separators = _separators(workspace, config, round_number)
    try:
        tracks = calibration_tracks(*separators, scenes, total=count, progress=progress)
    except (UserError, AudioError) as error:
        return _store(workspace, round_number, [], fall_back(str(error)))
    summary = summarise(tracks, natural_scores(*separators, workspace, config, round_number), config)
    return _store(workspace, round_number, tracks, summary)


def _separators(
    workspace: Workspace, config: Config, round_number: int
) -> tuple[LabelSeparator, LabelSeparator | None]:
    """The round's separator, and that of the round before if it was another one."""

    encoder = round_encoder(workspace, config)

    def load(checkpoint: str) -> LabelSeparator:
        return LabelSeparator.load(config.model.model_copy(update={"checkpoint": checkpoint}), encoder)

    before = workspace.previous_checkpoint(before_round=round_number)
    current = load(workspace.current_checkpoint(before_round=round_number))
    return current, load(before) if before is not None else None


def load_gate(workspace: Workspace, config: Config, round_number: int) -> Gate:
    """The gate that the round's calibration stands for."""
    folder = workspace.round_storage(round_number).child(FOLDER)
    if config.gate.preset == "paper":
        return PaperGate(config.gate)
    summary = Calibration.model_validate_json(folder.read_bytes(SUMMARY))
    return gate_of(_tracks_of(folder.read_bytes(TABLE)), summary, config)


@dataclass(frozen=True)
class KnownScene:
    """What calibration needs of a scene: mixture (T,), truth (Q, T), labels, and which recording each source is of."""

    name: str
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    mixture: np.ndarray
    truth: np.ndarray


def scenes_of(
    source: EventSource, config: Config, *, count: int, seed: int, sets: Sequence[tuple[str, ...]] = ()
) -> Iterator[KnownScene]:
    """``count`` scenes of a seed, as long as a clip, with events from ``source``.

    Args:
        sets: labels that are heard together (``pipeline.calibration_scenes.label_sets``).

    Raises:
        UserError: no two unrelated labels.
        AudioError: a recording cannot be read any more.
    """
    for k in range(count):
        scene = calibration_scene(source, sets, seed=seed_of("calibration", seed, k), config=config)
        origins = [track.origin for track in scene.recipe.tracks]
        yield KnownScene(
            name=str(k),
            labels=tuple(track.label for track in scene.tracks),
            sources=tuple(str(origin.get("clip_id", origin["seed"])) for origin in origins),
            mixture=scene.mixture,
            truth=np.stack([track.waveform for track in scene.tracks]),
        )


def calibration_tracks(
    separator: Witness,
    previous: Witness | None,
    scenes: Iterable[KnownScene],
    *,
    total: int,
    progress: Progress = NO_PROGRESS,
) -> list[CalibrationTrack]:
    """Scores and truth of the tracks of every scene: the separator's, a wrong partition's, and a right one's."""
    found: list[CalibrationTrack] = []
    batch: list[KnownScene] = []
    with progress.task("calibrate", total) as task:
        for number, scene in enumerate(scenes, start=1):
            batch.append(scene)
            if len(batch) == BATCH or number == total:
                found += _batch_tracks(separator, previous, batch, seed=number)
                task.advance(len(batch))
                batch = []
    return found


def natural_scores(
    separator: Witness, previous: Witness | None, workspace: Workspace, config: Config, round_number: int
) -> list[Scores]:
    """Scores of a sample of the natural clips, chosen by content; a clip that cannot be read is left out."""
    tagged = ((clip, tag.labels) for clip, tag in clips_with_tags(workspace, round_number) if tag.outcome == "kept")
    chosen = nsmallest(config.gate.shift_clips, tagged, key=lambda one: seed_of("shift", one[0].clip_id))
    rate = config.audio.sample_rate_hz
    found: list[Scores] = []
    for clip, labels in chosen:
        try:
            mixture = decode(clip.path, start_s=clip.start_s, duration_s=clip.duration_s, sample_rate_hz=rate)
        except AudioError:
            continue  # the separate stage counts and names it
        looked = first_look(separator, torch.from_numpy(mixture)[None], [labels], previous=previous)
        found += looked[0].scores
    return found


def _batch_tracks(
    separator: Witness, previous: Witness | None, scenes: Sequence[KnownScene], *, seed: int
) -> list[CalibrationTrack]:
    mixtures = torch.from_numpy(np.stack([scene.mixture for scene in scenes]))
    labels = [scene.labels for scene in scenes]
    rng = np.random.default_rng(seed)
    divided = [(own, *_draw(kind, own, rng)) for kind in (WRONG, ABOUT_RIGHT) for own in scenes]
    answers = ask(separator, mixtures, labels, previous=previous)
    clips = examine(separator, mixtures, labels, answers, [answer.own for answer in answers])
    for part in (divided[: len(scenes)], divided[len(scenes) :]):
        clips += examine(separator, mixtures, labels, answers, [tracks for _, _, tracks in part])
    second_look(separator, clips, [(i, k) for i, clip in enumerate(clips) for k in range(len(clip.labels))])
    named = [*((scene, "") for scene in scenes), *((scene, name) for scene, name, _ in divided)]
    return [
        track
        for clip, (scene, origin) in zip(clips, named, strict=True)
        for track in _known_tracks(clip, scene, origin)
    ]


def _draw(kind: Mapping[str, Partition], scene: KnownScene, rng: np.random.Generator) -> tuple[str, Tensor]:
    """Name and tracks (Q, T) of a random partition of this kind."""
    weights = np.array([_OFTEN.get(name, 1.0) for name in kind])
    name = str(rng.choice(list(kind), p=weights / weights.sum()))
    return name, torch.from_numpy(np.ascontiguousarray(kind[name](scene.truth, rng)))


def _known_tracks(clip: ClipEvidence, scene: KnownScene, origin: str) -> list[CalibrationTrack]:
    """The clip's tracks beside their truth; those with a score that is not finite teach nothing."""
    truth = torch.from_numpy(scene.truth)
    return [
        CalibrationTrack(scores, own_db, mixture_db, label, source, origin, scene.name)
        for scores, own_db, mixture_db, label, source in zip(
            clip.scores,
            si_sdr_db(clip.tracks, truth).tolist(),
            si_sdr_db(clip.mixture.expand_as(truth), truth).tolist(),
            scene.labels,
            scene.sources,
            strict=True,
        )
        if all(number is not None and math.isfinite(number) for number in (*scores.values(), own_db, mixture_db))
    ]


_FACTS = ("si_sdr_db", "mixture_si_sdr_db", "label", "source", "origin", "scene")


def _store(
    workspace: Workspace, round_number: int, tracks: Sequence[CalibrationTrack], summary: Calibration
) -> Calibration:
    types = [("si_sdr_db", pa.float64()), ("mixture_si_sdr_db", pa.float64())]
    types += [(name, pa.string()) for name in _FACTS[2:]] + [(score.name, pa.float64()) for score in SCORES]
    rows = [{**track.scores, **{name: getattr(track, name) for name in _FACTS}} for track in tracks]
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(types)), data)
    folder = workspace.round_storage(round_number).child(FOLDER)
    folder.write_bytes(TABLE, data.getvalue())
    folder.write_bytes(SUMMARY, summary.model_dump_json(indent=2).encode())
    return summary


def _tracks_of(data: bytes) -> list[CalibrationTrack]:
    rows = pq.read_table(io.BytesIO(data)).to_pylist()
    return [
        CalibrationTrack(
            scores={name: value for name, value in row.items() if name not in _FACTS and value is not None},
            **{name: row[name] for name in _FACTS},
        )
        for row in rows
    ]
