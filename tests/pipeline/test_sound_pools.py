"""Recordings as material: random crops of real files, labels by clip, and silence for what cannot be read."""

import numpy as np
import pytest
import soundfile

from data_specs.records import Clip
from pipeline.sound_pools import RecordingPool, TaggedPool

RATE = 32_000


@pytest.fixture
def clips(tmp_path):
    made = []
    for i in range(3):
        ramp = np.linspace(0.1, 0.9, 2 * RATE) * (1 if i else -1)
        soundfile.write(tmp_path / f"{i}.wav", ramp, RATE, subtype="FLOAT")
        made.append(Clip(clip_id=f"{i:016x}", path=str(tmp_path / f"{i}.wav"), duration_s=2.0))
    return made


def test_a_crop_is_a_part_of_its_recording(clips):
    pool, rng = RecordingPool(clips, RATE), np.random.default_rng(0)
    assert len(pool) == 3
    firsts = []
    for _ in range(5):
        crop = pool.draw(1, rng, RATE // 2)
        assert crop.shape == (RATE // 2,)
        np.testing.assert_allclose(np.diff(crop), 0.8 / (2 * RATE - 1), atol=1e-6)
        firsts.append(crop[0])
    assert len(set(firsts)) == 5
    assert pool.draw(0, rng, RATE).max() < 0


def test_a_short_recording_lies_in_silence_and_a_part_of_a_file_is_that_part(clips):
    rng = np.random.default_rng(0)
    long = RecordingPool(clips, RATE).draw(1, rng, 3 * RATE)
    assert (long != 0).sum() == 2 * RATE
    window = Clip(clip_id="a" * 16, path=clips[1].path, start_s=1.0, duration_s=0.5)
    crop = RecordingPool([window], RATE).draw(0, rng, RATE // 2)
    assert crop[0] == pytest.approx(0.5, abs=1e-3)


def test_what_cannot_be_read_is_silence_and_told(clips, tmp_path):
    (tmp_path / "2.wav").write_bytes(b"no audio")
    problems: list[str] = []
    crop = RecordingPool(clips, RATE, problems.append).draw(2, np.random.default_rng(0), 100)
    assert (crop == 0).all()
    assert len(problems) == 1
    assert "2.wav" in problems[0]


def test_clips_without_labels_are_left_out_of_a_tagged_pool(clips):
    labels = [("Rain", "Bark"), (), ("Siren",)]
    pool = TaggedPool(zip(clips, labels, strict=True), RATE)
    assert len(pool) == 2
    assert [pool.texts(i) for i in range(2)] == [("Rain", "Bark"), ("Siren",)]
    assert pool.draw(0, np.random.default_rng(0), 100).max() < 0
    assert pool.draw(1, np.random.default_rng(0), 100).min() > 0
    assert len(TaggedPool([], RATE)) == 0


def test_captions_say_what_a_clip_holds_before_labels_do(clips):
    said = [("A dog barks and rain falls", "rain falls"), (), ("...",)]
    captioned = [clip.model_copy(update={"captions": own}) for clip, own in zip(clips, said, strict=True)]
    pool = TaggedPool(zip(captioned, [("Bark",), (), ("Siren",)], strict=True), RATE)
    assert [pool.texts(i) for i in range(len(pool))] == [("A dog barks", "rain falls"), ("Siren",)]
    unlabelled = TaggedPool([(captioned[0], ())], RATE)
    assert unlabelled.texts(0) == ("A dog barks", "rain falls")
