"""Work units: fixed slices, one row per track whatever happens, the same bytes on a redo."""

import io
import pickle

import numpy as np
import pytest
import soundfile

from data_specs.config import Config
from data_specs.records import Clip, StageCounts, content_id
from pipeline.separate import separate_unit
from pipeline.shards import iter_shard, verify_shard
from pipeline.units import WorkUnit
from tests.pipeline.band_separator import BandSeparator

CONFIG = Config.model_validate({"audio": {"sample_rate_hz": 8000}})


@pytest.fixture
def clips(tmp_path) -> list[Clip]:
    """Five clips of noise, the last one shorter."""
    made = []
    for number in range(5):
        samples = 4000 if number < 4 else 3000
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(number).normal(size=samples), 8000)
        made.append(Clip(clip_id=content_id(number), path=str(path), duration_s=samples / 8000))
    return made


def unit_of(clips, labels=("Rain", "Bark", "Speech")) -> WorkUnit:
    return WorkUnit(unit_id="000000-ab", clips=tuple(clips), labels=(labels,) * len(clips))


def test_every_label_gives_a_row_with_scores_and_lineage(clips):
    unit = unit_of(clips)
    result = separate_unit(unit, CONFIG, BandSeparator("weights"))
    assert [(track.clip_id, track.index) for track in result.tracks] == [
        (clip.clip_id, index) for clip in clips for index in range(3)
    ]
    first = result.tracks[0]
    assert first.negative_labels == ("Bark", "Speech")
    assert first.tier == "sst"
    assert first.outcome == "kept"
    assert first.re_sdr_db > 60
    assert first.energy_share_db == pytest.approx(-4.8, abs=0.5)
    assert first.duration_s == 0.5
    assert result.tracks[-1].duration_s == 0.375
    assert (first.checkpoint, first.config_hash, first.unit) == ("weights", CONFIG.digest(), unit.unit_id)
    assert first.shard == f"{unit.unit_id}.tar"
    assert len({track.track_id for track in result.tracks}) == 15


def test_tracks_keep_the_length_of_their_clip_and_sum_to_it(clips):
    unit = unit_of(clips)
    shard = separate_unit(unit, CONFIG, BandSeparator()).shard
    assert verify_shard(io.BytesIO(shard)) == []
    for sample, clip in zip(iter_shard(io.BytesIO(shard)), clips, strict=True):
        mixture, _ = soundfile.read(clip.path, dtype="float32")
        np.testing.assert_allclose(sum(sample.tracks.values()), mixture, atol=2**-13)


def test_clips_of_equal_length_share_a_batch(clips):
    separator = BandSeparator()
    separate_unit(unit_of(clips), CONFIG.model_copy(update={"separate": CONFIG.separate}), separator)
    assert separator.batch_sizes == [4, 1]


def test_a_redo_gives_the_same_rows_and_bytes(clips):
    unit = unit_of(clips)
    first, second = (separate_unit(unit, CONFIG, BandSeparator()) for _ in range(2))
    assert first == second


def test_what_the_gate_rejects_is_a_row_with_its_reason_and_in_no_shard(clips):
    unit = unit_of(clips)
    result = separate_unit(unit, CONFIG, BandSeparator(share=0.5))  # half of every track is 6 dB away
    assert result.shard is None
    assert {(track.tier, track.outcome, track.shard) for track in result.tracks} == {("rejected", "dropped", "")}
    assert {track.reason for track in result.tracks} == {"Re-SDR not above 10 dB"}


def test_a_clip_that_fails_costs_only_its_own_rows(clips, tmp_path):
    (tmp_path / "1.wav").unlink()
    unit = unit_of(clips)
    unit = unit.model_copy(update={"labels": (*unit.labels[:2], ("Bad label", "Rain"), *unit.labels[3:])})
    result = separate_unit(unit, CONFIG, BandSeparator())
    failed = {(track.clip_id, track.reason) for track in result.tracks if track.outcome == "failed"}
    assert failed == {
        (clips[1].clip_id, "missing file"),
        (clips[2].clip_id, "separation failed: cannot digest this clip"),
    }
    counts = StageCounts.of(result.tracks)
    assert (counts.inputs, counts.kept, counts.failed) == (14, 9, 5)
    assert len(list(iter_shard(io.BytesIO(result.shard)))) == 3


def test_a_clip_that_was_given_up_is_not_touched_and_fails_with_the_reason(clips):
    unit = unit_of(clips[:2])
    separator = BandSeparator()
    result = separate_unit(unit, CONFIG, separator, given_up={clips[0].clip_id: "out of memory, 3 times"})
    assert {(track.clip_id, track.reason) for track in result.tracks if track.outcome == "failed"} == {
        (clips[0].clip_id, "out of memory, 3 times")
    }
    assert separator.batch_sizes == [1]
    assert result.tracks[3:] == separate_unit(unit, CONFIG, BandSeparator()).tracks[3:]


def test_batches_hold_as_many_seconds_of_tracks_as_memory_allows(clips):
    config = CONFIG.model_copy(update={"separate": CONFIG.separate.model_copy(update={"batch_track_s": 3.0})})
    separator = BandSeparator()
    separate_unit(unit_of(clips), config, separator)  # 1.5 s of tracks per clip, less for the last one
    assert separator.batch_sizes == [2, 2, 1]


def test_tracks_that_are_not_finite_are_failures(clips):
    unit = unit_of(clips[:1])
    (reason,) = {track.reason for track in separate_unit(unit, CONFIG, BandSeparator(share=float("nan"))).tracks}
    assert reason == "separation failed: the separated tracks are not finite"


def test_units_and_results_can_be_sent_between_processes(clips):
    unit = unit_of(clips)
    result = separate_unit(unit, CONFIG, BandSeparator())
    assert pickle.loads(pickle.dumps(unit)) == unit
    assert pickle.loads(pickle.dumps(result)) == result
