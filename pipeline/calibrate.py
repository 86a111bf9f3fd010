"""Calibrate the gate of a round: make scenes with known truth, separate them, learn what their scores are worth.

Stands before ``separate``. The scenes are separated as the round's clips will be, with labels, without, or both ways,
so that the model knows what *these* mistakes look like. What is written is the table of calibration tracks, the
references that they were scored with, and a summary (``pipeline.calibration``); ``load_gate`` makes the gate of the
round from them.

Example::

    summary = calibrate_round(workspace, config, round_number=1)
    gate = load_gate(workspace, config, round_number=1)
"""

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.labels import label_table
from data_specs.records import Clip, seed_of
from data_specs.scores import SCORES
from models.label_separator import LabelSeparator
from pipeline.audio import AudioError, decode
from pipeline.calibration import Calibration, fall_back, gate_of, summarise
from pipeline.calibration_scenes import KnownScene, scenes_to_calibrate_on
from pipeline.cuts import CUTS
from pipeline.evidence import ClipEvidence, Witness, ask, examine, first_look, second_look, waveform_evidence
from pipeline.gate import Gate, PaperGate
from pipeline.label_free import LabelFreeSeparator, load_label_free
from pipeline.label_queries import round_encoder
from pipeline.metrics import si_sdr_db
from pipeline.partitions import RIGHT, WRONG, Partition, leaky_truth
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.quality import ABSENT_DB, FOLDS, CalibrationTrack, Scores
from pipeline.references import NO_REFERENCES, References, some_of_every_label
from pipeline.tag import too_few
from pipeline.units import clips_with_tags, queried_labels
from pipeline.workspace import Workspace

FOLDER = "calibration"
TABLE, REFERENCES, SUMMARY = "tracks.parquet", "references.parquet", "calibration.json"
BATCH = 4
# Every scene shows the quality model its sources, so that what comes near to them is never strange to it, and one other
# partition in turn; most often the one that is told from them by its labels only.
TURNS = (
    ("exact truth",),
    ("swapped labels", "noisy truth", "swapped labels", "one and mixture", "swapped labels", "leaky truth"),
)
_DIVIDE: dict[str, Partition] = {**WRONG, **RIGHT, "leaky truth": leaky_truth}


def calibrate_round(
    workspace: Workspace, config: Config, round_number: int, progress: Progress = NO_PROGRESS
) -> Calibration:
    """Calibrate the gate of a round and store what it is made of in its folder ``calibration/``."""
    if config.gate.preset == "paper":
        return _store(workspace, round_number, [], Calibration(gate="paper"))
    clips = workspace.calibration_clips()
    if len(clips) < FOLDS:  # nothing could be learned from scenes of so few
        found = f"{len(clips)} single-source clips could be held back to calibrate on, {FOLDS} are the least"
        return _store(workspace, round_number, [], fall_back(found))
    trained = some_of_every_label(workspace.iter_training_clips())
    separators = _separators(workspace, config, round_number, trained)
    count = config.gate.calibration_scenes
    scenes = scenes_to_calibrate_on(
        clips,
        separators.references.listened_to(trained),
        config,
        count=count,
        seed=seed_of(config.seed, round_number),
        tags=workspace.iter_tags(round_number),
    )
    try:
        tracks = calibration_tracks(separators, scenes, total=count, progress=progress)
    except (UserError, AudioError) as error:
        return _store(workspace, round_number, [], fall_back(str(error)))
    summary = summarise(tracks, natural_scores(separators, workspace, config, round_number), config)
    return _store(workspace, round_number, tracks, summary, separators.references)


@dataclass(frozen=True)
class Separators:
    """What a round separates and examines with.

    Attributes:
        current: the round's separator; it examines the tracks of every source.
        previous: that of the round before, if it was another one.
        references: recordings of the labels, of which natural clips hold none.
        label_free: separates clips without labels; None where none are.
        by_labels: whether ``current`` separates clips.
    """

    current: Witness
    previous: Witness | None = None
    references: References = NO_REFERENCES
    label_free: LabelFreeSeparator | None = None
    by_labels: bool = True


