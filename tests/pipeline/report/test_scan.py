"""The pass over the manifest: counts add up, thresholds count as the gate does, samples depend on ids alone."""

from collections import Counter
from types import SimpleNamespace

import pyarrow as pa
import pytest

from data_specs.config import Config
from data_specs.records import Track, content_id, table_of
from pipeline.gate import PaperGate
from pipeline.report.scan import ClipSample, Totals, track_batches
from pipeline.report.summary import TIERS, gate_thresholds
from pipeline.workspace import Workspace
from tests.pipeline.report.rounds import EVIL, tracks_of


@pytest.fixture
def summary(workspace):
    config = Config()
    totals = Totals(config, {})
    for batch in track_batches(workspace, 1):
        totals.add(batch)
    return totals.summary(workspace, 1, config)


def batch_of(rows) -> pa.Table:
    return table_of(Track, rows)


def summarised(rows, workspace):
    totals = Totals(Config(), {})
    totals.add(batch_of(rows))
    return totals.summary(workspace, 1, Config())


def test_every_track_is_counted_once_everywhere(workspace, summary):
    tracks = workspace.tracks(1)
    tiers = Counter(track.tier for track in tracks)
    assert {tier: amount.tracks for tier, amount in summary.tiers.items()} == tiers
    assert sum(row.all.tracks for row in summary.labels) == summary.tracks == len(tracks)
    assert sum(row.kept.seconds for row in summary.labels) == summary.kept.seconds == 16.0
    assert sum(figures.tracks for figures in summary.scores.values()) == 3 * len(tracks)
    assert sum(summary.reasons.values()) == tiers["rejected"]
    assert summary.clips == 12
    assert summary.clips_s == 12.0


def test_a_share_of_zero_is_drawn_right_of_zero(workspace):
    figures = summarised(tracks_of("a", "sst", silence_share=0.0), workspace).scores["silence_share"]
    assert figures.of(TIERS) == {0: 2}
    assert figures.quantile(0.5) >= 0.0


def test_failed_rows_are_no_tracks(workspace):
    rows = tracks_of("a", "sst")
    failed = [row.model_copy(update={"outcome": "failed", "tier": "rejected", "reason": "broken"}) for row in rows]
    assert summarised(failed, workspace).tracks == 0


def test_categories_hold_single_source_clips_and_labels_without_a_category(summary):
    found = {row.category: row for row in summary.categories}
    assert found["Animal"].single_source_s == 30.0
    assert found["Animal"].total_s == 30.0 + 8.0
    assert found["Not in the ontology"].tiers_s == {"sst": 4.0, "itt": 4.0, "rejected": 4.0}


@pytest.mark.parametrize("score_db", [9.99, 10.0, 10.01, 14.99, 15.0, 15.01])
def test_a_threshold_keeps_exactly_what_the_gate_keeps(workspace, score_db):
    rows = tracks_of("a", "sst", re_sdr_db=score_db, re_si_sdr_db=40.0)
    scored = SimpleNamespace(labels=["Bark"], scores=[{"re_sdr_db": score_db, "re_si_sdr_db": 40.0}])
    ((decision,),) = PaperGate(Config().gate).decide([scored])
    summary = summarised(rows, workspace)
    assert bool(summary.yield_at(10.0).tracks) == (decision.tier != "rejected")
    assert bool(summary.yield_at(15.0).clips) == (decision.tier == "sst")


def test_the_thresholds_of_a_round_are_those_that_decided():
    config = Config.model_validate({"gate": {"preset": "calibrated", "itt_probability": 0.8}})
    wanted = gate_thresholds(config, {"gate": "calibrated", "caution": 0.5})
    assert wanted["good_probability"]["itt"] == pytest.approx(0.9)
    assert set(gate_thresholds(config, {"gate": "paper", "caution": 0.0})) == {"re_sdr_db", "re_si_sdr_db"}


def test_the_median_of_a_score_is_within_a_bin(workspace):
    rows = [
        row for place in range(101) for row in tracks_of(f"{place:03d}", "sst", labels=("Bark",), re_sdr_db=place / 10)
    ]
    figures = summarised(rows, workspace).scores["re_sdr_db"]
    assert figures.quantile(0.5) == pytest.approx(5.0, abs=figures.width)
    assert summarised(rows, workspace).labels[0].medians["re_sdr_db"] == pytest.approx(5.0, abs=0.5)


