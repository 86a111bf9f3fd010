"""Experiment: does a sparsity loss keep MixIT from over-separating? The miniature of the paper's main finding.

The same unconditional separator is trained on mixtures of the same built-in scenes, without a sparsity loss and with
each of them, and scored on scenes that training does not hold. Without sparsity a single sound is spread over several
estimates; with it, single-source reconstruction should rise by decibels, and multi-source improvement stay.

Weights are large for a reason. At the start all estimates are alike, and there the gradient of ``rms_ratio`` vanishes:
the equal point is its maximum. It grows with the differences it makes, so a small weight needs very many steps.

Source: Wisdom et al. 2021, https://arxiv.org/abs/2106.00847.

Example::

    results = run_study(DEFAULT, Path("study"), progress)
    print(table(results))
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from data_specs.config import SoundscapeConfig
from data_specs.errors import UserError
from data_specs.records import seed_of
from data_specs.section import Section
from data_specs.soundscapes import BuiltinSource, compose_scene
from data_specs.unconditional import TDCNConfig, UnconditionalTrainConfig
from models.tdcn import TDCN
from pipeline.mixit_train import fit_mixit, mixture_batches
from pipeline.mixtures import crop
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.storage import Storage
from pipeline.unconditional_scores import score_unconditional

RESULTS = "results.json"
COLUMNS = {
    "single_source_si_sdr_db": "single-source SI-SDR",
    "multi_source_si_sdri_db": "multi-source SI-SDRi",
    "active_estimates_single": "active estimates, one source",
    "active_estimates_multi": "active estimates, several sources",
}


class OverSeparationStudy(Section):
    """Size of the study; a run (one variant, one seed) of the defaults takes about two minutes of one core."""

    variants: dict[str, float] = Field(
        {"none": 0.0, "rms_ratio": 100.0, "mean_rms": 60.0}, description="Sparsity losses by name, with their weights."
    )
    labels: tuple[str, ...] = Field(
        ("Alarm clock", "Bark", "Church bell", "Cricket", "Rain", "Siren"),
        description="Built-in events; few of them, so that minutes are enough to learn them.",
    )
    seeds: tuple[int, ...] = (0, 1, 2)
    training_scenes: int = Field(400, ge=2)
    scored_scenes: int = Field(50, ge=1, description="Scenes of one source, and as many of several.")
    sources_max: int = Field(3, ge=2)
    train: UnconditionalTrainConfig = UnconditionalTrainConfig(
        steps=800,
        batch_size=6,
        duration_s=2.0,
        learning_rate=3e-3,
        network=TDCNConfig(
            outputs=8, sample_rate_hz=8_000, window_length=256, hop_length=128, width=64, hidden=128, blocks=5
        ),
    )

    def train_config(self, variant: str) -> UnconditionalTrainConfig:
        """The training of a variant."""
        changes: dict[str, Any] = {"sparsity_weight": self.variants[variant]}
        if variant != "none":
            changes["sparsity"] = variant
        return UnconditionalTrainConfig.model_validate({**self.train.model_dump(), **changes})


DEFAULT = OverSeparationStudy()
SMALL = OverSeparationStudy(
    training_scenes=40,
    scored_scenes=8,
    train=UnconditionalTrainConfig.model_validate({**DEFAULT.train.model_dump(), "steps": 20}),
)


class SceneMixtures:
    """Scenes of known sources (S, T) as a ``MixtureSource``: training hears their sums only."""

    def __init__(self, scenes: Sequence[Tensor]):
        self._mixtures = [scene.sum(dim=0).numpy() for scene in scenes]

    def draw(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, Sequence[str]]:
        """A random crop of a random scene; no labels."""
        return crop(self._mixtures[int(rng.integers(len(self._mixtures)))], rng, length), ()


def run_study(study: OverSeparationStudy, out: Path, progress: Progress = NO_PROGRESS) -> dict[str, Any]:
    """Do the runs that ``out`` does not hold yet; returns and writes settings and one entry per variant and seed.

    Raises:
        UserError: ``out`` holds a study of other settings.
    """
    storage = Storage(out)
    out.mkdir(parents=True, exist_ok=True)
    results = _known(storage, study)
    done = {(run["variant"], run["seed"]) for run in results["runs"]}
    left = [(name, seed) for seed in study.seeds for name in study.variants if (name, seed) not in done]
    if left:
        training = SceneMixtures(built_in_scenes(study, "train", study.training_scenes, 1, study.sources_max))
        scored = [
            *built_in_scenes(study, "single", study.scored_scenes, 1, 1),
            *built_in_scenes(study, "multi", study.scored_scenes, 2, study.sources_max),
        ]
    for name, seed in left:
        run = _run(study, name, seed, training, scored, progress)
        results["runs"].append(run)
        storage.write_bytes(RESULTS, (json.dumps(results, indent=2) + "\n").encode())
    return results


def built_in_scenes(study: OverSeparationStudy, purpose: str, count: int, least: int, most: int) -> list[Tensor]:
    """Built-in scenes of ``least`` to ``most`` sources (S, T), without rooms and background."""
    config = SoundscapeConfig(labels_min=least, labels_max=most, room_probability=0.0, background_probability=0.0)
    rate, duration_s = study.train.network.sample_rate_hz, study.train.duration_s
    source = BuiltinSource(study.labels)
    scenes = []
    for number in range(count):
        seed = seed_of("over-separation", purpose, number)
        scene = compose_scene(source, seed=seed, config=config, duration_s=duration_s, sample_rate_hz=rate)
        scenes.append(torch.from_numpy(np.stack([track.waveform for track in scene.tracks])))
    return scenes


def table(results: dict[str, Any]) -> str:
    """Mean and standard deviation over seeds of every variant, as Markdown; decibels and counts."""
    rows = [["sparsity", *COLUMNS.values(), "processor s"], ["---"] * (2 + len(COLUMNS))]
    for variant, weight in results["settings"]["variants"].items():
        runs = [run for run in results["runs"] if run["variant"] == variant]
        if runs:
            values = [[run["scores"][name] for run in runs] for name in COLUMNS]
            name = variant if variant == "none" else f"{variant}, weight {weight:g}"
            spread = [f"{np.mean(own):.2f} ± {np.std(own):.2f}" for own in values]
            rows.append([name, *spread, f"{np.mean([run['seconds'] for run in runs]):.0f}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _known(storage: Storage, study: OverSeparationStudy) -> dict[str, Any]:
    settings = study.model_dump(mode="json", exclude={"seeds"})
    if not storage.is_file(RESULTS):
        return {"settings": settings, "runs": []}
    found = json.loads(storage.read_bytes(RESULTS))
    if found["settings"] != settings:
        raise UserError(f"{storage.uri} holds a study of other settings: give another folder")
    return found


def _run(
    study: OverSeparationStudy,
    variant: str,
    seed: int,
    training: SceneMixtures,
    scored: Sequence[Tensor],
    progress: Progress,
) -> dict[str, Any]:
    config = study.train_config(variant)
    torch.manual_seed(seed)
    model = TDCN(config.network)
    rate = config.network.sample_rate_hz
    batches = mixture_batches(training, config, sample_rate_hz=rate, batch_size=config.batch_size, seed=seed)
    started = time.process_time()
    with progress.task(f"{variant}, seed {seed}", config.steps) as task:
        losses = fit_mixit(model, batches, config, on_step=lambda step, loss: task.advance())
    seconds = time.process_time() - started
    scores = {name: score["mean"] for name, score in score_unconditional(model, scored).items()}
    progress.say(f"{variant}, seed {seed}: " + ", ".join(f"{COLUMNS[name]} {scores[name]:.2f}" for name in COLUMNS))
    return {
        "variant": variant,
        "seed": seed,
        "scores": scores,
        "last_loss_db": float(np.mean(losses[-50:])),
        "seconds": round(seconds, 1),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
