"""Time and memory of `data-engine demo`, and of its rerun. Not a test: machines differ.

Run: .venv/bin/python -m tests.benchmarks.demo
"""

import shutil
import subprocess
import sys
import tempfile
import threading
import time

import psutil

COMMAND = [sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main())", "demo", "--workspace"]
SAMPLE_EVERY_S = 1.0


def memory_of_tree(process: psutil.Process) -> int:
    """Bytes of a process and all its descendants; pages that they share count once (PSS)."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def measure(workspace: str) -> tuple[float, float]:
    """Seconds and peak gigabytes of one run."""
    started = time.perf_counter()
    process = subprocess.Popen([*COMMAND, workspace])
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, memory_of_tree(psutil.Process(process.pid)))
            time.sleep(SAMPLE_EVERY_S)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    if process.wait() != 0:
        raise SystemExit("the demo failed")
    return time.perf_counter() - started, peak / 1e9


def main() -> None:
    """Print both figures for a first run of two rounds, and the time of a rerun."""
    workspace = tempfile.mkdtemp(prefix="data-engine-demo-")
    first_s, peak_gb = measure(workspace)
    rerun_s, _ = measure(workspace)
    shutil.rmtree(workspace)
    print(f"demo: {first_s:.0f} s (at most 360), peak memory {peak_gb:.2f} GB (at most 6), rerun {rerun_s:.1f} s")


if __name__ == "__main__":
    main()
