"""The train stage of a round on Ray Train: data-parallel workers that call ``pipeline.train.fit``.

Every worker reads the workspace by itself: single-source clips, and its lanes' share of the round's shards. The first
one writes ``training.pt`` from time to time, and in the end the checkpoint. When a worker dies, Ray Train starts all of
them again and they go on from ``training.pt``; so does a rerun of the round after its driver died. Local by default, on
a cluster by ``RAY_ADDRESS``.

Example::

    result = train_round(workspace, config, round_number=1, progress=progress)
"""

import io
import json
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.filesystems import first_line
from data_specs.records import Record, content_id, seed_of
from models.checkpoints import checkpoint_hash, load_separator, save_separator
from models.lora import merge_lora, with_lora
from pipeline.faults import repairable
from pipeline.label_queries import round_encoder
from pipeline.mixtures import collate
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.sample_stream import SampleStream, iter_steps, validation_sampler
from pipeline.train import Training, fit, ranks
from pipeline.workers import start_ray
from pipeline.workspace import Workspace

# Read by Ray Train: workers import torch and the engine before they are ready, which takes long on a busy machine.
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "600")

STATE_FILE = "training.pt"
RESULT_FILE = "training.json"

_NAMED_PROBLEMS = 20


class TrainResult(Record):
    """What the train stage did. ``skipped`` says why there is no new checkpoint; empty when there is one.

    ``problems`` are recordings and shards that could not be read any more, with how often they were drawn.
    """

    skipped: str = ""
    steps: int = 0
    single_source_clips: int = 0
    itt_tracks: int = 0
    sst_clips: int = 0
    final_loss_db: float | None = None
    validation_sdri_db: float | None = None
    problems: dict[str, int] = {}


def train_round(
    workspace: Workspace, config: Config, round_number: int, progress: Progress = NO_PROGRESS
) -> TrainResult:
    """Retrain the round's starting checkpoint on single-source clips and the round's kept tracks.

    Writes ``checkpoint/`` of the round: the separator, and ``training.json`` with the curves.

    Raises:
        UserError: the batch cannot be shared by the workers, or the workspace cannot be written.
        RuntimeError: workers failed more often than ``workers.train_retries``.
    """
    workers = config.workers
    if config.train.batch_size % workers.train_workers:
        raise UserError(
            f"train.batch_size ({config.train.batch_size}) must be a multiple of "
            f"workers.train_workers ({workers.train_workers})"
        )
    counts = _material(workspace, round_number)
    if config.train.steps == 0:
        return TrainResult(skipped="train.steps is 0", **counts)
    if not any(counts.values()):
        return TrainResult(skipped="no single-source clip and no kept track to train on", **counts)

    key = _training_key(workspace, config, round_number)
    done = _finished(workspace, round_number, key)
    if done is None:
        with progress.task("train", config.train.steps) as task:
            _run_workers(workspace, config, round_number, key, task.advance)
        done = _finished(workspace, round_number, key)
        if done is None:
            raise RuntimeError("training ended without a checkpoint")
    workspace.round_storage(round_number).delete(STATE_FILE)
    problems: dict[str, int] = done["problems"]
    for problem in list(problems)[:3]:
        progress.say(f"training left out {problem}")
    loss = done["loss"][-10:]
    return TrainResult(
        steps=len(done["loss"]),
        final_loss_db=sum(loss) / len(loss),
        validation_sdri_db=done["validation_sdri_db"][-1] if done["validation_sdri_db"] else None,
        problems=problems,
        **counts,
    )


def _material(workspace: Workspace, round_number: int) -> dict[str, int]:
    """What there is to train on."""
    tiers: Counter[str] = Counter()
    natural, last = 0, ""
    for track in workspace.iter_tracks(round_number):
        tiers[track.tier] += 1
        if track.tier == "sst" and track.clip_id != last:  # a clip's tracks follow one another
            natural, last = natural + 1, track.clip_id
    return {
        "single_source_clips": sum(1 for _ in workspace.iter_training_clips()),
        "itt_tracks": tiers["itt"] + tiers["sst"],
        "sst_clips": natural,
    }


def _training_key(workspace: Workspace, config: Config, round_number: int) -> str:
    """What a state and a result belong to: another configuration or starting checkpoint makes them useless."""
    start = checkpoint_hash(workspace.current_checkpoint(before_round=round_number))
    return content_id(config.digest(), start, round_number)


def _finished(workspace: Workspace, round_number: int, key: str) -> dict[str, Any] | None:
    """The result of a training that is done, or None; it is published after the checkpoint."""
    folder = workspace.round_storage(round_number).child("checkpoint")
    if not folder.is_file(RESULT_FILE):
        return None
    result = json.loads(folder.read_bytes(RESULT_FILE))
    return result if result["key"] == key else None