def _separators(workspace: Workspace, config: Config, round_number: int, trained: Sequence[Clip]) -> Separators:
    encoder = round_encoder(workspace, config)

    def load(checkpoint: str) -> LabelSeparator:
        return LabelSeparator.load(config.model.model_copy(update={"checkpoint": checkpoint}), encoder)

    before = workspace.previous_checkpoint(before_round=round_number)
    return Separators(
        current=load(workspace.current_checkpoint(before_round=round_number)),
        previous=load(before) if before is not None else None,
        references=References.gather(trained, encoder, sample_rate_hz=config.audio.sample_rate_hz),
        label_free=load_label_free(workspace, config),
        by_labels=config.separate.source != "label_free",
    )


def load_gate(workspace: Workspace, config: Config, round_number: int) -> Gate:
    """The gate that the round's calibration stands for."""
    folder = workspace.round_storage(round_number).child(FOLDER)
    if config.gate.preset == "paper":
        return PaperGate(config.gate)
    summary = Calibration.model_validate_json(folder.read_bytes(SUMMARY))
    references = References.from_bytes(folder.read_bytes(REFERENCES))
    return gate_of(_tracks_of(folder.read_bytes(TABLE)), summary, config, references)


def calibration_tracks(
    separators: Separators, scenes: Iterable[KnownScene], *, total: int, progress: Progress = NO_PROGRESS
) -> list[CalibrationTrack]:
    """Scores and truth of the tracks of every scene: the separators', those of its turn's partitions, and all cuts."""
    found: list[CalibrationTrack] = []
    batch: list[KnownScene] = []
    with progress.task("calibrate", total) as task:
        for number, scene in enumerate(scenes, start=1):
            batch.append(scene)
            if len(batch) == BATCH or number == total:
                found += _batch_tracks(separators, batch, first=number - len(batch))
                task.advance(len(batch))
                batch = []
    return found


def natural_scores(separators: Separators, workspace: Workspace, config: Config, round_number: int) -> list[Scores]:
    """Scores of a sample of the natural clips, chosen by content; a clip that cannot be read is left out."""
    tagged = ((clip, tag) for clip, tag in clips_with_tags(workspace, round_number) if tag.outcome == "kept")
    chosen = nsmallest(config.gate.shift_clips, tagged, key=lambda one: seed_of("shift", one[0].clip_id))
    rate = config.audio.sample_rate_hz
    found: list[Scores] = []
    for clip, tag in chosen:
        try:
            mixture = decode(clip.path, start_s=clip.start_s, duration_s=clip.duration_s, sample_rate_hz=rate)
        except AudioError:
            continue  # the separate stage counts and names it
        clips = torch.from_numpy(mixture).unsqueeze(0)  # (1, T)
        if labels := queried_labels(tag, config.separate.source):
            looked = _first_look(separators, clips, [labels])
        else:
            looked = list(_heard(separators, clips).values())
        found += [scores for one in looked for scores in one.scores]
    return found


def _first_look(
    separators: Separators, mixtures: Tensor, labels: Sequence[Sequence[str]], tracks: Sequence[Tensor] | None = None
) -> list[ClipEvidence]:
    return first_look(
        separators.current,
        mixtures,
        labels,
        previous=separators.previous,
        references=separators.references,
        tracks=tracks,
    )


def _heard(separators: Separators, mixtures: Tensor) -> dict[int, ClipEvidence]:
    """Clips (B, T) separated without labels, by row; those in which fewer than two labels are heard are left out."""
    if separators.label_free is None:
        return {}
    found = separators.label_free.find_batch(mixtures)
    rows = [row for row, one in enumerate(found) if not too_few(one.labels)]
    if not rows:
        return {}
    labels, tracks = [found[row].labels for row in rows], [found[row].tracks for row in rows]
    clips = _first_look(separators, mixtures[rows], labels, tracks)
    return dict(zip(rows, clips, strict=True))


