"""Pools give training the audio that clips and shards hold, from more shards or fewer than there are workers."""

import io

import numpy as np
import pytest
import soundfile

from data_specs.config import Config
from data_specs.records import Clip, Track
from pipeline import pools
from pipeline.pools import ClipPool, ShardBuffer
from pipeline.shards import ShardItem, shard_bytes
from pipeline.workspace import Workspace, shard_name

RATE = 32_000


def item(number: int, tier: str = "sst") -> ShardItem:
    """A clip of two constant tracks, recognisable by their level."""
    clip = Clip(clip_id=f"clip{number}", path="x.wav", labels=("Bark", "Rain"), duration_s=0.1)
    waveforms = np.stack([np.full(3200, 0.01 * number), np.full(3200, -0.01 * number)]).astype(np.float32)
    tracks = [
        Track(track_id=f"{number}-{k}", clip_id=clip.clip_id, label=label, index=k, tier=tier, shard="x")
        for k, label in enumerate(clip.labels)
    ]
    return ShardItem(clip=clip, mixture=waveforms.sum(axis=0) + np.float32(0.5), tracks=tracks, waveforms=waveforms)


@pytest.fixture
def workspace(tmp_path):
    """Three shards of two clips each."""
    workspace = Workspace.open(tmp_path, Config())
    for shard in range(3):
        items = [item(2 * shard + 1), item(2 * shard + 2)]
        rows = [track for one in items for track in one.tracks]
        workspace.commit_unit(1, f"unit{shard}", rows, shard_bytes(items, sample_rate_hz=RATE))
    assert workspace.shards(1) == [shard_name(f"unit{shard}") for shard in range(3)]
    return workspace


def buffer(workspace, lane=0, lanes=1, segment=0, **told):
    return ShardBuffer(workspace, 1, lane=lane, lanes=lanes, segment=segment, seed=0, **told)


def levels(kept: ShardBuffer, count=60) -> set[float]:
    rng = np.random.default_rng(0)
    return {round(float(kept.tracks.draw("Bark", rng, 3200)[0]), 3) for _ in range(count)}


def test_every_kept_track_can_be_drawn(workspace):
    kept = buffer(workspace)
    assert kept.tracks.labels == ["Bark", "Rain"]
    assert levels(kept) == {0.01, 0.02, 0.03, 0.04, 0.05, 0.06}


def test_lanes_read_different_shards(workspace):
    first, second = levels(buffer(workspace, 0, 2)), levels(buffer(workspace, 1, 2))
    assert first.isdisjoint(second)
    assert len(first | second) == 6


def test_every_segment_deals_the_shards_out_anew(workspace):
    seen = [frozenset(levels(buffer(workspace, 0, 3, segment))) for segment in range(12)]
    assert {len(levels) for levels in seen} == {2}
    assert len(set(seen)) == 3


def test_a_segment_is_the_same_whenever_it_is_drawn(workspace):
    first, again = (buffer(workspace, 1, 2, segment=5) for _ in range(2))
    one, other = (np.random.default_rng(0) for _ in range(2))
    for _ in range(5):
        assert np.array_equal(first.tracks.draw("Rain", one, 100), again.tracks.draw("Rain", other, 100))


def test_a_damaged_shard_is_left_out_and_named(workspace):
    name = workspace.shards(1)[1]
    path = workspace.storage.local_path / "rounds/001/shards" / name
    path.write_bytes(path.read_bytes()[:5000])
    problems = []
    kept = buffer(workspace, on_problem=problems.append)
    assert len(problems) == 1
    assert problems[0].startswith(f"{name}: ")
    assert levels(kept) >= {0.01, 0.02, 0.05, 0.06}


def test_a_damaged_track_is_silence_and_named(workspace):
    name = workspace.shards(1)[0]
    path = workspace.storage.local_path / "rounds/001/shards" / name
    path.write_bytes(path.read_bytes().replace(b"fLaC", b"none"))
    problems = []
    kept = buffer(workspace, on_problem=problems.append)
    assert levels(kept) == {0.0, 0.03, 0.04, 0.05, 0.06}
    assert {problem.partition(":")[0] for problem in problems} == {name}


