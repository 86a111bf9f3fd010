"""Work units: fixed slices, one row per track whatever happens, the same bytes on a redo."""

import io
import pickle

import numpy as np
import pytest
import soundfile

from data_specs.config import Config
from data_specs.records import Clip, StageCounts, TaggedClip, content_id
from pipeline.separate import separate_unit, work_units
from pipeline.shards import iter_shard, verify_shard
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


def tagged(clips, labels=("Rain", "Bark", "Speech")) -> list[TaggedClip]:
    return [TaggedClip(clip_id=clip.clip_id, labels=labels, scores=(1.0,) * len(labels)) for clip in clips]


def test_units_are_slices_of_the_tagged_clips_in_order(clips):
    tags = [*tagged(clips[:4]), TaggedClip(clip_id=clips[4].clip_id, outcome="dropped", reason="one label")]
    units = work_units(clips, tags, 3)
    assert [[clip.clip_id for clip in unit.clips] for unit in units] == [
        [clip.clip_id for clip in clips[:3]],
        [clips[3].clip_id],
    ]
    assert units == work_units(clips, tags, 3)
    assert len({unit.unit_id for unit in units}) == 2


def test_other_labels_or_clips_give_another_id(clips):
    ids = {
        work_units(clips[:2], tagged(clips), 2)[0].unit_id,
        work_units(clips[1:3], tagged(clips), 2)[0].unit_id,
        work_units(clips[:2], tagged(clips, ("Rain", "Bark")), 2)[0].unit_id,
    }
    assert len(ids) == 3


def test_every_label_gives_a_row_with_scores_and_lineage(clips):
    (unit,) = work_units(clips, tagged(clips), 16)
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
    (unit,) = work_units(clips, tagged(clips), 16)
    shard = separate_unit(unit, CONFIG, BandSeparator()).shard
    assert verify_shard(io.BytesIO(shard)) == []
    for sample, clip in zip(iter_shard(io.BytesIO(shard)), clips, strict=True):
        mixture, _ = soundfile.read(clip.path, dtype="float32")
        np.testing.assert_allclose(sum(sample.tracks.values()), mixture, atol=2**-13)


def test_clips_of_equal_length_share_a_batch(clips):
    separator = BandSeparator()
    separate_unit(
        work_units(clips, tagged(clips), 16)[0], CONFIG.model_copy(update={"separate": CONFIG.separate}), separator
    )
    assert separator.batch_sizes == [4, 1]


def test_a_redo_gives_the_same_rows_and_bytes(clips):
    (unit,) = work_units(clips, tagged(clips), 16)
    first, second = (separate_unit(unit, CONFIG, BandSeparator()) for _ in range(2))
    assert first == second


def test_what_the_gate_rejects_is_a_row_with_its_reason_and_in_no_shard(clips):
    (unit,) = work_units(clips, tagged(clips), 16)
    result = separate_unit(unit, CONFIG, BandSeparator(share=0.5))  # half of every track is 6 dB away
    assert result.shard is None
    assert {(track.tier, track.outcome, track.shard) for track in result.tracks} == {("rejected", "dropped", "")}
    assert {track.reason for track in result.tracks} == {"Re-SDR not above 10 dB"}


def test_a_clip_that_fails_costs_only_its_own_rows(clips, tmp_path):
    (tmp_path / "1.wav").unlink()
    tags = [*tagged(clips[:2]), *tagged(clips[2:3], ("Bad label", "Rain")), *tagged(clips[3:])]
    (unit,) = work_units(clips, tags, 16)
    result = separate_unit(unit, CONFIG, BandSeparator())
    failed = {(track.clip_id, track.reason) for track in result.tracks if track.outcome == "failed"}
    assert failed == {
        (clips[1].clip_id, "missing file"),
        (clips[2].clip_id, "separation failed: cannot digest this clip"),
    }
    counts = StageCounts.of(result.tracks)
    assert (counts.inputs, counts.kept, counts.failed) == (14, 9, 5)
    assert len(list(iter_shard(io.BytesIO(result.shard)))) == 3


def test_tracks_that_are_not_finite_are_failures(clips):
    (unit,) = work_units(clips[:1], tagged(clips), 16)
    (reason,) = {track.reason for track in separate_unit(unit, CONFIG, BandSeparator(share=float("nan"))).tracks}
    assert reason == "separation failed: the separated tracks are not finite"


def test_units_and_results_can_be_sent_between_processes(clips):
    (unit,) = work_units(clips, tagged(clips), 16)
    result = separate_unit(unit, CONFIG, BandSeparator())
    assert pickle.loads(pickle.dumps(unit)) == unit
    assert pickle.loads(pickle.dumps(result)) == result