def _batch_tracks(separators: Separators, scenes: Sequence[KnownScene], *, first: int) -> list[CalibrationTrack]:
    """Known tracks of scenes whose turns begin with number ``first``."""
    heard = {source for scene in scenes for source in scene.sources}
    separators = replace(separators, references=separators.references.without(heard))
    separator = separators.current
    mixtures = torch.from_numpy(np.stack([scene.mixture for scene in scenes]))
    labels = [scene.labels for scene in scenes]
    rng = np.random.default_rng(first)
    divided = []
    for turns in TURNS:
        names = [turns[turn % len(turns)] for turn in range(first, first + len(scenes))]
        divided.append([(own, name, _divide(own, name, rng)) for own, name in zip(scenes, names, strict=True)])
    answers = ask(separator, mixtures, labels, previous=separators.previous)
    if separators.by_labels:
        divided.insert(0, [(own, "", answer.own) for own, answer in zip(scenes, answers, strict=True)])
    clips: list[ClipEvidence] = []
    for part in divided:
        tracks = [own for _, _, own in part]
        clips += examine(separator, mixtures, labels, answers, tracks, references=separators.references)
    named = [(scene, name) for part in divided for scene, name, _ in part]
    for row, clip in _heard(separators, mixtures).items():
        clips.append(clip)
        named.append((scenes[row], ""))
    second_look(separator, clips, [(i, k) for i, clip in enumerate(clips) for k in range(len(clip.labels))])
    for scene in scenes:
        clips += [waveform_evidence(_mixture(scene), scene.labels, _divide(scene, name, rng)) for name in CUTS]
        named += [(scene, name) for name in CUTS]
    return [
        track
        for clip, (scene, origin) in zip(clips, named, strict=True)
        for track in _known_tracks(clip, scene, origin)
    ]


def _mixture(scene: KnownScene) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(scene.mixture))


def _divide(scene: KnownScene, partition: str, rng: np.random.Generator) -> Tensor:
    """The scene's tracks (Q, T) by that partition."""
    return torch.from_numpy(np.ascontiguousarray(_DIVIDE[partition](scene.truth, rng)))


def _known_tracks(clip: ClipEvidence, scene: KnownScene, origin: str) -> list[CalibrationTrack]:
    """The clip's tracks beside their truth; those with a score that is not finite teach nothing.

    A label that was heard without being asked for is that of the scene's source that it contains or is contained in.
    """
    found = []
    for label, track, scores in zip(clip.labels, clip.tracks, clip.scores, strict=True):
        place = next((k for k, own in enumerate(scene.labels) if label_table().related(label, own)), None)
        own_db = mixture_db = ABSENT_DB
        if place is not None:
            truth = torch.from_numpy(scene.truth[place])
            own_db, mixture_db = (float(si_sdr_db(one, truth)) for one in (track, clip.mixture))
        source = scene.sources[place or 0]
        if all(number is not None and math.isfinite(number) for number in (*scores.values(), own_db, mixture_db)):
            found.append(CalibrationTrack(scores, own_db, mixture_db, label, source, origin, scene.name))
    return found


_FACTS = ("si_sdr_db", "mixture_si_sdr_db", "label", "source", "origin", "scene")


def _store(
    workspace: Workspace,
    round_number: int,
    tracks: Sequence[CalibrationTrack],
    summary: Calibration,
    references: References = NO_REFERENCES,
) -> Calibration:
    types = [("si_sdr_db", pa.float64()), ("mixture_si_sdr_db", pa.float64())]
    types += [(name, pa.string()) for name in _FACTS[2:]] + [(score.name, pa.float64()) for score in SCORES]
    rows = [{**track.scores, **{name: getattr(track, name) for name in _FACTS}} for track in tracks]
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(types)), data)
    folder = workspace.round_storage(round_number).child(FOLDER)
    folder.write_bytes(TABLE, data.getvalue())
    folder.write_bytes(REFERENCES, references.to_bytes())
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
