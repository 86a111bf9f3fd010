"""The report as files: complete for a finished round, whole for an unfinished one, and text from data stays text."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from pipeline.calibration import Calibration
from pipeline.ledger import RoundState
from pipeline.report import write_overview, write_report
from pipeline.report.artifacts import round_artifacts
from pipeline.report.history import stored_summary
from pipeline.workspace import Workspace
from tests.pipeline.report.rounds import CONFIG, EVIL, QUIET, add_round, metrics
from tests.pipeline.tone_separator import RATE_HZ, tone

INLINE = ("a", "b", "code", "em", "span")


class Page(HTMLParser):
    """Collects tags, attributes, addresses and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.addresses: list[str] = []
        self.text = ""
        self.feed(html)
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.text += "" if tag in INLINE else " "
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data):
        self.text += data


def page_of(workspace, number=1) -> Page:
    return Page((workspace.local_folder(number, "report") / "index.html").read_text("utf-8"))


def in_sample(workspace, tier):
    """The first clip of a tier: samples take those with the smallest ids."""
    return min(track.clip_id for track in workspace.tracks(1) if track.tier == tier)


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_page_says_what_happened(written):
    text = page_of(written).text
    for words in (
        "16 of 24 tracks",
        "Of 14 clips 12 were separated into 24 tracks: 8 are SST, 8 are ITT, 8 were rejected.",
        "1 × empty file",
        "SDR improvement",
        "+0.50",
        "Separate took 99 % of 71 s.",
        "loss, mean of the last steps",
        "1 input of ingest failed",
        "The separator stays the old one: better.",
    ):
        assert words in text


def test_labels_paths_and_reasons_stay_text(written):
    page = page_of(written)
    assert page.text.count(EVIL) > 5
    assert page.tags.count("script") == 4  # the page's data and its three scripts
    assert "b" in page.tags


def test_the_page_holds_no_inline_style_and_no_inline_script(written):
    page = page_of(written)
    assert "style" not in page.tags
    assert not {name for name in page.attributes if name == "style" or name.startswith("on")}


def test_every_address_leads_to_a_file_or_a_section(written):
    page = page_of(written)
    folder = written.local_folder(1, "report")
    sections = {address for address in page.addresses if address.startswith("#")}
    for address in set(page.addresses) - sections - {"data:,"}:
        assert (folder / address).is_file(), address
    html = (folder / "index.html").read_text("utf-8")
    assert all(f'id="{address[1:]}"' in html for address in sections if address.startswith("#") and "-" not in address)


def test_tracks_of_a_shard_are_in_the_report_bit_for_bit(written):
    audio = written.local_folder(1, "report") / "audio"
    sst = in_sample(written, "sst")
    heard, rate = soundfile.read(audio / f"{sst}.0.flac", dtype="float32")
    assert rate == RATE_HZ
    np.testing.assert_allclose(heard, tone("Bark"), atol=1e-4)
    residual, _ = soundfile.read(audio / f"{sst}.residual.flac")
    assert np.abs(residual).max() < 1e-3


def test_rejected_clips_can_be_heard_as_well(written):
    audio = written.local_folder(1, "report") / "audio"
    parts = {path.name.split(".")[1] for path in audio.glob(f"{in_sample(written, 'rejected')}.*")}
    assert parts == {"mix", "0", "1", "remix", "residual"}


def test_a_recording_that_vanished_costs_what_has_to_be_cut_from_it(workspace):
    for clip in workspace.clips("natural"):
        (workspace.storage.local_path / clip.path).unlink(missing_ok=True)
    write_report(workspace, 1)
    audio = workspace.local_folder(1, "report") / "audio"
    found = {tier: len(list(audio.glob(f"{in_sample(workspace, tier)}.*"))) for tier in ("sst", "itt", "rejected")}
    assert found == {"sst": 5, "itt": 3, "rejected": 0}


def test_a_separator_that_changed_is_not_taken_for_the_rounds(workspace):
    state = workspace.round_state(1)
    workspace.write_round_state(state.having(checkpoint_in_hash="another"))
    write_report(workspace, 1)
    assert "Rejected tracks cannot be heard: the round's separator has changed since." in page_of(workspace).text


