"""The pages in a real browser: they render, filter, sort and play, from a file and from a web server, without an error.

Chromium comes from the distribution (``infra/setup.sh`` installs it); without it these tests are skipped.
"""

import functools
import http.server
import re
import threading
import time

import pytest

from pipeline.report import write_report
from pipeline.report.track_table import CHUNK_ROWS
from pipeline.workspace import Workspace
from tests.pipeline.report.browser import CHROMIUM, FLAGS, PHONE
from tests.pipeline.report.rounds import EVIL, add_round, big_workspace

playwright = pytest.importorskip("playwright.sync_api", reason="needs the dev extra: playwright")

MODES = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"color_scheme": "light", **PHONE},
    "dark phone": {"color_scheme": "dark", **PHONE},
}
CLIP = ".cliparticle"
OPEN_S, PAGE_MB = 2.0, 5.0


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium: sh infra/setup.sh installs it where apt-get can")
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """Opens addresses in new pages; at the end, no page may have met an error or asked for a file that is not there."""
    trouble: list[str] = []
    requested: list[str] = []
    contexts = []

    def open_(address: str, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda message: trouble.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.on("requestfailed", lambda request: trouble.append(f"{request.url}: {request.failure}"))
        page.on("dialog", lambda dialog: (trouble.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.goto(address)
        return page

    open_.requested = requested
    yield open_
    for context in contexts:
        context.close()
    assert [line for line in trouble if "ERR_ABORTED" not in line] == []  # a player that stops ends its download


@pytest.fixture(scope="module")
def server(written):
    """Address of a web server over the workspace."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(written.storage.local_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def address_of(workspace: Workspace, number: int = 1) -> str:
    return (workspace.local_folder(number, "report") / "index.html").as_uri()


def opened_listen(page):
    page.locator("#listen").scroll_into_view_if_needed()
    page.locator(CLIP).first.wait_for()
    return page.locator(CLIP)


def opened_tracks(page):
    page.locator("#tracks").scroll_into_view_if_needed()
    page.locator("#tracks-table tr.row").first.wait_for()
    return page.locator("#tracks-table tr.row")


def seconds_played(page, lane: int = 0) -> float:
    return page.locator(f"{CLIP} audio").nth(lane).evaluate("audio => audio.currentTime")


def until(condition, *, most_s: float = 20.0) -> None:
    """Wait for something that the page's policy lets nobody wait for inside of the page."""
    ends = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < ends, "did not happen"
        time.sleep(0.05)


@pytest.mark.parametrize("mode", MODES)
def test_pages_render_in_every_mode_without_overflow(open_page, written, mode):
    for address in (address_of(written), (written.storage.local_path / "report" / "index.html").as_uri()):
        page = open_page(address, **MODES[mode])
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 200) == mode.startswith("dark")
        assert page.locator("svg[role=img]").count() >= 5


def test_a_web_server_serves_the_same_pages(open_page, written, server):
    page = open_page(f"{server}/report/index.html")
    page.get_by_role("link", name="Round 2").first.click()
    assert page.locator("h1").inner_text() == "Round 2"
    page.get_by_role("link", name="← Round 1").click()
    assert opened_listen(page).count() > 0
    assert opened_tracks(page).count() > 0


def test_names_full_of_html_stay_text(open_page, written):
    page = open_page(address_of(written))
    opened_listen(page)
    opened_tracks(page).first.click()
    for place in ("#labels", "#listen", "#tracks", "#problems"):
        assert EVIL in page.locator(place).inner_text()
    page.locator("#tracks tr.open").wait_for()
    assert "<b>recordings" in page.locator("#tracks tr.open").inner_text()
    assert page.evaluate("[...document.scripts].every(script => script.src || script.type === 'application/json')")
    assert page.locator("main b", has_text="recordings").count() == 0


def test_the_table_of_labels_sorts_and_filters(open_page, written):
    page = open_page(address_of(written))
    rows = page.locator("#label-table tbody tr")
    heading = page.locator("#label-table thead").get_by_role("button", name="label")
    heading.click()
    first = rows.first.inner_text()
    heading.click()
    assert rows.first.inner_text() != first
    assert page.locator("#label-table th[aria-sort=descending]").count() == 1


def test_the_table_of_tracks_filters_sorts_and_tells_lineage(open_page, written):
    page = open_page(address_of(written))
    rows = opened_tracks(page)
    status = page.locator("#tracks-status")
    assert status.inner_text() == "1 to 24 of 24 tracks"
    page.locator("#tracks-controls").get_by_label("Decision").select_option("rejected")
    page.locator("#tracks-status", has_text="of 8 tracks").wait_for()
    assert set(rows.locator(".badge").all_inner_texts()) == {"rejected"}
    page.locator("#tracks-controls").get_by_label("Decision").select_option("")
    page.locator("#tracks-table thead").get_by_role("button", name="Re-SDR").click()
    page.locator("#tracks-table th[aria-sort=descending]").wait_for()
    scores = [float(row.locator("td.n").first.inner_text()) for row in rows.all()]
    assert scores == sorted(scores, reverse=True)
    page.locator("#tracks-controls").get_by_label("Score").select_option("re_sdr_db")
    page.locator("#tracks-controls").get_by_label("from").fill("15")
    page.locator("#tracks-status", has_text="of 8 tracks").wait_for()
    rows.first.get_by_role("button").press("Enter")
    lineage = page.locator("#tracks tr.open").inner_text()
    for words in ("recording", "separated with", "configuration", "round 1", "shards/u.tar", "tracks/u.parquet"):
        assert words in lineage


def test_the_table_of_tracks_resets_and_leads_to_what_can_be_heard(open_page, written):
    page = open_page(address_of(written))
    clip = opened_listen(page).first.get_attribute("data-clip")
    rows = opened_tracks(page)
    controls = page.locator("#tracks-controls")
    assert controls.get_by_label("from").is_disabled()
    controls.get_by_label("Decision").select_option("kept")
    page.locator("#tracks-status", has_text="of 16 tracks").wait_for()
    assert set(rows.locator(".badge").all_inner_texts()) == {"SST", "ITT"}
    controls.get_by_label("Score").select_option("re_sdr_db")
    assert controls.get_by_label("from").is_enabled()
    controls.get_by_role("button", name="Reset").click()
    page.locator("#tracks-status", has_text="of 24 tracks").wait_for()
    controls.get_by_label("Clip").fill(clip)
    page.locator("#tracks-status", has_text="of 2 tracks").wait_for()
    rows.first.get_by_role("button").press("Enter")
    page.locator("#tracks tr.open").get_by_role("link", name="to the clip and its tracks").click()
    until(lambda: page.locator(CLIP).count() == 1)
    assert page.locator(CLIP).get_attribute("data-clip") == clip
    page.locator("#listen-controls").get_by_role("button", name="Reset").click()
    until(lambda: page.locator(CLIP).count() > 1)


def test_scores_that_do_not_lead_are_a_click_away(open_page, workspace):
    scores = {"good_probability": 0.8, "expected_si_sdr_db": 7.0, "softness": 0.3}
    add_round(workspace, 1, scores=scores, calibration={"gate": "calibrated", "caution": 0.0, "known": ["Bark"]})
    write_report(workspace, 1)
    page = open_page(address_of(workspace))
    page.locator("#scores > details > summary").click()
    assert page.locator("#scores > details svg[role=img]").first.is_visible()
    opened_listen(page)
    lane = page.locator(f"{CLIP} .lane[data-kind=track]").first
    assert "Probability of good 0.80" in lane.inner_text()
    lane.get_by_text("more scores").click()
    assert "Softness 0.30" in lane.inner_text()
    row = opened_tracks(page).first
    row.click()
    page.locator("#tracks tr.open").wait_for()
    assert "Softness 0.30" in page.locator("#tracks tr.open").inner_text()
    headings = page.locator("#tracks-table thead")
    assert "Softness" not in headings.inner_text()
    page.locator("#tracks-controls").get_by_label("Score").select_option("softness")
    headings.get_by_role("button", name="Softness").wait_for()


def test_a_clip_to_listen_to_says_which_window_of_its_recording_it_is(open_page, written):
    page = open_page(address_of(written))
    assert re.search(r"\d+ & more\.wav, 0–1 s$", opened_listen(page).first.locator("header").inner_text())


@pytest.mark.parametrize("mode", ["light", "phone"])
def test_a_label_table_that_is_too_wide_shades_its_edge_and_keeps_the_labels_in_view(open_page, tmp_path, mode):
    workspace = big_workspace(tmp_path, tracks=60, calibrated=True)
    write_report(workspace, 1)
    table = open_page(address_of(workspace), **MODES[mode]).locator("#label-table")
    frame = table.locator("xpath=..")
    frame.scroll_into_view_if_needed()
    label = table.locator("tbody th").first
    before = label.bounding_box()["x"]
    assert "local" in frame.evaluate("frame => getComputedStyle(frame).backgroundAttachment")
    assert frame.evaluate("frame => (frame.scrollLeft = 400, frame.scrollLeft)") == 400
    assert label.bounding_box()["x"] == before


def test_the_listening_sample_filters_and_sorts(open_page, written):
    page = open_page(address_of(written))
    clips = opened_listen(page)
    everything = clips.count()
    page.locator("#listen-controls").get_by_label("Decision").select_option("rejected")
    assert 0 < clips.count() < everything
    assert set(clips.locator(".badge").all_inner_texts()) == {"rejected"}
    page.locator("#listen-controls").get_by_role("button", name="Reset").click()
    assert clips.count() == everything
    page.locator("#listen-controls").get_by_label("Sort by").select_option("re_sdr_db low")
    assert clips.first.locator(".badge").first.inner_text() == "rejected"
    page.locator("#listen-controls").get_by_label("Sort by").select_option("re_sdr_db high")
    assert clips.first.locator(".badge").first.inner_text() == "SST"


def test_a_label_of_a_problem_leads_to_its_clips(open_page, written):
    page = open_page(address_of(written))
    label = page.locator("[data-listen-label]").first
    wanted = label.inner_text()
    label.click()
    page.locator(CLIP).first.wait_for()
    until(lambda: page.locator("#listen-controls").get_by_label("Label", exact=True).input_value() == wanted)


def test_a_player_plays_and_other_lanes_go_on_at_the_same_place(open_page, written):
    page = open_page(address_of(written))
    buttons = opened_listen(page).first.locator(".play")
    assert page.locator(f"{CLIP} img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    buttons.first.click()
    until(lambda: seconds_played(page) > 0.2)
    assert buttons.first.get_attribute("aria-pressed") == "true"
    buttons.nth(1).click()
    until(lambda: seconds_played(page, lane=1) > 0.2)
    assert buttons.first.get_attribute("aria-pressed") == "false"
    assert page.locator(f"{CLIP} audio").first.evaluate("audio => audio.paused")


def test_every_audio_file_of_a_clip_decodes(open_page, written):
    page = open_page(address_of(written))
    opened_listen(page)
    lengths = (
        page.locator(CLIP)
        .first.locator("audio")
        .evaluate_all(
            """players => Promise.all(players.map(player => new Promise((done, fail) => {
             player.onloadedmetadata = () => done(player.duration);
             player.onerror = () => fail(player.error);
             player.preload = "metadata";
             player.load();
           })))"""
        )
    )
    assert lengths == pytest.approx([1.0] * 5)


def test_the_keyboard_alone_is_enough(open_page, written):
    page = open_page(address_of(written))
    buttons = opened_listen(page).first.locator(".play")
    buttons.first.focus()
    page.keyboard.press("Space")
    until(lambda: seconds_played(page) > 0.1)
    page.keyboard.press("ArrowDown")
    until(lambda: seconds_played(page, lane=1) > 0.1)
    assert buttons.nth(1).evaluate("button => button === document.activeElement")
    page.keyboard.press("n")
    second = page.locator(CLIP).nth(1).locator(".play").first
    assert second.evaluate("button => button === document.activeElement")


def test_every_figure_and_control_has_a_name(open_page, written):
    page = open_page(address_of(written))
    opened_listen(page)
    opened_tracks(page)
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, select, input, img, svg[role=img], [role=region]')]
             .filter(node => !(node.getAttribute('aria-label') || node.getAttribute('alt') || node.textContent.trim()
                               || (node.labels && node.labels.length)))
             .map(node => node.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("figure figcaption").count() == page.locator("figure").count()


def test_a_hundred_thousand_tracks_open_in_two_seconds(open_page, tmp_path):
    workspace = big_workspace(tmp_path, tracks=100_000)
    write_report(workspace, 1)
    folder = workspace.local_folder(1, "report")
    page_bytes = sum((folder / name).stat().st_size for name in ("index.html", "report.css", "report.js"))
    scripts = sum((folder / name).stat().st_size for name in ("listen.js", "tracks.js"))
    assert (page_bytes + scripts) / 1e6 < PAGE_MB
    opened_s = []
    while len(opened_s) < 3 and not (opened_s and opened_s[-1] < OPEN_S):  # what else the machine does only adds
        started = time.perf_counter()
        page = open_page(address_of(workspace))
        opened_s.append(time.perf_counter() - started)
    assert min(opened_s) < OPEN_S
    assert not [address for address in open_page.requested if "/data/" in address]
    rows = opened_tracks(page)
    assert len([address for address in open_page.requested if "/tracks-" in address]) == 1
    page.locator("#tracks-table thead").get_by_role("button", name="Re-SDR").click()
    page.locator("#tracks-table th[aria-sort=descending]").wait_for(timeout=20_000)
    scores = [float(row.locator("td.n").first.inner_text()) for row in rows.all()]
    assert scores == sorted(scores, reverse=True)
    assert page.locator("#tracks-status").inner_text() == "1 to 50 of 100,000 tracks"
    files = len(list((folder / "data").glob("tracks-*.js")))
    assert files == 100_000 // CHUNK_ROWS