def test_nearly_silent_tracks_count_when_they_are_kept(workspace):
    rows = tracks_of("a", "sst", energy_share_db=-31.0) + tracks_of("b", "rejected", energy_share_db=-90.0)
    summary = summarised(rows, workspace)
    assert summary.near_silent == 2
    assert {row.label: row.near_silent for row in summary.labels} == {"Bark": 1, EVIL: 1}


def test_labels_that_share_clips_are_counted_both_ways(workspace):
    rows = tracks_of("a", "sst") + tracks_of("b", "sst") + tracks_of("c", "sst", labels=("Bark",))
    summary = summarised(rows, workspace)
    assert summary.together_labels == ("Bark", EVIL)
    assert summary.together == ((3, 2), (2, 2))


def test_the_sample_has_every_label_in_every_tier_whatever_the_order():
    rows = [row for n in range(300) for row in tracks_of(content_id(n), TIERS[n % 3], labels=("Bark", f"L{n % 7}"))]
    samples = []
    for order in (rows, rows[::-1]):
        sample = ClipSample(per_label=2, most=1000)
        for start in range(0, len(order), 100):
            sample.add(batch_of(order[start : start + 100]))
        samples.append(sample.clips())
    assert samples[0] == samples[1]
    chosen = [row for row in rows if row.clip_id in samples[0]]
    per_stratum = Counter((row.label, row.tier) for row in chosen)
    assert all(per_stratum[label, tier] >= 2 for label in ("Bark", "L0", "L6") for tier in TIERS)


def test_a_full_sample_still_has_something_of_everything():
    rows = [
        row for n in range(300) for row in tracks_of(content_id(n), TIERS[n % 3], labels=(f"A{n % 48}", f"L{n % 50}"))
    ]
    sample = ClipSample(per_label=5, most=12)
    sample.add(batch_of(rows))
    assert len(sample.clips()) == 12
    tiers = Counter(row.tier for row in rows if row.clip_id in sample.clips())
    assert min(tiers[tier] for tier in TIERS) >= 2 * 3


def test_small_manifest_parts_are_read_as_one_batch(workspace):
    for part in range(5):
        workspace.commit_unit(1, f"v{part}", tracks_of(f"x{part}", "rejected"), None)
    (batch,) = track_batches(workspace, 1)
    assert len(batch) == 24 + 10


def test_a_round_without_tracks_has_figures(tmp_path):
    workspace = Workspace.open(tmp_path / "w", Config())
    summary = Totals(Config(), {}).summary(workspace, 1, Config())
    assert (summary.tracks, summary.yields, summary.kept_share) == (0, (), None)


def test_tracks_are_counted_by_where_they_come_from_and_clips_without_tracks_are_none(workspace):
    asked, heard = tracks_of("a", "sst"), tracks_of("b", "itt")
    heard = [row.model_copy(update={"source": "label_free"}) for row in heard]
    nothing = {"label": "", "source": "label_free", "outcome": "dropped", "tier": "rejected", "reason": "one label"}
    rows = [*asked, *heard, heard[0].model_copy(update={"clip_id": "c", **nothing})]
    found = summarised(rows, workspace)
    assert found.tracks == len(asked) + len(heard)
    assert found.sources["labels"]["sst"].tracks == len(asked)
    assert found.sources["label_free"]["itt"].tracks == len(heard)
    assert found.reasons == {}
    sample = ClipSample(per_label=5, most=9)
    sample.add(batch_of(rows))
    assert set(sample.clips()) == {"a", "b"}


def test_manifests_from_before_there_were_sources_are_of_label_queries(workspace, monkeypatch):
    tables = [table_of(Track, tracks_of("a", "sst")).drop_columns(["source"])]
    monkeypatch.setattr(Workspace, "track_tables", lambda self, number: iter(tables))
    (batch,) = track_batches(workspace, 1)
    assert set(batch["source"].to_pylist()) == {"labels"}
