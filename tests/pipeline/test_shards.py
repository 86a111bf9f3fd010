"""Shards: equal bytes on a redo, plain tools open them, readers get back what writers put in, damage is found."""

import io
import json
import tarfile
import time

import numpy as np
import pytest
import webdataset

from data_specs.config import Config
from data_specs.records import Clip, Track
from pipeline.shards import ShardError, ShardItem, iter_round, iter_shard, shard_bytes, verify_round, verify_shard
from pipeline.workspace import Workspace

RATE_HZ = 8000


def an_item(clip_id: str, tiers: tuple[str, ...], level: float = 0.1, seed: int = 0) -> ShardItem:
    waveforms = (level * np.random.default_rng(seed).uniform(-1, 1, size=(len(tiers), 400))).astype(np.float32)
    tracks = [
        Track(
            track_id=f"{clip_id}{index}",
            clip_id=clip_id,
            label=f"label {index}",
            index=index,
            tier=tier,
            re_sdr_db=12.0,
            unit="u1",
            shard="u1.tar" if tier != "rejected" else "",
            outcome="dropped" if tier == "rejected" else "kept",
            reason="Re-SDR not above 10 dB" if tier == "rejected" else "",
        )
        for index, tier in enumerate(tiers)
    ]
    return ShardItem(Clip(clip_id=clip_id, path="ä b.wav"), waveforms.sum(axis=0), tracks, waveforms)


ITEMS = [an_item("aa", ("sst", "sst")), an_item("bb", ("itt", "itt", "itt")), an_item("cc", ("rejected", "rejected"))]


def a_shard(items=ITEMS) -> bytes:
    data = shard_bytes(items, sample_rate_hz=RATE_HZ)
    assert data is not None
    return data


def test_only_kept_tracks_go_in_and_the_mixture_only_for_sst():
    with tarfile.open(fileobj=io.BytesIO(a_shard())) as tar:
        names = tar.getnames()
    assert names == [
        *("aa.json", "aa.mix.flac", "aa.0.flac", "aa.1.flac"),
        *("bb.json", "bb.0.flac", "bb.1.flac", "bb.2.flac"),
    ]


def test_a_clip_of_mixed_tiers_keeps_its_good_tracks_without_the_mixture():
    (sample,) = iter_shard(io.BytesIO(a_shard([an_item("aa", ("sst", "rejected", "itt"))])))
    assert sorted(sample.tracks) == [0, 2]
    assert sample.mixture is None
    assert sample.meta.labels == ("label 0", "label 1", "label 2")
    assert [track.tier for track in sample.meta.tracks] == ["sst", "itt"]


def test_nothing_kept_gives_no_shard():
    assert shard_bytes(ITEMS[2:], sample_rate_hz=RATE_HZ) is None
    assert shard_bytes([], sample_rate_hz=RATE_HZ) is None


def test_the_same_tracks_give_the_same_bytes_at_any_time():
    first = a_shard()
    time.sleep(1.1)  # tar stores seconds
    assert a_shard() == first


def test_what_is_read_is_what_was_written():
    samples = list(iter_shard(io.BytesIO(a_shard())))
    assert [sample.meta.clip_id for sample in samples] == ["aa", "bb"]
    for sample, item in zip(samples, ITEMS[: len(samples)], strict=True):
        for index, waveform in enumerate(item.waveforms):
            np.testing.assert_allclose(sample.tracks[index], waveform, atol=2**-15)
        assert sample.meta.samples == 400
        assert sample.meta.source_path == "ä b.wav"
    np.testing.assert_allclose(samples[0].mixture, ITEMS[0].mixture, atol=2**-15)


def test_tracks_beyond_full_scale_are_scaled_together_with_their_mixture():
    (sample,) = iter_shard(io.BytesIO(a_shard([an_item("aa", ("sst", "sst"), level=3.0)])))
    assert sample.meta.gain < 0.5
    assert np.abs(sample.mixture).max() <= 1.0
    np.testing.assert_allclose(sum(sample.tracks.values()), sample.mixture, atol=2**-13)


