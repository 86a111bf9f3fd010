"""Ray Train runs a round's training: data-parallel workers that each call ``pipeline.train_rank``.

When a worker dies, Ray Train starts all of them again and they go on from the last state; so does a rerun of the round
after its driver died. Local by default, on a cluster by ``RAY_ADDRESS``.

Example::

    run_training(TrainTask(workspace, config, 1, key, encoder), advance=bar.advance)
"""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from data_specs.errors import UserError
from data_specs.filesystems import first_line
from pipeline.faults import repairable
from pipeline.train_rank import TrainTask, train_rank
from pipeline.workers import start_ray

# Read by Ray Train: workers import torch and the engine before they are ready, which takes long on a busy machine.
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "600")


def run_training(task: TrainTask, advance: Callable[[int], None]) -> None:
    """Have ``config.workers.train_workers`` ranks train; ``advance`` is told how many steps were done since.

    Raises:
        UserError: workers failed by what the user can repair.
        RuntimeError: workers failed more often than ``workers.train_retries``.
    """
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    start_ray(task.config)
    workers = task.config.workers
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    lasting = {"max_restarts": -1, "max_task_retries": -1}
    steps_done = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here, **lasting})
    with tempfile.TemporaryDirectory(prefix="data-engine-train-") as scratch, _listening(steps_done, advance):
        trainer = TorchTrainer(
            _train_worker,
            train_loop_config={"task": task, "steps_done": steps_done},
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


def _train_worker(told: dict[str, Any]) -> None:
    """One worker, as Ray Train runs it."""
    import ray.train
    import ray.train.torch

    task: TrainTask = told["task"]
    context = ray.train.get_context()
    rank = context.get_world_rank()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))

    def on_step(step: int) -> None:
        if rank == 0:
            told["steps_done"].put_nowait(step)

    try:
        train_rank(
            task,
            rank=rank,
            world_size=context.get_world_size(),
            prepare=ray.train.torch.prepare_model,
            on_step=on_step,
        )
    except OSError as error:
        if repair := repairable(error, task.workspace.uri):  # here, since causes do not survive the way to the driver
            raise repair from error
        raise


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
