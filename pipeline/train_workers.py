"""The train stage of a round on Ray Train: data-parallel workers that call ``pipeline.train.fit``.

Every worker reads the workspace by itself: single-source clips, and its share of the round's shards. The first one
publishes the checkpoint. Local by default, on a cluster by ``RAY_ADDRESS``.

Example::

    result = train_round(workspace, config, round_number=1, progress=progress)
"""

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from data_specs.config import Config
from data_specs.records import Clip, Record, seed_of
from models.checkpoints import load_separator, save_separator
from models.lora import merge_lora, with_lora
from pipeline.label_queries import round_encoder
from pipeline.mixtures import Sampler, TrackPool, collate
from pipeline.pools import ClipPool, ShardBuffer
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.train import History, fit
from pipeline.workers import start_ray
from pipeline.workspace import Workspace

VALIDATION_SHARE = 0.1  # of the training clips; the promotion set is another one, see pipeline.round


class TrainResult(Record):
    """What the train stage did. ``skipped`` says why there is no new checkpoint; empty when there is one."""

    skipped: str = ""
    steps: int = 0
    single_source_clips: int = 0
    itt_tracks: int = 0
    sst_clips: int = 0
    final_loss_db: float | None = None
    validation_sdri_db: float | None = None


def train_round(
    workspace: Workspace, config: Config, round_number: int, progress: Progress = NO_PROGRESS
) -> TrainResult:
    """Retrain the round's starting checkpoint on single-source clips and the round's kept tracks.

    Writes ``checkpoint/`` of the round: the separator, and ``training.json`` with the curves.

    Raises:
        RuntimeError: when a worker failed.
    """
    tiers: dict[str, int] = {}
    natural: set[str] = set()
    for track in workspace.iter_tracks(round_number):
        tiers[track.tier] = tiers.get(track.tier, 0) + 1
        if track.tier == "sst":
            natural.add(track.clip_id)
    clips = workspace.training_clips()
    counts: dict[str, Any] = {
        "single_source_clips": len(clips),
        "itt_tracks": tiers.get("itt", 0) + tiers.get("sst", 0),
        "sst_clips": len(natural),
    }
    if config.train.steps == 0:
        return TrainResult(skipped="train.steps is 0", **counts)
    if not clips and not counts["itt_tracks"]:
        return TrainResult(skipped="no single-source clip and no kept track to train on", **counts)

    with progress.task("train", config.train.steps) as task:
        history = _run_workers(workspace, config, round_number, task.advance)
    return TrainResult(
        steps=len(history.loss),
        final_loss_db=sum(history.loss[-10:]) / len(history.loss[-10:]),
        validation_sdri_db=history.validation_sdri_db[-1] if history.validation_sdri_db else None,
        **counts,
    )


def _run_workers(workspace: Workspace, config: Config, round_number: int, advance: Callable[[int], None]) -> History:
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.util.queue import Queue

    start_ray(config)
    workers = config.workers
    steps_done = Queue(actor_options={"num_cpus": 0})
    with tempfile.TemporaryDirectory(prefix="data-engine-train-") as scratch, _listening(steps_done, advance):
        trainer = TorchTrainer(
            _train_worker,
            train_loop_config={
                "workspace": workspace.uri,
                "config": config.model_dump(mode="json"),
                "round_number": round_number,
                "encoder": round_encoder(workspace, config),
                "steps_done": steps_done,
            },
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers.train_workers,
                use_gpu=workers.train_gpus > 0,
                resources_per_worker={"CPU": workers.train_cpus, "GPU": workers.train_gpus},
            ),
            run_config=ray.train.RunConfig(storage_path=scratch),
        )
        trainer.fit()
    steps_done.shutdown()
    written = json.loads(workspace.round_storage(round_number).child("checkpoint").read_bytes("training.json"))
    return History(**written)


@contextmanager
def _listening(steps_done: Any, advance: Callable[[int], None]) -> Iterator[None]:
    """Meanwhile, move the progress bar by what workers put into the queue; Ray Train tells the driver nothing."""
    finished = threading.Event()

    def listen() -> None:
        while not finished.is_set():
            for steps in steps_done.get_nowait_batch(steps_done.qsize()):
                advance(steps)
            finished.wait(0.5)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _train_worker(task: dict[str, Any]) -> None:
    """One data-parallel worker; the same code on every rank."""
    import ray.train
    import ray.train.torch

    config = Config.model_validate(task["config"])
    workspace, round_number = Workspace(task["workspace"]), int(task["round_number"])
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    torch.manual_seed(seed_of("train", config.seed, round_number))

    separator = with_lora(load_separator(workspace.current_checkpoint(before_round=round_number)))
    model = ray.train.torch.prepare_model(separator)
    device = next(separator.parameters()).device
    encoder = task["encoder"]
    training, validating = _split(workspace.training_clips())
    rate = separator.config.sample_rate_hz
    kept = ShardBuffer(workspace, round_number, rank=rank, world_size=world_size, seed=config.seed)

    def sampler(clips: list[Clip], seed: int) -> Sampler:
        pools: list[TrackPool] = [ClipPool(clips, rate), kept.tracks]
        return Sampler(pools, kept.natural, config.train, length=separator.window_length, seed=seed)

    def check_sampler() -> Sampler:
        pools: list[TrackPool] = [ClipPool(validating, rate) if validating else kept.tracks]
        return Sampler(
            pools, None, config.train, length=separator.window_length, seed=seed_of("validation", config.seed)
        )

    per_worker = max(1, config.train.batch_size // world_size)
    draws = iter(sampler(training, seed_of("batches", config.seed, round_number, rank)))
    check = iter(check_sampler())
    batches = (collate([next(draws) for _ in range(per_worker)], encoder).to(device) for _ in iter(int, 1))
    validation = [
        collate([next(check) for _ in range(4)], encoder).to(device)
        for _ in range(max(1, config.train.validation_mixtures // 4))
    ]

    def on_step(step: int, loss: float) -> None:
        if rank == 0:
            task["steps_done"].put_nowait(1)

    history = fit(model, batches, validation, config.train, on_step=on_step)
    if rank == 0:
        with workspace.writing_folder(round_number, "checkpoint") as folder:
            save_separator(merge_lora(separator), folder)
            (folder / "training.json").write_text(json.dumps(vars(history)), encoding="utf-8")


def _split(clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Training and validation clips; where there are too few for both, every clip is in both."""
    ordered = sorted(clips, key=lambda clip: seed_of("validation", clip.clip_id))
    count = round(VALIDATION_SHARE * len(clips))
    return (ordered[count:], ordered[:count]) if count >= 8 else (ordered, ordered)
