"""The experiment of the engine: do rounds with a gate improve the separator, against a control and an oracle?

From one start, trained on single-source clips, several arms go through the same number of rounds and steps:

- ``control`` trains on single-source clips alone;
- ``oracle`` also on the clean sources of the natural clips, which nobody has outside of an experiment;
- ``calibrated`` and ``paper`` also on the tracks that their gate keeps of the separated natural clips;
- ``oracle-gate`` also on those of its tracks that are good in truth: what a gate that knows could reach.

What an arm wins is measured on test scenes; what a gate knows, on the natural clips' truth, which only the oracles see.
Every finished round is a file, so an experiment that was interrupted goes on where it was.

Example::

    results = run_rounds(material, config, size=SMALL, rounds=2, seed=0, out=Path("experiment"))
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_specs.config import Config
from data_specs.records import seed_of
from pipeline.experiments.gating import Gated, gate_clips, true_lesson
from pipeline.experiments.material import Material, Size
from pipeline.experiments.training import START, Lesson, learn, measure
from pipeline.progress import NO_PROGRESS, Progress

REFERENCES = ("control", "oracle")
ARMS = (*REFERENCES, "calibrated", "paper", "oracle-gate")
ROUND_RATE = 0.75  # of the start's learning rate: a round goes on from what is trained already


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
    start = out / START
    results = [once(start, lambda: begin(material, config, size, seed, start, progress))]
    for arm in arms:
        # The start was trained from the configured checkpoint, so that is what it can be compared with.
        checkpoint, previous = start, Path(config.model.checkpoint)
        for number in range(1, rounds + 1):
            folder = out / f"{arm}-{number}"
            job = _Round(arm, number, checkpoint, previous, folder, material, config, size, seed, progress)
            results.append(once(folder, job.run))
            checkpoint, previous = folder, checkpoint
    return [{"seed": seed, **result} for result in results]


def once(folder: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of a finished piece of work, done now unless it is there."""
    done = folder / "result.json"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(work(), indent=1)
        partial = done.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(done)
    return json.loads(done.read_text("utf-8"))


def begin(
    material: Material, config: Config, size: Size, seed: int, folder: Path, progress: Progress
) -> dict[str, Any]:
    """Train the start of a seed in ``folder``, on single-source clips alone, and measure it."""
    learn(
        config.model.checkpoint,
        material,
        config,
        Lesson(),
        steps=size.start_steps,
        batch_size=size.batch_size,
        seed=seed_of(START, seed),
        out=folder,
        progress=progress,
    )
    return {"arm": START, "round": 0, "metrics": measure(folder, material, config)}


def gently(config: Config) -> Config:
    """The configuration with the learning rate of a round."""
    rate = ROUND_RATE * config.train.learning_rate
    return config.model_copy(update={"train": config.train.model_copy(update={"learning_rate": rate})})


@dataclass(frozen=True)
class _Round:
    """One round of one arm."""

    arm: str
    number: int
    checkpoint: Path
    previous: Path
    folder: Path
    material: Material
    config: Config
    size: Size
    seed: int
    progress: Progress

    def run(self) -> dict[str, Any]:
        """Separate and gate where the arm does, train, evaluate."""
        found = self._found()
        learn(
            self.checkpoint,
            self.material,
            gently(self.config),
            found.lesson,
            steps=self.size.round_steps,
            batch_size=self.size.batch_size,
            seed=seed_of("round", self.seed, self.number),  # the same draws of single-source clips in every arm
            out=self.folder,
            progress=self.progress,
        )
        return {
            "arm": self.arm,
            "round": self.number,
            "metrics": measure(self.folder, self.material, self.config),
            "gate": found.figures,
            "kept": len(found.lesson.tracks),
        }

    def _found(self) -> Gated:
        if self.arm == "control":
            return Gated(Lesson(), {})
        if self.arm == "oracle":
            return Gated(true_lesson(self.material.natural), {})
        return gate_clips(
            self.arm,
            self.checkpoint,
            self.previous,
            self.material,
            self.config,
            scenes=self.size.calibration_scenes,
            partitions=self.size.partition_scenes if self.number == 1 else 0,
            seed=seed_of(self.seed, self.number),
            progress=self.progress,
        )
