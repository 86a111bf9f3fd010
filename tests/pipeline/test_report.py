"""The report: complete for a finished round, whole for an unfinished one, and text from data stays text."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from data_specs.config import Config
from data_specs.records import Clip, StageCounts, Track, content_id
from pipeline.ledger import STAGES, RoundState
from pipeline.report import write_report
from pipeline.report_data import label_rows, summarise_tracks
from pipeline.report_figures import score_histogram, training_curve
from pipeline.shards import ShardItem, shard_bytes
from pipeline.workspace import Workspace
from tests.pipeline.tone_separator import RATE_HZ, tone

EVIL = '<script>alert("x")</script>'
CONFIG = Config.model_validate({"audio": {"sample_rate_hz": RATE_HZ, "clip_duration_s": 1.0}})
TIERS = {"sst": 18.0, "itt": 12.0, "rejected": 3.0}


class _Page(HTMLParser):
    """Collects tags, addresses and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data):
        self.text += f" {data}"


def statistics(mean):
    return {"mean": mean, "std": 2.0, "median": mean, "n": 7}


def metrics(mean):
    mode = {"sdri_db": statistics(mean), "si_sdri_db": statistics(mean - 1)}
    labels = {"Bark": {"sdri_db": mean, "n": 4}, EVIL: {"sdri_db": None, "n": 3}}
    return {"pos": mode, "pos_neg": mode, "labels": labels, "mixtures": 48, "set": "s", "checkpoint": "c"}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A finished round with clips of every tier; a label, a path and a reason are hostile."""
    workspace = Workspace.open(tmp_path / "workspace", CONFIG)
    folder = tmp_path / "<b>recordings"
    folder.mkdir()
    items, rows, clips = [], [], []
    for number in range(12):
        tier = ("sst", "itt", "rejected")[number % 3]
        clip_id = content_id(number)
        labels = ("Bark", EVIL)
        waveforms = np.stack([tone("Bark"), tone("Rain")])
        path = folder / f"{number} & more.wav"
        soundfile.write(path, waveforms.sum(axis=0), RATE_HZ)
        clip = Clip(clip_id=clip_id, path=str(path), labels=labels, duration_s=1.0)
        tracks = [
            Track(
                track_id=f"{clip_id}-{index}",
                clip_id=clip_id,
                label=label,
                index=index,
                tier=tier,
                re_sdr_db=TIERS[tier],
                re_si_sdr_db=TIERS[tier] - 0.5,
                energy_share_db=-3.0,
                duration_s=1.0,
                unit="u",
                shard="" if tier == "rejected" else "u.tar",
                outcome="dropped" if tier == "rejected" else "kept",
                reason=f"Re-SDR too low {EVIL}" if tier == "rejected" else "",
            )
            for index, label in enumerate(labels)
        ]
        clips.append(clip)
        rows += tracks
        items.append(ShardItem(clip, waveforms.sum(axis=0), tracks, waveforms))
    workspace.write_clips("natural", clips)
    workspace.commit_unit(1, "u", rows, shard_bytes(items, sample_rate_hz=RATE_HZ))
    workspace.round_storage(1).child("checkpoint").write_bytes(
        "training.json", b'{"step": [2, 4], "loss": [3.0, 2.0, 1.5, 1.0], "validation_sdri_db": [1.0, 2.0]}'
    )
    counts = StageCounts(inputs=14, kept=12, dropped=1, failed=1, reasons={f"bad {EVIL}": 1, "empty file": 1})
    workspace.write_round_state(
        RoundState(
            number=1,
            finished=STAGES[:-1],
            config=CONFIG.model_dump(mode="json"),
            counts={"ingest": counts, "gate": StageCounts.of(rows)},
            timings_s={"tag": 1.0, "separate": 70.0},
            training={"steps": 4, "final_loss_db": 1.0, "skipped": ""},
            metrics={"current": metrics(4.0), "candidate": metrics(4.5)},
            promotion={"promoted": True, "reason": "better", "current_sdri_db": 4.0, "candidate_sdri_db": 4.5},
        )
    )
    return workspace


def page_of(workspace) -> _Page:
    write_report(workspace, 1)
    return _Page((workspace.local_folder(1, "report") / "index.html").read_text("utf-8"))


def test_the_page_says_what_happened(workspace):
    text = re.sub(r"\s+", " ", page_of(workspace).text)
    for words in (
        "Promoted. better",
        "16 of 24 tracks kept",
        "SST 8 (33 %)",
        "rejected 8 (33 %)",
        "1 × empty file",
        "SDR improvement",
        "+0.50",
        "48 mixtures of held-out clips",
        "1 min 10 s",
        "final loss db",
    ):
        assert words in text


def test_labels_paths_and_reasons_stay_text(workspace):
    page = page_of(workspace)
    assert "script" not in page.tags
    assert "b" in page.tags
    assert page.text.count(EVIL) > 5
    assert "<b>recordings" in page.text


def test_every_address_is_a_file_beside_the_page(workspace):
    page = page_of(workspace)
    folder = workspace.local_folder(1, "report")
    assert {address.split("/")[0] for address in page.addresses} == {"figures", "audio"}
    for address in page.addresses:
        assert (folder / address).is_file()
    assert page.tags.count("img") == 3
    assert page.tags.count("audio") == 2 * 3 * 3


def test_examples_are_the_audio_of_the_shard(workspace):
    page_of(workspace)
    audio = workspace.local_folder(1, "report") / "audio"
    heard, rate = soundfile.read(next(audio.glob("*.0.flac")), dtype="float32")
    assert rate == RATE_HZ
    np.testing.assert_allclose(heard, tone("Bark"), atol=1e-4)
    assert all(soundfile.info(path).duration == 1.0 for path in audio.glob("*.mix.flac"))


def test_a_recording_that_vanished_only_costs_its_mixture(workspace):
    for clip in workspace.clips("natural"):
        (workspace.storage.local_path / clip.path).unlink()
    assert page_of(workspace).tags.count("audio") == 3 * 3 + 3 * 2


def test_the_same_round_gives_the_same_report(workspace):
    folder = workspace.local_folder(1, "report")
    write_report(workspace, 1)
    first = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_report(workspace, 1)
    assert first == {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("failure", ["", "separate: out of memory"])
def test_a_round_that_has_hardly_begun_has_a_report_too(tmp_path, failure):
    workspace = Workspace.open(tmp_path / "new", CONFIG)
    workspace.write_round_state(RoundState(number=1, failure=failure, config={"seed": 0}))
    page = page_of(workspace)
    assert "0 of 0 tracks kept" in re.sub(r"\s+", " ", page.text)
    assert failure in page.text
    assert not page.addresses


def test_a_candidate_without_figures_is_shown_as_such(workspace):
    state = workspace.round_state(1)
    broken = {**metrics(4.0), "pos_neg": {"sdri_db": {"mean": None, "std": None, "median": None, "n": 7}}}
    for candidate in (broken, {}):
        promotion = {"promoted": False, "reason": "no figure", "current_sdri_db": 4.0, "candidate_sdri_db": None}
        update = {"metrics": {"current": metrics(4.0), "candidate": candidate}, "promotion": promotion}
        workspace.write_round_state(state.model_copy(update=update))
        assert "Not promoted. no figure" in re.sub(r"\s+", " ", page_of(workspace).text)


def test_the_summary_counts_every_track_once_and_samples_by_id(workspace):
    tracks = workspace.tracks(1)
    summary = summarise_tracks(tracks)
    assert sum(summary.tiers.values()) == sum(row.tracks for row in summary.labels.values()) == len(tracks)
    assert summary.kept_s == sum(row.kept_s for row in label_rows(summary)) == 16.0
    for tier in ("sst", "itt"):
        ids = sorted({track.clip_id for track in tracks if track.tier == tier})
        assert list(summary.examples[tier]) == ids[:3]
        assert all(len(rows) == 2 for rows in summary.examples[tier].values())


def test_figures_take_empty_and_extreme_scores():
    assert score_histogram({}, "Re-SDR", thresholds_db={"ITT": 10.0}).rstrip().endswith("</svg>")
    extreme = {"sst": [-60.0, 120.0], "rejected": [0.0]}
    assert score_histogram(extreme, "Re-SDR", thresholds_db={"ITT": 10.0, "SST": 15.0}).rstrip().endswith("</svg>")
    assert training_curve({}) is None
    assert training_curve({"loss": [1.0]}) is not None
    assert training_curve({"step": [5], "loss": [2.0], "validation_sdri_db": [1.0]}) is not None
