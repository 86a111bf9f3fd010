"""Work units in parallel: Ray Data streams them through a pool of workers that each hold one model.

``start_ray`` joins the cluster of ``RAY_ADDRESS``, or starts Ray in this process. A worker
(``pipeline.unit_workers``) is given a part of the plan at a time, reads its units from the workspace and commits them
there by itself, so no audio goes through Ray's object store, and a lost worker costs no more than the units in its
hands. While one of a worker's threads has the model, others decode the next clips and write the last ones.

A part that keeps killing its workers is put aside after ``workers.retries`` more attempts. In the end its clips are
tried one by one in a worker of their own; those that cannot be done get an outcome with the reason, and the rest of
their unit is done without them.

Example::

    for done in run_units(SeparateJob(workspace, config, 1), plan):
        print(done.unit_id, done.clips)
"""

import logging
import math
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast
from uuid import uuid4

from data_specs.config import Config
from data_specs.errors import UserError
from pipeline.unit_jobs import Resources, UnitJob
from pipeline.unit_workers import Alone, Attempts, Done, PartWorker
from pipeline.units import Plan

# Read by Ray at its import and start: no usage reports; workers are this environment's Python, also under ``uv run``;
# its C++ parts do not write to the terminal (Ray Data makes them warn of every pool).
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

# How long Ray waits for a worker that does not answer before it asks whether it is dead; its default is a minute.
_SYSTEM = {
    "core_worker_rpc_server_reconnect_timeout_base_s": 1,
    "core_worker_rpc_server_reconnect_timeout_max_s": 5,
}

CONNECT_S = 20.0

HOPELESS_UNITS = 3
"""So many units in a row without a clip that can be done are no accident any more."""


class DoneUnit(NamedTuple):
    """A committed work unit and how many clips it had."""

    unit_id: str
    clips: int


def start_ray(config: Config) -> None:
    """Join the cluster of ``RAY_ADDRESS``, or start Ray in this process; nothing happens when it runs already.

    Raises:
        UserError: ``RAY_ADDRESS`` is no address.
        ConnectionError: nothing answers there.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    _check_address(address)  # Ray would wait for minutes
    import ray  # takes a second: only those who need it pay

    if ray.is_initialized():
        return
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if not address:
        workers = config.workers
        options |= {
            "address": "local",
            "num_cpus": max(
                _own_cpus(),
                math.ceil(workers.tag_workers * workers.tag_cpus),
                math.ceil(workers.separate_workers * workers.separate_cpus),
                math.ceil(workers.train_workers * workers.train_cpus) + 1,  # Ray Train's controller takes one
            ),
            "object_store_memory": workers.object_store_mb * 2**20,
            "include_dashboard": False,
            "_system_config": _SYSTEM,
        }
    try:
        with _muted_stderr(), _same_sigterm():
            # It prints what it knows of lost workers to standard output, which is for the result of a command.
            ray._private.worker.print_to_stdstream = lambda *message, **how: None
            ray.init(**options)
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        raise RuntimeError("Ray did not start within its half minute: this machine is too busy, run again") from error


def _check_address(address: str) -> None:
    """Make sure that something answers at ``host:port`` or ``ray://host:port``; other words are Ray's to understand."""
    if address in ("", "auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"RAY_ADDRESS is {address!r}: give host:port, ray://host:port or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConnectionError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({reason.lower()}): "
            "start it, or unset RAY_ADDRESS to work on this machine"
        ) from error


@contextmanager
def _muted_stderr() -> Iterator[None]:
    """Meanwhile, what C++ code writes to the terminal goes nowhere: Ray reports its own log level there."""
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)


@contextmanager
def _same_sigterm() -> Iterator[None]:
    """Meanwhile, who has a use for SIGTERM keeps it: Ray would take it, even while it starts, to end the program."""
    import ray._private.utils as ray_utils

    taking = ray_utils.set_sigterm_handler
    if callable(signal.getsignal(signal.SIGTERM)):
        ray_utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        ray_utils.set_sigterm_handler = taking


def stop_ray() -> None:
    """Leave the cluster, or stop the Ray of this process; its processes and memory are free at once."""
    import ray

    ray.shutdown()


def run_units(job: UnitJob, plan: Plan) -> Iterator[DoneUnit]:
    """Do and commit the units of ``plan`` that are not committed yet, yielding each when it is.

    Raises:
        UserError: the model cannot be used, or the workspace cannot be written.
        RuntimeError: a worker failed; units that were committed stay so.
    """
    before = job.committed()
    parts = [name for name, units in plan.parts.items() if not units.keys() <= before]
    if not parts:
        return
    start_ray(job.config)
    put_aside = []
    for done in _stream(job, plan, parts):
        done.raise_error()
        if done.put_aside:
            put_aside.append(done.put_aside)
        elif done.unit_id not in before:
            yield DoneUnit(done.unit_id, done.clips)
    yield from _one_by_one(job, plan, put_aside)
    missing = set(plan.unit_ids) - job.committed()
    if missing:
        raise RuntimeError(f"{len(missing)} work units were lost, the first one {min(missing)}: run again")


def _stream(job: UnitJob, plan: Plan, parts: list[str]) -> Iterator[Done]:
    """What came of every unit, or of a part that was put aside, in the order in which they get done."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it would log as an error is raised as well
    resources = job.resources
    attempts = Attempts(uuid4().hex)
    dataset = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts)).flat_map(
        cast(Any, PartWorker),
        fn_constructor_args=(job, plan.storage, attempts),
        compute=ray.data.ActorPoolStrategy(
            size=min(_pool_size(resources), len(parts)),
            max_concurrent_calls_per_actor=job.config.workers.ahead,
            max_tasks_in_flight_per_actor=job.config.workers.ahead + 1,
            enable_true_multi_threading=True,
        ),
        num_cpus=resources.cpus,
        num_gpus=resources.gpus,
    )
    for row in dataset.iter_rows():
        yield Done(**row)
    attempts.forget()


def _pool_size(resources: Resources) -> int:
    """Configured workers, or as many as the cluster has CPUs and GPUs for."""
    import ray

    if resources.workers:
        return resources.workers
    room = ray.cluster_resources()
    fitting = [room.get("CPU", 0.0) / resources.cpus]
    if resources.gpus:
        fitting.append(room.get("GPU", 0.0) / resources.gpus)
    return max(1, math.floor(min(fitting)))


def _one_by_one(job: UnitJob, plan: Plan, parts: list[str]) -> Iterator[DoneUnit]:
    """Do the units of parts that were put aside, without the clips that cannot be done.

    Raises:
        RuntimeError: not a single clip can be done, so that it is hardly the clips' fault.
    """
    alone = Alone(job)
    hopeless = 0
    try:
        for unit in (unit for part in parts for unit in plan.units(part)):
            if job.is_committed(unit.unit_id):
                continue
            given_up = {}
            for clip, labels in zip(unit.clips, unit.labels, strict=True):
                just_this = unit.model_copy(update={"clips": (clip,), "labels": (labels,)})
                if trouble := alone.trouble(just_this, {}, commit=False):
                    given_up[clip.clip_id] = trouble
            trouble = alone.trouble(unit, given_up, commit=True)
            hopeless = hopeless + 1 if len(given_up) == len(unit.clips) else 0
            if trouble or hopeless == HOPELESS_UNITS:
                reason = trouble or next(iter(given_up.values()))
                raise RuntimeError(f"work unit {unit.unit_id} and its clips cannot be done: {reason}")
            yield DoneUnit(unit.unit_id, len(unit.clips))
    finally:
        alone.close()


def _own_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