def test_plain_webdataset_reads_a_shard(tmp_path):
    (tmp_path / "u1.tar").write_bytes(a_shard())
    samples = list(webdataset.WebDataset(str(tmp_path / "u1.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["aa", "bb"]
    assert json.loads(samples[0]["json"])["tracks"][0]["label"] == "label 0"
    assert {"mix.flac", "0.flac", "1.flac"} <= samples[0].keys()


def test_a_good_shard_has_no_problems():
    assert verify_shard(io.BytesIO(a_shard())) == []


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.6, 0.95])
def test_a_shard_that_was_cut_off_is_found(keep):
    data = a_shard()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        last = tar.getmembers()[-1]
    end = last.offset_data + -(-last.size // 512) * 512  # where the end-of-archive blocks begin
    (problem,) = verify_shard(io.BytesIO(data[: int(keep * end)]), name="u1.tar")
    assert problem.startswith("u1.tar: ")


@pytest.mark.parametrize("half_a_header", [0, 48])
def test_a_shard_without_its_end_mark_is_found(half_a_header):
    data = a_shard()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        last = tar.getmembers()[-1]
    end = last.offset_data + -(-last.size // 512) * 512
    assert verify_shard(io.BytesIO(data[: end + half_a_header]), name="u1.tar") == ["u1.tar: truncated"]


def test_something_else_is_no_shard():
    assert verify_shard(io.BytesIO(b"not a tar at all" * 100))
    with pytest.raises(ShardError, match=r"u1\.tar"):
        list(iter_shard(io.BytesIO(b"not a tar at all" * 100), name="u1.tar"))


def test_missing_and_foreign_members_are_found():
    data = a_shard([ITEMS[0]])
    for name, problem in (
        ("aa.1.flac", "JSON and members name different tracks"),
        ("aa.mix.flac", "JSON and members disagree about the mixture"),
        ("aa.json", "aa does not begin with its JSON"),
    ):
        assert problem in verify_shard(io.BytesIO(without(data, name)))[0]


def without(data: bytes, left_out: str) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=sink, mode="w") as new:
        for member in old:
            if member.name != left_out:
                new.addfile(member, old.extractfile(member))
    return sink.getvalue()


def test_a_round_is_verified_against_its_manifest(tmp_path):
    workspace = Workspace.open(tmp_path / "w", Config())
    rows = [track for item in ITEMS for track in item.tracks]
    workspace.commit_unit(1, "u1", rows, a_shard())
    workspace.commit_unit(1, "u2", [], None)
    assert verify_round(workspace, 1) == []
    assert [sample.meta.clip_id for sample in iter_round(workspace, 1)] == ["aa", "bb"]

    workspace.commit_unit(1, "u1", rows[:-4], a_shard())
    assert verify_round(workspace, 1) == ["u1.tar: 2 tracks of the shard are not in the manifest"]
    workspace.commit_unit(1, "u1", rows, a_shard(ITEMS[:1]))
    assert verify_round(workspace, 1) == ["u1.tar: 3 tracks of the manifest are missing"]
    workspace.storage.delete("rounds/001/shards/u1.tar")
    assert verify_round(workspace, 1) == ["u1.tar: missing"]


def test_a_flipped_byte_is_found_wherever_it_is(tmp_path):
    workspace = Workspace.open(tmp_path / "w", Config())
    workspace.commit_unit(1, "u1", [track for item in ITEMS for track in item.tracks], a_shard())
    rng = np.random.default_rng(0)
    for path in (tmp_path / "w/rounds/001/shards/u1.tar", tmp_path / "w/rounds/001/tracks/u1.parquet"):
        whole = path.read_bytes()
        for position in rng.integers(len(whole), size=40):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << rng.integers(8)
            path.write_bytes(damaged)
            problems = verify_round(workspace, 1)
            assert problems, position
            assert all(problem.startswith(f"{path.name}: ") for problem in problems)
        path.write_bytes(whole)
    assert verify_round(workspace, 1) == []
