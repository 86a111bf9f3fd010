"""A Ray cluster of two nodes, each of its own processes: one dies in mid-round, and the round completes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util import placement_group, remove_placement_group

from pipeline.workspace import Workspace
from tests.round_process import PATIENCE_S, results, run_round, title_of

CPUS = 2
NODE = {"num_cpus": CPUS, "object_store_memory": 100 * 2**20, "include_dashboard": False}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head, and no second node yet."""
    started = Cluster(initialize_head=True, connect=True, head_node_args=NODE)
    yield started
    ray.shutdown()
    started.shutdown()


@contextmanager
def dying_node(cluster: Cluster, title: str, moment: Callable[[], bool]) -> Iterator[list[str]]:
    """A second node; it dies when it has a process of that title and the moment has come.

    It has the only free CPUs until then: those of the head are taken, and given back when it has died.
    """
    head = placement_group([{"CPU": CPUS}])
    assert head.wait(60)
    node = cluster.add_node(**NODE)
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    died: list[str] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            family = raylet.children(recursive=True)
            titles = [title_of(one) for one in family]
            if moment() and any(name.startswith(title) for name in titles):
                died.extend(titles)
                for one in [raylet, *family]:
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
                remove_placement_group(head)
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield died
    finally:
        over.set()
        thread.join()


@pytest.mark.timeout(3 * PATIENCE_S)
def test_a_round_completes_although_a_node_dies_in_each_of_its_long_stages(undisturbed, cluster, tmp_path):
    workers = undisturbed.config.workers.model_copy(update={"train_workers": 2})
    config = undisturbed.config.model_copy(update={"workers": workers})
    opened = Workspace(str(tmp_path / "spread"))

    def separating() -> bool:
        return 0 < len(opened.committed_units(1)) < 4

    def training() -> bool:
        return opened.round_storage(1).is_file("training.pt")

    with dying_node(cluster, "ray::MapWorker", separating) as first:
        run_round(opened.uri, config, last="separate", RAY_ADDRESS=cluster.address)
    assert first
    with dying_node(cluster, "ray::RayTrainWorker", training) as second:
        run_round(opened.uri, config, RAY_ADDRESS=cluster.address)
    assert second
    found = results(opened.uri)
    for name in ("counts", "tags", "tracks", "shards"):
        assert found[name] == undisturbed.results[name]
    for name in ("final_loss_db", "validation_sdri_db"):  # two ranks add up in another order than one
        assert found["training"][name] == pytest.approx(undisturbed.results["training"][name], abs=1e-3)
