"""Claims: one holder at a time, whoever dies, on a disk and in a bucket."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from data_specs.errors import UserError
from pipeline import claim as claims
from pipeline.claim import FOLDER, LAPSE_S, LostClaimError, claimed
from pipeline.storage import Storage

HOLD = (
    "import sys, time; from pipeline.claim import claimed; from pipeline.storage import Storage\n"
    "with claimed(Storage(sys.argv[1]), purpose='run'): print('held', flush=True); time.sleep(60)"
)


@pytest.fixture(params=["disk", "bucket"])
def storage(request, tmp_path):
    return Storage(tmp_path / "w" if request.param == "disk" else request.getfixturevalue("s3"))


@pytest.fixture
def holder(storage):
    """Another process that holds the storage."""
    with subprocess.Popen([sys.executable, "-c", HOLD, storage.uri], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_run_is_refused_with_the_holder_in_the_message(storage, holder):
    started = time.monotonic()
    with (
        pytest.raises(UserError, match=rf"in use by another run \(process {holder.pid} on .*wait until"),
        claimed(storage, purpose="run"),
    ):
        pass
    assert time.monotonic() - started < 60
    assert len(storage.files(FOLDER)) == 1


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_the_storage_of_a_holder_that_ended_is_free_at_once(storage, holder, stop):
    holder.send_signal(stop)
    holder.wait()
    with claimed(storage, purpose="run"):
        assert len(storage.files(FOLDER)) == 1
    assert storage.files(FOLDER) == []


def write_foreign_claim(storage, age_s=0.0):
    storage.write_bytes(f"{FOLDER}/other.json", json.dumps({"host": "elsewhere", "machine": "m", "pid": 1}).encode())
    path = storage.local_path / FOLDER / "other.json"
    os.utime(path, (time.time() - age_s, time.time() - age_s))


def test_a_claim_of_another_machine_lapses_when_it_is_not_renewed(tmp_path):
    storage = Storage(tmp_path)
    write_foreign_claim(storage, age_s=LAPSE_S - 60)
    with pytest.raises(UserError, match=r"on elsewhere.*lapses in (60|[45]\d) s"), claimed(storage, purpose="run"):
        pass
    write_foreign_claim(storage, age_s=LAPSE_S + 1)
    with claimed(storage, purpose="run"):
        assert storage.files(FOLDER) != ["other.json"]


def test_a_holder_renews_its_claim_and_notices_when_it_was_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "RENEW_S", 0.05)
    storage = Storage(tmp_path)
    with claimed(storage, purpose="run") as claim:
        (name,) = storage.files(FOLDER)
        before = storage.times(FOLDER)[name]
        time.sleep(0.3)
        claim.check()
        assert storage.times(FOLDER)[name] > before
        storage.delete(f"{FOLDER}/{name}")
        time.sleep(0.3)
        with pytest.raises(LostClaimError, match="taken over by another run"):
            claim.check()
    assert not (tmp_path / FOLDER).exists()


def test_many_that_want_it_at_the_same_time_never_hold_it_together(storage):
    inside, most, done = 0, 0, 0
    lock = threading.Lock()

    def want():
        nonlocal inside, most, done
        try:
            with claimed(storage, purpose="run"):
                with lock:
                    inside, done = inside + 1, done + 1
                    most = max(most, inside)
                time.sleep(0.1)
                with lock:
                    inside -= 1
        except UserError:
            pass

    threads = [threading.Thread(target=want) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert done >= 1
