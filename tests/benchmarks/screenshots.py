"""Pictures of a workspace's reports for the documents: the last round in light and dark, its listening part, a phone.

Run: .venv/bin/python -m tests.benchmarks.screenshots WORKSPACE docs/images
"""

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from pipeline.workspace import Workspace
from tests.pipeline.report.browser import CHROMIUM, FLAGS, PHONE

DESKTOP = {"viewport": {"width": 1280, "height": 860}}
GLANCE = {"viewport": {"width": 1280, "height": 1120}}
"""As high as what the page says at a glance."""
MIXTURE_S = 1.6


def main() -> None:
    """Write ``report-*.png`` into the folder that is given."""
    workspace, out = Workspace(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    number = workspace.round_numbers()[-1]
    address = (workspace.local_folder(number, "report") / "index.html").as_uri()
    overview = (Path(workspace.uri) / "report" / "index.html").as_uri()
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        _opened(browser, address, GLANCE).screenshot(path=out / "report-round.png")
        _opened(browser, overview, DESKTOP).screenshot(path=out / "report-rounds.png")
        _listening(_opened(browser, address, {**DESKTOP, "color_scheme": "dark"})).screenshot(
            path=out / "report-listen.png"
        )
        _opened(browser, address, {**PHONE, "device_scale_factor": 2}).screenshot(path=out / "report-phone.png")
        browser.close()
    for path in sorted(out.glob("report-*.png")):
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def _opened(browser: Browser, address: str, options: dict) -> Page:
    page = browser.new_context(**options).new_page()
    page.goto(address)
    return page


def _listening(page: Page) -> Page:
    """The first clip of the sample, paused while it plays."""
    page.locator("#listen").scroll_into_view_if_needed()
    page.locator(".cliparticle").first.wait_for()
    page.get_by_label("Sort by").last.select_option("re_sdr_db high")
    page.locator(".cliparticle .play").nth(1).click()
    page.evaluate("document.querySelector('.cliparticle').scrollIntoView()")
    audio = page.locator(".cliparticle audio").nth(1)
    while audio.evaluate("audio => audio.currentTime") < MIXTURE_S:
        page.wait_for_timeout(50)
    return page


if __name__ == "__main__":
    main()
