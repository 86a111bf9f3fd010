"""The experiment of the engine: do rounds with a gate improve the separator, against a control and an oracle?

From one start, trained on single-source clips, several arms go through the same number of rounds and steps:

- ``control`` trains on single-source clips alone;
- ``oracle`` also on the clean sources of the natural clips, which nobody has outside of an experiment;
- ``paper`` and ``calibrated`` also on the tracks that their gate keeps of the separated natural clips.

What an arm wins is measured on test scenes; what a gate knows, on the natural clips' truth, which no arm but the oracle
sees. Every finished round is a file, so an experiment that was interrupted goes on where it was.

Example::

    results = run_rounds(material, config, size=SMALL, rounds=2, seed=0, out=Path("experiment"))
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_specs.config import Config
from data_specs.records import seed_of
from models.checkpoints import load_separator, save_separator
from models.label_separator import LabelSeparator
from models.query_encoders import load_query_encoder
from pipeline.calibrate import calibration_tracks, scenes_of
from pipeline.calibration import Calibration, gate_of, summarise
from pipeline.calibration_scenes import ClipEvents
from pipeline.evidence import ClipEvidence, finite_or_none, first_look, second_look
from pipeline.experiments.material import Material, Size
from pipeline.gate import Decision, Gate, PaperGate
from pipeline.metrics import si_sdr_db
from pipeline.mixtures import Batch, Sampler, TrackPool, collate, crop
from pipeline.pools import ClipPool, track_weight
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.scoring import evaluate_mixtures
from pipeline.train import fit

ARMS = ("control", "oracle", "paper", "calibrated")
BATCH = 4
YIELDS = (10, 25, 50)  # percent


def run_rounds(
    material: Material,
    config: Config,
    *,
    size: Size,
    rounds: int,
    seed: int,
    out: Path,
    arms: Sequence[str] = ARMS,
    progress: Progress = NO_PROGRESS,
) -> list[dict[str, Any]]:
    """All arms of one seed; returns one entry per arm and round, round 0 being the start."""
    start = out / "start"
    results = [_once(start, lambda: _start(material, config, size, seed, start, progress))]
    for arm in arms:
        checkpoint, previous = start, None
        for number in range(1, rounds + 1):
            folder = out / f"{arm}-{number}"
            job = _Round(arm, number, checkpoint, previous, folder, material, config, size, seed, progress)
            results.append(_once(folder, job.run))
            checkpoint, previous = folder, checkpoint
    return [{"seed": seed, **result} for result in results]


def _once(folder: Path, work: Any) -> dict[str, Any]:
    """The result of a finished piece of work, done now unless it is there."""
    done = folder / "result.json"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(work(), indent=1)
        partial = done.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(done)
    return json.loads(done.read_text("utf-8"))


def _start(
    material: Material, config: Config, size: Size, seed: int, folder: Path, progress: Progress
) -> dict[str, Any]:
    separator = load_separator(config.model.checkpoint)
    _train(separator, material, [], config, size, size.start_steps, seed_of("start", seed), progress)
    save_separator(separator, folder)
    return {"arm": "start", "round": 0, "metrics": _metrics(folder, material, config)}


@dataclass(frozen=True)
class _Round:
    """One round of one arm."""

    arm: str
    number: int
    checkpoint: Path
    previous: Path | None
    folder: Path
    material: Material
    config: Config
    size: Size
    seed: int
    progress: Progress

    def run(self) -> dict[str, Any]:
        """Separate and gate where the arm does, train, evaluate."""
        gate_result: dict[str, Any] = {}
        kept: list[KeptTrack] = []
        if self.arm == "oracle":
            kept = [
                KeptTrack(label, source, 1.0)
                for scene in self.material.natural
                for label, source in zip(scene.labels, scene.truth, strict=True)
            ]
        elif self.arm != "control":
            kept, gate_result = self._separate()
        separator = load_separator(str(self.checkpoint))
        seed = seed_of("round", self.seed, self.number)  # the same draws of single-source clips in every arm
        _train(separator, self.material, kept, self.config, self.size, self.size.round_steps, seed, self.progress)
        save_separator(separator, self.folder)
        metrics = _metrics(self.folder, self.material, self.config)
        return {"arm": self.arm, "round": self.number, "metrics": metrics, "gate": gate_result, "kept": len(kept)}

    def _separate(self) -> tuple[list["KeptTrack"], dict[str, Any]]:
        separator = _label_separator(self.checkpoint, self.config)
        previous = _label_separator(self.previous, self.config) if self.previous is not None else None
        gate, summary = self._gate(separator, previous)
        clips = list(self._looked_at(separator, previous, gate))
        decisions = gate.decide(finite_or_none(clips))
        kept = [
            KeptTrack(clip.labels[k], clip.tracks[k].numpy(), track_weight(_probability(decision)))
            for clip, decided in zip(clips, decisions, strict=True)
            for k, decision in enumerate(decided)
            if decision.tier != "rejected"
        ]
        return kept, gate_figures(clips, decisions, [scene.truth for scene in self.material.natural], self.config) | {
            "calibration": summary.model_dump(mode="json", exclude={"known"})
        }

    def _gate(self, separator: LabelSeparator, previous: LabelSeparator | None) -> tuple[Gate, Calibration]:
        if self.arm == "paper":
            return PaperGate(self.config.gate), Calibration(gate="paper")
        count = self.size.calibration_scenes
        source = ClipEvents(self.material.calibration)
        scenes = scenes_of(source, self.config, count=count, seed=seed_of("calibration", self.seed, self.number))
        tracks = calibration_tracks(separator, previous, scenes, total=count, progress=self.progress)
        natural = [
            one
            for scene in self.material.natural[: self.config.gate.shift_clips]
            for one in first_look(separator, torch.from_numpy(scene.mixture)[None], [scene.labels], previous=previous)[
                0
            ].scores
        ]
        summary = summarise(tracks, natural, self.config)
        return gate_of(tracks, summary, self.config), summary

    def _looked_at(
        self, separator: LabelSeparator, previous: LabelSeparator | None, gate: Gate
    ) -> Iterator[ClipEvidence]:
        scenes = self.material.natural
        with self.progress.task(f"{self.arm} {self.number}: separate", len(scenes)) as task:
            for start in range(0, len(scenes), BATCH):
                batch = scenes[start : start + BATCH]
                mixtures = torch.from_numpy(np.stack([scene.mixture for scene in batch]))
                clips = first_look(separator, mixtures, [scene.labels for scene in batch], previous=previous)
                second_look(separator, clips, gate.in_doubt(clips))
                task.advance(len(batch))
                yield from clips


def gate_figures(
    clips: Sequence[ClipEvidence], decisions: Sequence[Sequence[Decision]], truth: Sequence[np.ndarray], config: Config
) -> dict[str, Any]:
    """How right a gate was: AUC for "good", stated and true precision by yield, and of what it kept.

    The paper's gate is ranked by Re-SDR, and states nothing.
    """
    from sklearn.metrics import roc_auc_score

    level_db = np.concatenate(
        [si_sdr_db(clip.tracks, torch.from_numpy(own)).numpy() for clip, own in zip(clips, truth, strict=True)]
    )
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
    }


@dataclass(frozen=True)
class KeptTrack:
    """A track to train on: label, waveform (T,), and how often it is drawn against others of its label."""

    label: str
    waveform: np.ndarray
    weight: float


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
        weights = np.array([track.weight for track in tracks])
        return crop(tracks[int(rng.choice(len(tracks), p=weights / weights.sum()))].waveform, rng, length)


def _train(
    separator: torch.nn.Module,
    material: Material,
    kept: Sequence[KeptTrack],
    config: Config,
    size: Size,
    steps: int,
    seed: int,
    progress: Progress,
) -> None:
    encoder = load_query_encoder(config.model.clap)
    train = config.train.model_copy(update={"steps": steps, "batch_size": size.batch_size, "validate_every": steps})
    pools: list[TrackPool] = [ClipPool(material.training, config.audio.sample_rate_hz), KeptPool(kept)]
    length = int(separator.window_length)  # type: ignore[arg-type]
    sampler = Sampler(pools, None, train, length=length, seed=seed)

    def batches() -> Iterator[Batch]:
        samples = iter(sampler)
        while True:
            yield collate(list(islice(samples, size.batch_size)), encoder)

    with progress.task("train", steps) as task:
        fit(separator, batches(), [], train, on_step=lambda step, loss: task.advance())


def _label_separator(folder: Path, config: Config) -> LabelSeparator:
    return LabelSeparator.load(config.model.model_copy(update={"checkpoint": str(folder)}))


def _metrics(folder: Path, material: Material, config: Config) -> dict[str, float]:
    metrics = evaluate_mixtures(_label_separator(folder, config), material.test, bss_mixtures=0)["pos_neg"]
    remix_db: Mapping[str, Any] = metrics["re_sdr_db"]
    wanted = ("sdri_db", "si_sdri_db", "silence_sdr_db")
    return {name: round(float(metrics[name]["mean"]), 4) for name in wanted} | {
        "re_sdr_db": round(float(remix_db["mean"]), 4)
    }


def _probability(decision: Decision) -> float | None:
    return None if decision.prediction is None else decision.prediction.good_probability