def test_the_same_round_gives_the_same_report_and_older_files_go(workspace):
    write_report(workspace, 1)
    first = files_of(workspace.local_folder(1, "report"))
    workspace.round_storage(1).child("report").write_bytes("audio/gone.0.flac", b"old")
    write_report(workspace, 1)
    assert first == files_of(workspace.local_folder(1, "report"))


def test_the_figures_of_the_page_are_kept_for_later_rounds(written):
    stored = stored_summary(written, written.round_state(1), CONFIG)
    assert stored.kept.tracks == 16
    assert stored.heard.checked == 6  # only a report knows this, the manifest does not


@pytest.mark.parametrize("failure", ["", "separate: out of memory"])
def test_a_round_that_has_hardly_begun_has_a_report_too(tmp_path, failure):
    workspace = Workspace.open(tmp_path / "new", CONFIG)
    calibration = {"gate": "calibrated", "caution": 0.0}
    state = RoundState(number=1, failure=failure, config={"seed": 0}, calibration=calibration)
    workspace.write_round_state(state)
    write_report(workspace, 1)
    page = page_of(workspace)
    assert "No tracks yet." in page.text
    assert failure in page.text


def test_a_candidate_without_figures_is_shown_as_such(workspace):
    state = workspace.round_state(1)
    broken = {**metrics(4.0), "pos_neg": {"sdri_db": {"mean": None, "std": None, "median": None, "n": 7}}}
    for candidate in (broken, {}):
        promotion = {"promoted": False, "reason": "no figure", "current_sdri_db": 4.0, "candidate_sdri_db": None}
        update = {"metrics": {"current": metrics(4.0), "candidate": candidate}, "promotion": promotion}
        workspace.write_round_state(state.model_copy(update=update))
        write_report(workspace, 1, config=QUIET)
        assert "The separator stays the old one: no figure." in page_of(workspace).text


def test_a_calibrated_gate_shows_what_its_probabilities_are_worth(workspace):
    calibration = Calibration(
        gate="calibrated",
        tracks=400,
        sources=80,
        scenes=200,
        good_share=0.41,
        auc=0.87,
        precision={"10%": {"stated": 0.93, "true": 0.9}},
        reliability=({"wanted": 0.7, "tracks": 40, "stated": 0.82, "true": 0.78},),
        known=("Bark",),
    )
    scores = {"good_probability": 0.8, "expected_si_sdr_db": 7.0, "softness": 0.3, "label_similarity": 0.5}
    add_round(workspace, 1, scores=scores, calibration=calibration.model_dump(mode="json"))
    write_report(workspace, 1, config=QUIET)
    text = page_of(workspace).text
    assert "best 10 % 93 % 90 % all 41 %" in text
    assert "400 tracks of 200 scenes" in text
    assert "A wanted probability of 0.70 for ITT keeps" in text
    assert "4 more scores" in text
    assert text.index("Probability of good: median") < text.index("Softness: median")
    markdown = round_artifacts(workspace, 1)[0].markdown
    assert "| best 10% | 93 % | 90 % |" in markdown
    assert "| 0.70 ITT | " in markdown


def test_the_overview_leads_to_every_round_and_shows_trends(written):
    page = Page((written.storage.local_path / "report" / "index.html").read_text("utf-8"))
    for number in (1, 2):
        assert f"../rounds/{number:03d}/report/index.html" in page.addresses
    assert "2 rounds, the last one kept 24 s of audio in 24 tracks." in page.text
    assert "The separator in use is that of the start; it improves held-out mixtures by 4.00 dB." in page.text
    assert "Round 1 kept 16 s, 67 %; round 2 kept 24 s, 100 % of the tracks." in page.text


def test_the_overview_speaks_of_the_separator_in_use(workspace):
    state = workspace.round_state(1)
    workspace.write_round_state(state.having(promotion={"promoted": True, "reason": "better"}))
    add_round(workspace, 2, sdri_db=4.2)
    write_overview(workspace)
    page = Page((workspace.storage.local_path / "report" / "index.html").read_text("utf-8"))
    assert "The separator in use improves held-out mixtures by 4.50 dB, +0.50 dB since the start." in page.text


def test_a_workspace_without_rounds_has_an_overview(tmp_path):
    workspace = Workspace.open(tmp_path / "new", CONFIG)
    write_overview(workspace)
    assert "No round has begun." in (workspace.storage.local_path / "report" / "index.html").read_text("utf-8")
