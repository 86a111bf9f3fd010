"""Separate the natural clips of an experiment, let a gate decide, and say how right it was: here the truth is known.

Example::

    found = gate_clips("calibrated", checkpoint, None, material, config, scenes=150, seed=0)
    found.lesson.tracks, found.figures["auc"]
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_specs.config import Config
from data_specs.records import seed_of
from models.label_separator import LabelSeparator
from pipeline.calibrate import Separators, calibration_tracks
from pipeline.calibration import YIELDS, Calibration, gate_of, summarise
from pipeline.calibration_scenes import KnownScene, scenes_to_calibrate_on
from pipeline.evidence import ClipEvidence, ask, examine, finite_or_none, first_look, remix_evidence, second_look
from pipeline.experiments.material import Material
from pipeline.experiments.training import KeptClip, KeptTrack, Lesson, separator_of
from pipeline.gate import Decision, Gate, PaperGate
from pipeline.metrics import si_sdr_db
from pipeline.partitions import RIGHT, WRONG
from pipeline.pools import track_weight
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.references import References, some_of_every_label

BATCH = 4
REMIX_DB = (10, 15)  # the paper's thresholds


@dataclass(frozen=True)
class Gated:
    """What a gate keeps of the natural clips, and figures about it."""

    lesson: Lesson
    figures: dict[str, Any]


def gate_clips(
    kind: str,
    checkpoint: Path,
    previous: Path | None,
    material: Material,
    config: Config,
    *,
    scenes: int,
    partitions: int,
    seed: int,
    progress: Progress = NO_PROGRESS,
) -> Gated:
    """Separate all natural clips with a checkpoint, and gate them.

    Args:
        kind: ``paper``, ``calibrated``, or ``oracle-gate``, which keeps what is good in truth.
        previous: checkpoint of the round before, where it is another one.
        scenes: how many to calibrate on.
        partitions: natural clips on which the gates are shown wrong and right partitions (``accepted``); 0 for none.
    """
    separator = separator_of(checkpoint, config)
    before = separator_of(previous, config) if previous is not None else None
    gate: Gate = PaperGate(config.gate)
    summary = Calibration(gate="paper")
    if kind == "calibrated":
        gate, summary = _calibrated(separator, before, material, config, scenes=scenes, seed=seed, progress=progress)
    clips = finite_or_none(list(separate_natural(separator, before, gate, material.natural, progress)))
    truth = [scene.truth for scene in material.natural]
    if kind == "oracle-gate":
        decisions = [
            [Decision("itt" if level_db > config.gate.good_db else "rejected") for level_db in _levels_db(clip, own)]
            for clip, own in zip(clips, truth, strict=True)
        ]
    else:
        decisions = gate.decide(clips)
    figures = gate_figures(clips, decisions, truth, config)
    if kind == "oracle-gate":
        figures["auc"] = None  # it ranks nothing
    if kind == "calibrated":
        figures["calibration"] = summary.model_dump(mode="json", exclude={"known"})
    if summary.gate == "calibrated":
        figures["accepted"] = accepted(gate, separator, before, material.natural[:partitions], config)
    return Gated(_lesson(clips, decisions), figures)


def true_lesson(scenes: Sequence[KnownScene]) -> Lesson:
    """The clean sources of the natural clips, which nobody has outside of an experiment."""
    return Lesson(
        [KeptTrack(label, source) for scene in scenes for label, source in zip(scene.labels, scene.truth, strict=True)],
        [KeptClip(scene.mixture, dict(zip(scene.labels, scene.truth, strict=True))) for scene in scenes],
    )


def separate_natural(
    separator: LabelSeparator,
    previous: LabelSeparator | None,
    gate: Gate,
    scenes: Sequence[KnownScene],
    progress: Progress,
) -> Iterator[ClipEvidence]:
    """The natural clips with their tracks, and the scores that this gate asks for."""
    with progress.task("separate", len(scenes)) as task:
        for batch in _batches(scenes):
            mixtures, labels = _batch(batch), [scene.labels for scene in batch]
            if gate.needs_evidence:
                clips = first_look(separator, mixtures, labels, previous=previous, references=gate.references)
                second_look(separator, clips, gate.in_doubt(clips))
            else:
                clips = remix_evidence(mixtures, labels, separator.separate_batch(mixtures, labels))
            task.advance(len(batch))
            yield from clips


def _calibrated(
    separator: LabelSeparator,
    previous: LabelSeparator | None,
    material: Material,
    config: Config,
    *,
    scenes: int,
    seed: int,
    progress: Progress,
) -> tuple[Gate, Calibration]:
    trained = some_of_every_label(material.training)
    references = References.gather(trained, separator.encoder, sample_rate_hz=config.audio.sample_rate_hz)
    known = scenes_to_calibrate_on(
        material.calibration, trained, config, count=scenes, seed=seed_of("calibration", seed)
    )
    tracks = calibration_tracks(Separators(separator, previous, references), known, total=scenes, progress=progress)
    natural = [
        one
        for scene in material.natural[: config.gate.shift_clips]
        for clip in first_look(separator, _batch([scene]), [scene.labels], previous=previous, references=references)
        for one in clip.scores
    ]
    summary = summarise(tracks, natural, config)
    return gate_of(tracks, summary, config, references), summary


def accepted(
    gate: Gate,
    separator: LabelSeparator,
    previous: LabelSeparator | None,
    scenes: Sequence[KnownScene],
    config: Config,
) -> dict[str, dict[str, float]]:
    """Share of the tracks of each partition (``pipeline.partitions``) that this gate and the paper's accept.

    Of "one and mixture" only the copies of the mixture count: its first track is right.
    """
    gates = {"paper": PaperGate(config.gate), "calibrated": gate}
    votes: dict[str, dict[str, list[bool]]] = {}
    for batch in _batches(scenes):
        mixtures, labels = _batch(batch), [scene.labels for scene in batch]
        answers = ask(separator, mixtures, labels, previous=previous)
        for name, divide in (WRONG | RIGHT).items():
            rng = np.random.default_rng(seed_of(name, *(source for scene in batch for source in scene.sources)))
            tracks = [torch.from_numpy(np.ascontiguousarray(divide(scene.truth, rng))) for scene in batch]
            clips = examine(separator, mixtures, labels, answers, tracks, references=gate.references)
            second_look(separator, clips, gate.in_doubt(clips))
            clips = finite_or_none(clips)
            first = 1 if name == "one and mixture" else 0
            for own, judge in gates.items():
                kept = [one.tier != "rejected" for decided in judge.decide(clips) for one in decided[first:]]
                votes.setdefault(name, {}).setdefault(own, []).extend(kept)
    return {name: {own: float(np.mean(kept)) for own, kept in by.items()} for name, by in votes.items()}


def gate_figures(
    clips: Sequence[ClipEvidence], decisions: Sequence[Sequence[Decision]], truth: Sequence[np.ndarray], config: Config
) -> dict[str, Any]:
    """How right a gate was: AUC for "good", stated and true precision by yield, and of what it kept.

    The paper's gate is ranked by Re-SDR, and states nothing. ``remix_yield`` counts the clips whose Re-SDR and
    Re-SISDR both exceed a threshold (Table 9), whatever the gate.
    """
    from sklearn.metrics import roc_auc_score

    level_db = np.concatenate([_levels_db(clip, own) for clip, own in zip(clips, truth, strict=True)])
    good = level_db > config.gate.good_db
    flat = [decision for decided in decisions for decision in decided]
    stated = [_probability(decision) for decision in flat]
    known = all(value is not None for value in stated)
    remix_db = [float(one["re_sdr_db"] or 0.0) for clip in clips for one in clip.scores]
    rank = np.array(stated if known else remix_db, dtype=float)
    kept = np.array([decision.tier != "rejected" for decision in flat])
    order = np.argsort(-rank, kind="stable")
    at: dict[str, dict[str, float | None]] = {}
    for share in YIELDS:
        best = order[: max(1, len(order) * share // 100)]
        at[f"{share}%"] = {"true": float(good[best].mean()), "stated": float(rank[best].mean()) if known else None}
    return {
        "tracks": len(flat),
        "good_share": float(good.mean()),
        "auc": float(roc_auc_score(good, rank)) if 0 < good.sum() < len(good) else None,
        "precision": at,
        "kept_share": float(kept.mean()),
        "kept_precision": float(good[kept].mean()) if kept.any() else None,
        "kept_si_sdr_db": float(level_db[kept].mean()) if kept.any() else None,
        "sst_share": float(np.mean([decision.tier == "sst" for decision in flat])),
        "remix_yield": {f"{limit_db} dB": len(above(clips, limit_db)) for limit_db in REMIX_DB},
    }


def above(clips: Sequence[ClipEvidence], limit_db: float) -> list[ClipEvidence]:
    """Clips whose Re-SDR and Re-SISDR both exceed a threshold."""
    names = ("re_sdr_db", "re_si_sdr_db")
    return [clip for clip in clips if min(float(clip.scores[0][name] or 0.0) for name in names) > limit_db]


def _lesson(clips: Sequence[ClipEvidence], decisions: Sequence[Sequence[Decision]]) -> Lesson:
    tracks, whole = [], []
    for clip, decided in zip(clips, decisions, strict=True):
        own = {label: track.numpy() for label, track in zip(clip.labels, clip.tracks, strict=True)}
        weights = [track_weight(_probability(decision)) for decision in decided]
        tracks += [
            KeptTrack(label, own[label], weight)
            for label, decision, weight in zip(clip.labels, decided, weights, strict=True)
            if decision.tier != "rejected"
        ]
        if all(decision.tier == "sst" for decision in decided):
            whole.append(KeptClip(clip.mixture.numpy(), own, min(weights)))
    return Lesson(tracks, whole)


def _levels_db(clip: ClipEvidence, truth: np.ndarray) -> np.ndarray:
    """SI-SDR (Q,) of a clip's tracks in dB."""
    return si_sdr_db(clip.tracks, torch.from_numpy(truth)).numpy()


def _probability(decision: Decision) -> float | None:
    return None if decision.prediction is None else decision.prediction.good_probability


def _batches(scenes: Sequence[KnownScene]) -> Iterator[Sequence[KnownScene]]:
    return (scenes[start : start + BATCH] for start in range(0, len(scenes), BATCH))


def _batch(scenes: Sequence[KnownScene]) -> torch.Tensor:
    return torch.from_numpy(np.stack([scene.mixture for scene in scenes]))
