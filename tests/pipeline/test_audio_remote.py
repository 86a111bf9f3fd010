"""Recordings in a bucket: the same samples and the same reasons as from a disk, and little traffic."""

import numpy as np
import pytest
import soundfile

from data_specs import filesystems
from data_specs.filesystems import StorageError
from pipeline.audio import AudioError, decode, open_audio, probe
from pipeline.storage import Storage

RATE = 16_000


def noise(duration_s: float) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(round(duration_s * RATE)) * 0.1).astype(np.float32)


def read(path):
    """What a pass through a recording gives: its samples, or why there are none."""
    try:
        with open_audio(path) as reader:
            samples = b"".join(block.mono.tobytes() for block in reader.blocks(1 << 40))
            return samples, reader.info, reader.truncated
    except AudioError as error:
        return str(error)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_whole_and_damaged_files_read_as_from_a_disk(suffix, s3, tmp_path):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(1.5), RATE)
    whole = path.read_bytes()
    for name, data in {"whole": whole, "cut": whole[: len(whole) * 2 // 3], "empty": b"", "text": b"hello"}.items():
        local, remote = tmp_path / f"{name}.{suffix}", f"{s3}/{name}.{suffix}"
        local.write_bytes(data)
        Storage(s3).write_bytes(f"{name}.{suffix}", data)
        assert read(remote) == read(local)
        if name == "whole":
            window = {"start_s": 0.4, "duration_s": 0.5, "sample_rate_hz": 32_000}
            assert np.array_equal(decode(remote, **window), decode(local, **window))
            assert probe(remote) == probe(local)


def test_what_is_not_there_has_the_reason_of_a_disk(s3):
    assert read(f"{s3}/nothing.wav") == "missing file"
    Storage(s3).write_bytes("film.mp4", b"ftyp")
    assert read(f"{s3}/film.mp4") == "unsupported format .mp4, convert to FLAC"


def test_a_clip_takes_two_requests_and_a_window_of_a_long_recording_a_few(s3, s3_proxy, tmp_path):
    for name, duration_s in (("clip.flac", 10.0), ("night.flac", 240.0)):
        soundfile.write(tmp_path / name, noise(duration_s), RATE)
        Storage(s3).upload(tmp_path / name, name)
    s3_proxy.heal()
    decode(f"{s3}/clip.flac", sample_rate_hz=RATE)
    assert len(s3_proxy.requests) <= 3
    s3_proxy.heal()
    window = decode(f"{s3}/night.flac", start_s=120.0, duration_s=10.0, sample_rate_hz=RATE)
    assert len(window) == 10 * RATE
    assert len(s3_proxy.requests) <= 12


def test_a_bucket_that_fails_in_mid_file_is_not_taken_for_a_truncated_recording(s3, s3_proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(filesystems, "S3_ATTEMPTS", 2)
    soundfile.write(tmp_path / "long.wav", noise(120.0), RATE)
    Storage(s3).upload(tmp_path / "long.wav", "long.wav")
    with open_audio(f"{s3}/long.wav") as reader:
        s3_proxy.break_next("GET", "unavailable")
        with pytest.raises(StorageError, match=r"cannot read s3://.*/long.wav: .*503"):
            list(reader.blocks(1 << 40))
    with pytest.raises(StorageError):
        decode(f"{s3}/long.wav", sample_rate_hz=RATE)
    s3_proxy.heal()
    assert len(decode(f"{s3}/long.wav", sample_rate_hz=RATE)) == 120 * RATE