def _run_workers(
    workspace: Workspace, config: Config, round_number: int, key: str, advance: Callable[[int], None]
) -> None:
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    start_ray(config)
    workers = config.workers
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    lasting = {"max_restarts": -1, "max_task_retries": -1}
    steps_done = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here, **lasting})
    with tempfile.TemporaryDirectory(prefix="data-engine-train-") as scratch, _listening(steps_done, advance):
        trainer = TorchTrainer(
            _train_worker,
            train_loop_config={
                "workspace": workspace.uri,
                "config": config.model_dump(mode="json"),
                "round_number": round_number,
                "key": key,
                "encoder": round_encoder(workspace, config),
                "steps_done": steps_done,
            },
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers.train_workers,
                use_gpu=workers.train_gpus > 0,
                resources_per_worker={"CPU": workers.train_cpus, "GPU": workers.train_gpus},
            ),
            run_config=ray.train.RunConfig(
                storage_path=scratch,
                failure_config=ray.train.FailureConfig(max_failures=workers.train_retries),
            ),
        )
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise _reason(error) from error
    steps_done.shutdown(force=True)  # an actor that is to last would be started again after it ended by itself


def _reason(error: Exception) -> Exception:
    """What made training fail: what the user can repair if that is among it, else a fault in one line."""
    failures = dict(sorted(getattr(error, "worker_failures", {}).items()))
    for failure in failures.values():
        if isinstance(failure, UserError):
            return failure
    for rank, failure in failures.items():
        return RuntimeError(f"training failed on rank {rank}: {_last_line(failure)}")
    return RuntimeError(f"training failed: {first_line(error)}")


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


@contextmanager
def _listening(steps_done: Any, advance: Callable[[int], None]) -> Iterator[None]:
    """Meanwhile, move the progress bar to the steps that workers put into the queue; Ray Train tells nobody.

    After a restart workers do some steps again; the bar waits for them.
    """
    finished = threading.Event()

    def listen() -> None:
        furthest = 0
        while not finished.is_set():
            step = max(steps_done.get_nowait_batch(steps_done.qsize()), default=0)
            if step > furthest:
                advance(step - furthest)
                furthest = step
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
    workspace = Workspace(task["workspace"])
    try:
        _train_rank(workspace, task)
    except OSError as error:
        if repair := repairable(error, workspace.uri):  # here, since causes do not survive the way to the driver
            raise repair from error
        raise


def _train_rank(workspace: Workspace, task: dict[str, Any]) -> None:
    import ray.train
    import ray.train.torch

    config = Config.model_validate(task["config"])
    round_number = int(task["round_number"])
    storage = workspace.round_storage(round_number)
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    torch.manual_seed(seed_of("train", config.seed, round_number))

    state = _load_state(workspace, round_number, task["key"])
    start_step = len(state["training"]["history"]["loss"]) if state else 0
    problems = Counter(state["problems"] if state and rank == 0 else {})
    separator = with_lora(load_separator(workspace.current_checkpoint(before_round=round_number)))
    model = ray.train.torch.prepare_model(separator)
    device = next(separator.parameters()).device
    encoder = task["encoder"]
    stream = SampleStream(
        workspace,
        config,
        round_number,
        length=separator.window_length,
        sample_rate_hz=separator.config.sample_rate_hz,
        rank=rank,
        world_size=world_size,
        start_step=start_step,
    )

    def batches():
        for step in iter_steps(stream, config.workers.train_loaders):
            problems.update(step.problems)
            yield collate(step.samples, encoder).to(device)

    draws = iter(validation_sampler(workspace, config, round_number, stream))
    validation = [
        collate([next(draws) for _ in range(4)], encoder).to(device)
        for _ in range(max(1, config.train.validation_mixtures // 4))
    ]

    def on_step(step: int, loss: float) -> None:
        if rank == 0:
            task["steps_done"].put_nowait(step)

    def on_checkpoint(training: Training) -> None:
        everywhere = _of_all_ranks(problems)
        if rank == 0:
            content = {"key": task["key"], "training": training.state_dict(), "problems": dict(everywhere)}
            with tempfile.TemporaryDirectory(prefix="data-engine-train-") as folder:
                torch.save(content, Path(folder) / STATE_FILE)
                storage.upload(Path(folder) / STATE_FILE, STATE_FILE)

    resume = state["training"] if state else None
    history = fit(
        model, batches(), validation, config.train, resume=resume, on_step=on_step, on_checkpoint=on_checkpoint
    )
    everywhere = _of_all_ranks(problems)
    if rank == 0:
        with workspace.writing_folder(round_number, "checkpoint") as folder:
            save_separator(merge_lora(separator), folder)
        named = dict(everywhere.most_common(_NAMED_PROBLEMS))
        result = {"key": task["key"], **vars(history), "problems": named}
        storage.child("checkpoint").write_bytes(RESULT_FILE, json.dumps(result).encode())


def _load_state(workspace: Workspace, round_number: int, key: str) -> dict[str, Any] | None:
    """The last state of this very training, or None."""
    storage = workspace.round_storage(round_number)
    if not storage.is_file(STATE_FILE):
        return None
    state = torch.load(io.BytesIO(storage.read_bytes(STATE_FILE)), map_location="cpu", weights_only=True)
    return state if state["key"] == key else None


def _of_all_ranks(problems: Counter[str]) -> Counter[str]:
    """Problems of all ranks together."""
    if ranks() == 1:
        return problems
    gathered: list[Counter[str]] = [Counter() for _ in range(ranks())]
    dist.all_gather_object(gathered, problems)
    return sum(gathered, Counter())
