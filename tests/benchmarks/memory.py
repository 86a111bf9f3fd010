"""Memory of the driver and of a worker for a corpus, and for one ten times as large: a whole tag and separate stage.

The clips are windows of one recording, a quarter of a second each; tags and tracks come from models that cost nothing,
so what is measured is the engine. Not a test: it takes minutes.

Run: .venv/bin/python -m tests.benchmarks.memory [--clips 2000]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import soundfile
import torch
from torch import Tensor

from data_specs.config import Config
from data_specs.labels import label_table
from data_specs.records import Clip, content_id
from pipeline.progress import NO_PROGRESS
from pipeline.workspace import Workspace

RATE_HZ = 8000
CLIP_S = 0.25
GROWTH = 0.10
CONFIG = Config.model_validate(
    {"audio": {"sample_rate_hz": RATE_HZ}, "gate": {"preset": "paper", "itt_db": -70, "sst_db": -65}}
)


class HalfAndHalf:
    """Separates a mixture into equal parts."""

    checkpoint_hash = "halves"

    def separate_batch(self, mixtures: Tensor, labels: Sequence[Sequence[str]]) -> list[Tensor]:
        return [torch.stack([mixture / len(own)] * len(own)) for mixture, own in zip(mixtures, labels, strict=True)]


class RainAndBark:
    """Hears the same two labels in everything."""

    source = "clap"

    def scores(self, waveforms: Tensor) -> Tensor:
        scores = torch.zeros(len(waveforms), len(label_table()))
        scores[:, [label_table().index("Rain"), label_table().index("Bark")]] = 0.9
        return scores


def clips(path: Path, count: int) -> Iterator[Clip]:
    """Windows of one recording."""
    for number in range(count):
        yield Clip(clip_id=content_id(number), path=str(path), start_s=(number % 400) * CLIP_S, duration_s=CLIP_S)


def run(folder: Path, count: int) -> dict[str, float]:
    """Peak memory in MB of the driver (this process) and of the largest worker, by stage."""
    import ray

    from pipeline import unit_stages
    from pipeline.unit_jobs import SeparateJob, TagJob
    from pipeline.workers import start_ray, stop_ray
    from tests.benchmarks import memory

    ray.cloudpickle.register_pickle_by_value(memory)
    workspace = Workspace.open(folder / "workspace", CONFIG)
    recording = folder / "recording.wav"
    soundfile.write(recording, 0.1 * np.random.default_rng(0).normal(size=round(400 * CLIP_S * RATE_HZ)), RATE_HZ)
    workspace.write_clips("natural", clips(recording, count))
    workspace.write_clips("single_source", [])
    unit_stages.TagJob = lambda *args: TagJob(*args, load=lambda config: memory.RainAndBark())
    unit_stages.SeparateJob = lambda *args: SeparateJob(*args, load=lambda config, checkpoint: memory.HalfAndHalf())
    start_ray(CONFIG)
    peaks: dict[str, float] = {}
    for name, stage in (("tag", unit_stages.tag_round), ("separate", unit_stages.separate_round)):
        with watched(peaks, name):
            stage(workspace, CONFIG, 1, NO_PROGRESS)
    stop_ray()
    return peaks


@contextmanager
def watched(peaks: dict[str, float], stage: str) -> Iterator[None]:
    """Meanwhile, keep the largest memory of this process and of any worker of it in ``peaks``."""
    over = threading.Event()
    driver = psutil.Process()

    def note(who: str, process: psutil.Process) -> None:
        key = f"{who}, {stage}"
        peaks[key] = max(peaks.get(key, 0.0), process.memory_full_info().uss / 1e6)

    def watch() -> None:
        while not over.wait(0.5):
            note("driver", driver)
            for child in driver.children(recursive=True):
                with suppress(psutil.Error):
                    if "".join(child.cmdline()[:1]).startswith("ray::MapWorker"):
                        note("worker", child)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    over.set()
    thread.join()


def main() -> None:
    """Print the peaks of both corpora, each measured in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--measure", type=Path, help="Only measure, in this folder, and print JSON.")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(run(options.measure, options.clips)))
        return
    peaks = {}
    for count in (options.clips, 10 * options.clips):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tests.benchmarks.memory", "--measure", folder, "--clips", str(count)]
            started = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks[count] = json.loads(done.stdout.splitlines()[-1])
            print(f"{count} clips in {time.perf_counter() - started:.0f} s")
    few, many = peaks.values()
    for key, small_mb in few.items():
        growth = many[key] / small_mb - 1
        print(f"{key}: {small_mb:.0f} MB, then {many[key]:.0f} MB, {growth:+.1%} (at most {GROWTH:+.0%})")


if __name__ == "__main__":
    main()
