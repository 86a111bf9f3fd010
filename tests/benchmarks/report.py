"""Time, memory and size of a report of many tracks, and how long Chromium takes to open it. Not a test.

Of a round by the paper's gate, and of one by a calibrated gate, which leaves 25 scores per track.

Run: .venv/bin/python -m tests.benchmarks.report [TRACKS]
"""

import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from pipeline.report import write_report
from tests.pipeline.report.browser import CHROMIUM, FLAGS
from tests.pipeline.report.rounds import big_workspace

MB = 1e6


def main() -> None:
    """Print the figures for 100,000 tracks, or as many as asked for."""
    tracks = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for gate in ("paper", "calibrated"):
        measure(tracks, gate)


def measure(tracks: int, gate: str) -> None:
    """Print the figures of one report."""
    folder = Path(tempfile.mkdtemp(prefix="data-engine-report-"))
    workspace = big_workspace(folder, tracks=tracks, calibrated=gate == "calibrated")
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    started = time.perf_counter()
    write_report(workspace, 1)
    written_s = time.perf_counter() - started
    grown_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 - before_mb
    report = workspace.local_folder(1, "report")
    page_mb = sum(path.stat().st_size for path in report.iterdir() if path.suffix in (".html", ".css", ".js")) / MB
    data_mb = sum(path.stat().st_size for path in (report / "data").iterdir()) / MB
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        started = time.perf_counter()
        page.goto((report / "index.html").as_uri())
        opened_s = time.perf_counter() - started
        page.locator("#tracks").scroll_into_view_if_needed()
        page.locator("#tracks-table tr.row").first.wait_for()
        started = time.perf_counter()
        page.locator("#tracks-table thead").get_by_role("button", name="Energy share").click()
        page.locator("#tracks-table th[aria-sort=descending]").wait_for()
        sorted_s = time.perf_counter() - started
        browser.close()
    shutil.rmtree(folder)
    print(
        f"{gate} gate, report of {tracks:,} tracks: written in {written_s:.1f} s with {grown_mb:.0f} MB more memory; "
        f"page {page_mb:.2f} MB (at most 5), opens in {opened_s:.2f} s (at most 2); "
        f"data on demand {data_mb:.1f} MB, all tracks loaded and sorted in {sorted_s:.2f} s"
    )


if __name__ == "__main__":
    main()
