"""Training on this machine: how fast samples are made and eaten, and whether two ranks train as one does.

Run: .venv/bin/python -m tests.benchmarks.training [--steps 12]
"""

import argparse
import json
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch

from data_specs.config import Config, load_config
from models.checkpoints import load_separator
from models.lora import with_lora
from models.query_encoders import load_query_encoder
from pipeline.objectives import Objectives
from pipeline.round import open_workspace
from pipeline.sample_stream import SampleStream, iter_steps
from pipeline.train import fit
from pipeline.train_round import train_round
from pipeline.workers import stop_ray
from pipeline.workspace import Workspace


def feeding(workspace: Workspace, config: Config, loaders: int) -> tuple[float, float]:
    """Samples per second that one process makes, and that the shipped separator trains on, both with one thread."""
    torch.set_num_threads(1)
    separator = with_lora(load_separator("embedded"))
    encoder = load_query_encoder("embedded")
    stream = SampleStream(
        workspace,
        config,
        1,
        length=separator.window_length,
        sample_rate_hz=separator.config.sample_rate_hz,
    )
    steps = iter_steps(stream, loaders)
    next(steps)
    started = time.perf_counter()
    drawn = [step.samples for step in islice(steps, config.train.steps)]
    made_s = time.perf_counter() - started
    objectives = Objectives(config.train, separator, encoder)
    batches = [objectives.collate(samples) for samples in drawn]
    started = time.perf_counter()
    fit(separator, iter(batches), [], config.train, losses=objectives)
    eaten_s = time.perf_counter() - started
    samples = config.train.steps * config.train.batch_size
    return samples / made_s, samples / eaten_s


def curves(folder: Path, config: Config, ranks: int) -> tuple[list[float], float]:
    """Losses of a training on so many ranks, and its seconds."""
    own = config.model_copy(update={"workers": config.workers.model_copy(update={"train_workers": ranks})})
    workspace = open_workspace(own, str(folder))
    started = time.perf_counter()
    train_round(workspace, own, 1)
    seconds = time.perf_counter() - started
    return json.loads((workspace.local_folder(1, "checkpoint") / "training.json").read_text())["loss"], seconds


def main() -> None:
    """Print the loader's lead over the model, and the largest difference between one rank and two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    steps = parser.parse_args().steps
    base = load_config("demo", {"corpus": {"count": 8}, "single_source": {"count": 144}})
    config = base.model_copy(
        update={"train": base.train.model_copy(update={"steps": steps, "checkpoint_every": steps})}
    )
    with tempfile.TemporaryDirectory() as scratch:
        workspace = open_workspace(config, f"{scratch}/workspace")
        made, eaten = feeding(workspace, config, loaders=0)
        print(f"loader: {made:.1f} samples/s made, {eaten:.1f} trained on, {made / eaten:.1f} times as fast (over 1)")
        (one, one_s), (two, two_s) = (curves(Path(scratch) / f"ranks{ranks}", config, ranks) for ranks in (1, 2))
        difference = max(abs(a - b) for a, b in zip(one, two, strict=True))
        print(f"one rank {one_s:.0f} s, two ranks {two_s:.0f} s; losses differ by at most {difference:.1e} dB")
    stop_ray()


if __name__ == "__main__":
    main()
