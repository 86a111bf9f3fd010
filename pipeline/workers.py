"""Separation in parallel: Ray Data streams work units through a pool of workers that each hold one separator.

The only module besides ``pipeline.train_workers`` that knows Ray. ``start_ray`` joins the cluster of ``RAY_ADDRESS``,
or starts Ray in this process. A worker commits its units to the workspace by itself and returns only counts, so no
audio goes through Ray's object store, and a lost worker costs no more than the unit in its hands.

Example::

    for done in separate_units(workspace, config, 1, units):
        print(done.unit_id, done.clips)
"""

import logging
import math
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, cast

import torch

from data_specs.config import Config
from data_specs.errors import UserError
from models.label_separator import LabelSeparator
from models.query_encoders import QueryEncoder
from pipeline.calibrate import load_gate
from pipeline.gate import Gate
from pipeline.label_queries import round_encoder
from pipeline.separate import Separator, WorkUnit, separate_unit
from pipeline.workspace import Workspace

# Read by Ray at its import and start: no usage reports; workers are this environment's Python, also under ``uv run``;
# its C++ parts do not write to the terminal (Ray Data makes them warn of every pool).
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

MAX_BLOCKS = 10_000


class DoneUnit(NamedTuple):
    """A committed work unit and how many clips it had."""

    unit_id: str
    clips: int


def start_ray(config: Config) -> None:
    """Join the cluster of ``RAY_ADDRESS``, or start Ray in this process; nothing happens when it runs already."""
    import ray  # takes a second: only those who need it pay

    if ray.is_initialized():
        return
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if not os.environ.get("RAY_ADDRESS"):
        workers = config.workers
        options |= {
            "address": "local",
            "num_cpus": max(
                _own_cpus(),
                math.ceil(workers.separate_workers * workers.separate_cpus),
                math.ceil(workers.train_workers * workers.train_cpus) + 1,  # Ray Train's controller takes one
            ),
            "object_store_memory": workers.object_store_mb * 2**20,
            "include_dashboard": False,
        }
    with _muted_stderr():
        ray.init(**options)


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


def stop_ray() -> None:
    """Leave the cluster, or stop the Ray of this process; its processes and memory are free at once."""
    import ray

    ray.shutdown()


def separate_units(
    workspace: Workspace,
    config: Config,
    round_number: int,
    units: Sequence[WorkUnit],
    *,
    load: Callable[[Config, str], Separator] | None = None,
) -> Iterator[DoneUnit]:
    """Separate and commit ``units`` with the round's starting checkpoint, yielding each when it is committed.

    Args:
        load: makes a worker's separator from the configuration and the checkpoint; by default ``load_separator`` with
            the vectors of the labels, so that workers hold no text encoder.

    Raises:
        UserError: the checkpoint cannot be used.
        RuntimeError: a worker failed; units that were committed stay so.
    """
    if not units:
        return
    load = load or partial(load_separator, encoder=round_encoder(workspace, config))
    start_ray(config)
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it would log as an error is raised as well
    rows = [{"unit": unit.model_dump_json()} for unit in units]
    workers = config.workers
    dataset = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_BLOCKS)).map(
        cast(Any, _UnitWorker),
        fn_constructor_args=(workspace, config, round_number, load),
        compute=ray.data.ActorPoolStrategy(size=min(workers.separate_workers, len(units))),
        num_cpus=workers.separate_cpus,
        num_gpus=workers.separate_gpus,
    )
    for row in dataset.iter_rows():
        if row["user_error"]:
            raise UserError(row["user_error"])
        if row["fault"]:
            fault = RuntimeError(f"work unit {row['unit_id']} failed: {row['fault'].splitlines()[-1]}")
            fault.add_note(row["fault"])
            raise fault
        yield DoneUnit(row["unit_id"], row["clips"])


def load_separator(config: Config, checkpoint: str, encoder: QueryEncoder | None = None) -> Separator:
    """The separator of a worker, on torch's default device."""
    model = config.model.model_copy(update={"checkpoint": checkpoint})
    return LabelSeparator.load(model, encoder, bf16=config.separate.bf16)


class _UnitWorker:
    """One process of the pool."""

    def __init__(
        self,
        workspace: Workspace,
        config: Config,
        round_number: int,
        load: Callable[[Config, str], Separator],
    ) -> None:
        self._workspace, self._config, self._round_number = workspace, config, round_number
        self._load = load
        self._separator: Separator | None = None
        self._previous: Separator | None = None
        self._gate: Gate | None = None
        self._device = torch.device("cuda" if config.workers.separate_gpus > 0 else "cpu")
        # Results depend on the number of threads in the last bits, so it comes from the configuration.
        torch.set_num_threads(max(1, math.floor(config.workers.separate_cpus)))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        unit = WorkUnit.model_validate_json(row["unit"])
        done = {"unit_id": unit.unit_id, "clips": len(unit.clips), "user_error": "", "fault": ""}
        try:
            with self._device:  # the separator, its queries and the mixtures are all made there
                self._work(unit)
        except UserError as error:
            done["user_error"] = str(error)
        except Exception:  # raised again by the driver; Ray would bury it in exceptions of its own
            done["fault"] = traceback.format_exc().strip()
        return done

    def _work(self, unit: WorkUnit) -> None:
        if self._separator is None:
            checkpoint = self._workspace.current_checkpoint(before_round=self._round_number)
            self._separator = self._load(self._config, checkpoint)
            self._gate = load_gate(self._workspace, self._config, self._round_number)
            before = self._workspace.previous_checkpoint(before_round=self._round_number)
            if before is not None and self._gate.needs_evidence:
                self._previous = self._load(self._config, before)
        result = separate_unit(unit, self._config, self._separator, self._gate, self._previous)
        self._workspace.commit_unit(self._round_number, unit.unit_id, result.tracks, result.shard)


def _own_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