def test_more_lanes_than_shards_share_them(workspace):
    assert all(len(levels(buffer(workspace, lane, 8))) == 2 for lane in range(8))


def test_a_buffer_smaller_than_the_shards_still_reaches_every_track(workspace, monkeypatch):
    monkeypatch.setattr(pools, "BUFFERED_CLIPS", 2)
    kept = buffer(workspace)
    assert len(kept.clips) == 2
    assert levels(kept, count=300) == {0.01, 0.02, 0.03, 0.04, 0.05, 0.06}
    assert len(kept.clips) == 2


def test_natural_clips_come_with_their_mixture_and_tracks_aligned(workspace):
    mixture, tracks = buffer(workspace).natural.draw(np.random.default_rng(0), 1000)
    assert mixture.shape == (1000,)
    assert mixture[0] == pytest.approx(0.5, abs=1e-3)
    assert tracks["Bark"][0] == pytest.approx(-tracks["Rain"][0], abs=1e-3)


def test_a_round_without_shards_gives_empty_pools(tmp_path):
    kept = buffer(Workspace.open(tmp_path, Config()))
    assert kept.tracks.labels == []
    assert kept.natural is None


def test_a_clip_that_is_gone_is_left_out_and_named(tmp_path):
    path = tmp_path / "bark.wav"
    soundfile.write(path, np.full(RATE, 0.25), RATE)
    clips = [Clip(clip_id=str(n), path=str(path), labels=("Bark",), duration_s=1.0) for n in range(2)]
    gone = Clip(clip_id="gone", path=str(tmp_path / "gone.wav"), labels=("Bark",), duration_s=1.0)
    problems = []
    pool = ClipPool([*clips, gone], RATE, problems.append)
    rng = np.random.default_rng(0)
    assert {float(pool.draw("Bark", rng, 100)[0]) for _ in range(20)} == {0.25}
    assert set(problems) == {f"{gone.path}: missing file"}
    assert not ClipPool([gone], RATE).draw("Bark", rng, 100).any()


def test_clips_are_decoded_by_label(tmp_path):
    path = tmp_path / "bark.wav"
    soundfile.write(path, np.full(RATE, 0.25), RATE)
    clip = Clip(clip_id="c", path=str(path), labels=("Bark",), duration_s=1.0)
    pool = ClipPool([clip], RATE)
    assert pool.labels == ["Bark"]
    assert pool.draw("Bark", np.random.default_rng(0), 1000) == pytest.approx(0.25, abs=1e-3)


def test_shards_open_with_plain_webdataset_and_tarfile(workspace, tmp_path):
    import tarfile

    import webdataset

    path = tmp_path / "rounds/001/shards" / workspace.shards(1)[0]
    samples = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["clip1", "clip2"]
    assert soundfile.read(io.BytesIO(samples[0]["0.flac"]))[1] == RATE
    with tarfile.open(path) as tar:
        assert tar.getnames()[:4] == ["clip1.json", "clip1.mix.flac", "clip1.0.flac", "clip1.1.flac"]


def test_what_is_surely_good_is_drawn_more_often(tmp_path):
    workspace = Workspace.open(tmp_path, Config())
    items = [item(1), item(2)]
    for one, probabilities in zip(items, ((0.95, 0.95), (0.95, 0.7)), strict=True):
        one.tracks[:] = [
            Track(**{**track.model_dump(), "good_probability": probability})
            for track, probability in zip(one.tracks, probabilities, strict=True)
        ]
    rows = [track for one in items for track in one.tracks]
    workspace.commit_unit(1, "unit0", rows, shard_bytes(items, sample_rate_hz=RATE))
    kept, rng = buffer(workspace), np.random.default_rng(0)
    tracks = [round(float(kept.tracks.draw("Rain", rng, 3200)[0]), 3) for _ in range(400)]
    clips = [round(float(kept.natural.draw(rng, 3200)[1]["Bark"][0]), 3) for _ in range(400)]
    odds = (0.95 / 0.05) / (0.7 / 0.3)
    for drawn in (tracks, clips):  # a clip counts as the worst of its tracks
        first, second = (drawn.count(level) for level in sorted(set(drawn), key=abs))
        assert first / second == pytest.approx(odds, rel=0.4)
