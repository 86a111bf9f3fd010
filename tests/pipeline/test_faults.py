"""A disk that fills up stops a round with one line that says so; with room again, the next run goes on."""

import errno
import subprocess

import pytest

from data_specs.config import WorkersConfig
from data_specs.filesystems import StorageError
from pipeline.faults import repairable, with_retries
from tests.round_process import PATIENCE_S, log_of, results, start_round

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with 1 MB, which ``mount -o remount,size=`` makes larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.timeout(4 * PATIENCE_S)
def test_a_full_disk_stops_the_round_with_one_line_and_the_next_run_goes_on(undisturbed, small_disk):
    tight = str(small_disk / "workspace")
    workers = undisturbed.config.workers.model_copy(update={"train_retries": 0})
    config = undisturbed.config.model_copy(update={"workers": workers})
    lines = []
    for size in ("1m", "3m", "200m"):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(small_disk)], check=True)
        if start_round(tight, config).wait(PATIENCE_S) == 0:
            break
        lines.append(log_of(tight).strip().splitlines()[-1])
    expected = f"no space left for {tight}: make room, then run again; what is finished stays finished"
    assert lines == [f"data_specs.errors.UserError: {expected}"] * 2
    assert results(tight) == undisturbed.results


def test_what_the_user_can_repair_is_found_among_the_causes():
    error = StorageError("cannot write /w/a")
    error.__cause__ = FULL
    assert str(repairable(error, "/w")).startswith("no space left for /w: make room, then run again")
    error = StorageError("cannot look up /w/a: [Errno 13] Permission denied")
    error.__cause__ = PermissionError(errno.EACCES, "Permission denied")
    assert str(repairable(error, "/w")).startswith("cannot look up /w/a: no permission: give it, then run again")
    assert str(repairable(error.__cause__, "/w")).startswith("cannot use /w: no permission: give it, then run again")
    assert repairable(StorageError("cannot write s3://w/a: 503"), "s3://w") is None
    assert repairable(ValueError("x"), "/w") is None


@pytest.mark.parametrize(("error", "calls"), [(StorageError("503"), 3), (FULL, 1)])
def test_a_write_is_tried_again_unless_only_the_user_can_help(error, calls):
    tried = []

    def fail() -> None:
        tried.append(1)
        raise error

    with pytest.raises(OSError, match=str(error.args[-1])):
        with_retries(fail, WorkersConfig(retries=2, retry_delay_s=0.0))
    assert len(tried) == calls


def test_a_write_that_succeeds_later_is_a_success():
    errors = [StorageError("503"), StorageError("reset")]

    def fail_twice() -> None:
        if errors:
            raise errors.pop()

    with_retries(fail_twice, WorkersConfig(retries=2, retry_delay_s=0.0))
    assert errors == []
