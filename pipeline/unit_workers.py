"""The processes that do work units: the workers of the pool, and one apart for units that kill their workers.

``pipeline.workers`` starts them. A worker says what came of a unit in a ``Done``, errors included, and leaves raising
to the driver: Ray would bury an exception in exceptions of its own.

Example::

    worker = PartWorker(job, plan.storage, Attempts("one-stage"))        # in an actor of Ray Data
    rows = worker({"part": "00000.parquet"})
"""

import math
import threading
import time
import traceback
from typing import Any, NamedTuple

import torch

from data_specs.errors import UserError
from pipeline.faults import repairable, with_retries
from pipeline.memory import is_out_of_memory
from pipeline.storage import Storage
from pipeline.unit_jobs import GivenUp, UnitJob
from pipeline.units import WorkUnit, read_units

OUT_OF_MEMORY = "out of memory"
_NAMESPACE = b"data-engine-attempts"


class Done(NamedTuple):
    """What came of a unit, as it travels to the driver."""

    unit_id: str = ""
    clips: int = 0
    put_aside: str = ""
    user_error: str = ""
    fault: str = ""
    out_of_memory: bool = False

    def raise_error(self) -> None:
        """Raise what went wrong for a reason that is not the unit's."""
        if self.user_error:
            raise UserError(self.user_error)
        if self.fault:
            lines = self.fault.strip().splitlines()
            fault = RuntimeError(f"work unit {self.unit_id} failed: {lines[-1]}")
            fault.add_note(self.fault)
            raise fault


class Worker:
    """What every process that does units has: the job, and its model once that is needed."""

    def __init__(self, job: UnitJob) -> None:
        self._job = job
        self._model: Any = None
        self._loading = threading.Lock()
        # Results depend on the number of threads in the last bits, so it comes from the configuration.
        torch.set_num_threads(max(1, math.floor(job.resources.cpus)))

    def do(self, unit: WorkUnit, given_up: GivenUp, *, commit: bool = True) -> Done:
        """Work on a unit; what went wrong is in the result."""
        job, done = self._job, Done(unit_id=unit.unit_id, clips=len(unit.clips))
        try:
            with job.resources.device:  # the model, its queries and the mixtures are all made there
                result = job.do(self._loaded(), unit, given_up)
            if commit:
                with_retries(lambda: job.commit(unit, result), job.config.workers)
        except UserError as error:
            return done._replace(user_error=str(error))
        except Exception as error:  # raised again by the driver; Ray would bury it in exceptions of its own
            if is_out_of_memory(error):
                return done._replace(out_of_memory=True)
            repair = repairable(error, job.workspace.uri)
            return done._replace(user_error=str(repair)) if repair else done._replace(fault=traceback.format_exc())
        return done

    def _loaded(self) -> Any:
        with self._loading:
            if self._model is None:
                self._model = self._job.start()
        return self._model


class Attempts(NamedTuple):
    """How often a part was begun: tells a part that kills its workers from one that was unlucky once.

    The counts lie with the head of the cluster: Ray's memory monitor may kill any worker, one that only counts as well.
    """

    stage: str

    def begin(self, part: str) -> int:
        """How often this part was begun before."""
        from ray.experimental import internal_kv

        key = f"{self.stage}/{part}".encode()
        before = int(internal_kv._internal_kv_get(key, namespace=_NAMESPACE) or 0)
        internal_kv._internal_kv_put(key, str(before + 1).encode(), namespace=_NAMESPACE)
        return before

    def forget(self) -> None:
        """Remove the counts."""
        from ray.experimental import internal_kv

        internal_kv._internal_kv_del(f"{self.stage}/".encode(), del_by_prefix=True, namespace=_NAMESPACE)


class PartWorker(Worker):
    """One process of the pool; its threads do a part of the plan each."""

    def __init__(self, job: UnitJob, storage: Storage, attempts: Attempts) -> None:
        super().__init__(job)
        self._storage, self._attempts = storage, attempts

    def __call__(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        part = row["part"]
        if self._attempts.begin(part) > self._job.config.workers.retries:
            return [Done(put_aside=part)._asdict()]
        rows = []
        for unit in read_units(self._storage, part):
            if self._job.is_committed(unit.unit_id):
                rows.append(Done(unit_id=unit.unit_id, clips=len(unit.clips)))
                continue
            rows.append(self.do(unit, {}))
            if rows[-1].out_of_memory:
                return [one._asdict() for one in [*rows[:-1], Done(put_aside=part)]]
            if rows[-1].user_error or rows[-1].fault:
                break
        return [one._asdict() for one in rows]


class Alone:
    """A worker outside of the pool, replaced when it dies."""

    def __init__(self, job: UnitJob) -> None:
        self._job = job
        self._worker: Any = None

    def trouble(self, unit: WorkUnit, given_up: GivenUp, *, commit: bool) -> str:
        """Do the unit, again when that fails; "" when it was done, else what is wrong with it.

        Raises:
            UserError: the user can repair it.
            RuntimeError: a fault that is not the unit's.
        """
        import ray

        workers, resources = self._job.config.workers, self._job.resources
        trouble = ""
        for attempt in range(workers.retries + 1):
            if attempt:
                time.sleep(workers.retry_delay_s * 2 ** (attempt - 1))
            if self._worker is None:
                options = {"num_cpus": resources.cpus, "num_gpus": resources.gpus}
                self._worker = ray.remote(Worker).options(**options).remote(self._job)
            try:
                done = ray.get(self._worker.do.remote(unit, given_up, commit=commit))
            except ray.exceptions.OutOfMemoryError:
                trouble, self._worker = OUT_OF_MEMORY, None
                continue
            except ray.exceptions.RayActorError as error:
                trouble = OUT_OF_MEMORY if "low on memory" in str(error) else "the worker process died of it"
                self._worker = None
                continue
            done.raise_error()
            if not done.out_of_memory:
                return ""
            trouble = OUT_OF_MEMORY
            self.close()  # gives its memory back
        return f"{trouble}, {workers.retries + 1} times"

    def close(self) -> None:
        """End the process."""
        import ray

        if self._worker is not None:
            ray.kill(self._worker)
            self._worker = None
