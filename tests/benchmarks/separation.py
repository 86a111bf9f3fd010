"""The separate stage on this machine: how two workers compare with one, and what is not the model's time.

The separator has the paper's size (preset ``full``) and random weights, one thread per worker. Not a test: machines
differ, and figures mean something only when nothing else runs.

Run: .venv/bin/python -m tests.benchmarks.separation [--clips 96]
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import ray
import soundfile
import torch
from torch import Tensor

from data_specs.config import Config, load_config
from data_specs.records import Clip, content_id
from models.separator import Separator
from pipeline.unit_jobs import SeparateJob
from pipeline.units import tag_units, write_plan
from pipeline.workers import run_units, start_ray, stop_ray
from pipeline.workspace import Workspace
from tests.benchmarks import separation

LABELS = ("Rain", "Bark", "Speech")
SPEED_UP, OVERHEAD = 1.8, 0.15


class RandomSeparator:
    """A separator of the paper's size with random weights and queries; notes how long the network runs."""

    def __init__(self, config: Config, notes: Path) -> None:
        torch.manual_seed(0)
        self.checkpoint_hash = "random"
        self._separator = Separator(config.model.architecture).eval()
        self._notes = notes

    @torch.inference_mode()
    def separate_batch(self, mixtures: Tensor, labels: Sequence[Sequence[str]]) -> list[Tensor]:
        started = time.perf_counter()
        dim = 2 * self._separator.config.query_dim
        tracks = list(self._separator(mixtures, torch.randn(len(labels), len(labels[0]), dim)))
        with self._notes.open("a") as notes:
            notes.write(f"{time.perf_counter() - started}\n")
        return tracks


def recordings(folder: Path, count: int) -> list[Clip]:
    """Clips of 10 s, stereo at 44.1 kHz, that have to be decoded, mixed down and resampled."""
    clips = []
    for number in range(count):
        path = folder / f"{number}.flac"
        samples = 0.1 * np.random.default_rng(number).normal(size=(441_000, 2))
        soundfile.write(path, samples, 44_100)
        clips.append(Clip(clip_id=content_id(number), path=str(path), labels=LABELS, duration_s=10.0))
    return clips


def measure(folder: Path, clips: Sequence[Clip], workers: int) -> tuple[float, float]:
    """Wall seconds of the stage, and seconds that its workers spent in the network."""
    base = load_config("full")
    update = {"separate_workers": workers, "separate_cpus": 1.0, "separate_gpus": 0.0}
    config = base.model_copy(
        update={
            "workers": base.workers.model_copy(update=update),
            "separate": base.separate.model_copy(update={"unit_clips": 2, "batch_clips": 2}),
            "gate": base.gate.model_copy(update={"preset": "paper"}),  # no calibration to load
        }
    )
    workspace = Workspace.open(folder / f"workspace{workers}", config)
    plan = write_plan(workspace, 1, "separate", tag_units(clips, 2), count=len(clips) // 2)
    notes = folder / f"notes{workers}"
    start_ray(config)
    started = time.perf_counter()
    job = SeparateJob(workspace, config, 1, lambda config, checkpoint: RandomSeparator(config, notes))
    done = sum(unit.clips for unit in run_units(job, plan))
    wall_s = time.perf_counter() - started
    assert done == len(clips)
    return wall_s, sum(map(float, notes.read_text().split()))


def main() -> None:
    """Print wall time, speed-up and overhead."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=96)
    count = parser.parse_args().clips
    ray.cloudpickle.register_pickle_by_value(separation)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        clips = recordings(folder, count)
        walls_s = []
        for workers in (1, 2):
            wall_s, model_s = measure(folder, clips, workers)
            share = 1 - model_s / (wall_s * workers)
            walls_s.append(wall_s)
            print(f"{workers} worker(s): {count} clips of 10 s in {wall_s:.1f} s, {share:.1%} of it not the network's")
    print(f"speed-up {walls_s[0] / walls_s[1]:.2f} (at least {SPEED_UP}); overhead at most {OVERHEAD:.0%}")
    stop_ray()


if __name__ == "__main__":
    main()
