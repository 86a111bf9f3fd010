"""Decoding and encoding of real files, good and bad ones."""

import os

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import AudioError, decode, decode_bytes, encode_flac, open_audio, probe, resample

RATE = 16_000


def noise(duration_s=2.0, rate=RATE, channels=1, seed=0):
    waveform = np.random.default_rng(seed).standard_normal((round(duration_s * rate), channels)) * 0.1
    return waveform.astype(np.float32)


def save(path, waveform, rate=RATE, **options):
    soundfile.write(path, waveform, rate, **options)
    return path


def cut(path, share):
    """The same file with only its first ``share`` of bytes."""
    data = path.read_bytes()
    short = path.with_name(f"cut-{path.name}")
    short.write_bytes(data[: int(len(data) * share)])
    return short


def read_all(path):
    with open_audio(path) as reader:
        mono = [block.mono for block in reader.blocks(1 << 40)]
        return (np.concatenate(mono) if mono else np.zeros(0, np.float32)), reader.truncated


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "w64", "caf"])
def test_a_window_is_the_same_part_of_the_whole_in_every_format(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", noise(5.0))
    whole = decode(path, sample_rate_hz=RATE)
    assert whole.dtype == np.float32
    assert len(whole) == 5 * RATE
    window = decode(path, start_s=1.5, duration_s=2.0, sample_rate_hz=RATE)
    np.testing.assert_allclose(window, whole[round(1.5 * RATE) : round(3.5 * RATE)], atol=1e-4)


def test_channels_are_averaged(tmp_path):
    six = noise(1.0, channels=6)
    path = save(tmp_path / "surround.wav", six, subtype="FLOAT")
    np.testing.assert_allclose(decode(path, sample_rate_hz=RATE), six.mean(axis=1), atol=1e-6)
    assert probe(path).channels == 6


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 44_101, 48_000, 96_000, 192_000])
def test_any_rate_becomes_32_khz_with_the_tone_in_place(tmp_path, rate):
    time_s = np.arange(rate) / rate
    path = save(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * time_s), rate, subtype="FLOAT")
    waveform = decode(path, sample_rate_hz=32_000)
    assert waveform.shape == (32_000,)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 32_000)
    np.testing.assert_allclose(waveform[2000:-2000], expected[2000:-2000], atol=1e-3)


@given(
    st.integers(1, 5000),
    st.sampled_from([8_000, 11_025, 16_000, 44_100, 44_101, 192_000]),
    st.sampled_from([16_000, 32_000]),
)
@settings(deadline=None, max_examples=40)
def test_resampling_gives_the_length_that_the_rates_say(length, rate, target):
    resampled = resample(np.ones(length, np.float32), rate, target)
    assert len(resampled) == max(1, round(length * target / rate))
    assert resampled.dtype == np.float32


def test_eight_bit_files_are_centred(tmp_path):
    path = save(tmp_path / "8bit.wav", np.zeros(RATE), subtype="PCM_U8")
    assert np.abs(decode(path, sample_rate_hz=RATE)).max() == 0
    assert probe(path).subtype == "PCM_U8"


def test_a_float_file_above_full_scale_is_scaled_to_it(tmp_path):
    path = save(tmp_path / "loud.wav", 40 * noise(), subtype="FLOAT")
    waveform = decode(path, sample_rate_hz=RATE)
    assert np.abs(waveform).max() == 1.0
    np.testing.assert_allclose(waveform, noise()[:, 0] / np.abs(noise()).max(), atol=1e-6)


@pytest.mark.parametrize(
    ("suffix", "least_share"), [("wav", 0.49), ("aiff", 0.49), ("flac", 0.4), ("ogg", 0.3), ("mp3", 0.4)]
)
def test_a_truncated_file_gives_what_it_holds_and_says_so(tmp_path, suffix, least_share):
    whole = save(tmp_path / f"a.{suffix}", noise(20.0))
    waveform, truncated = read_all(cut(whole, 0.5))
    assert truncated
    assert least_share < len(waveform) / (20 * RATE) < 0.55
    complete, complete_truncated = read_all(whole)
    assert not complete_truncated
    assert len(complete) == 20 * RATE
    tail = 4096  # the last lossy frame overlaps with one that is gone
    np.testing.assert_allclose(waveform[:-tail], complete[: len(waveform) - tail], atol=1e-4)


def test_a_header_without_the_final_size_is_no_truncation(tmp_path):
    path = save(tmp_path / "piped.wav", noise(), subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    waveform, truncated = read_all(path)
    assert (len(waveform), truncated) == (2 * RATE, False)


def test_a_window_behind_the_end_is_an_error(tmp_path):
    for suffix in ("wav", "flac", "ogg", "mp3"):
        path = save(tmp_path / f"a.{suffix}", noise())
        with pytest.raises(AudioError, match=r"^(starts after the end of the file|no samples)$"):
            decode(path, start_s=5.0, duration_s=1.0, sample_rate_hz=RATE)
    assert len(decode(save(tmp_path / "b.wav", noise()), start_s=1.5, duration_s=9.0, sample_rate_hz=RATE)) == RATE // 2


def test_files_that_are_no_recordings_have_short_reasons(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("hello\n" * 100)
    (tmp_path / "text.mp3").write_text("hello\n" * 100)
    (tmp_path / "random.raw").write_bytes(b"\x01\x02" * 500)
    (tmp_path / "film.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(500))
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "nowhere.wav")
    save(tmp_path / "zero.wav", noise()[:0])
    save(tmp_path / "slow.wav", noise(), 100)
    reasons = {}
    for name in [*sorted(os.listdir(tmp_path)), "missing.wav", "text.wav/inside.wav", "null\0.wav", "x" * 300 + ".wav"]:
        with pytest.raises(AudioError) as caught:
            decode(tmp_path / name, sample_rate_hz=RATE)
        reasons[name] = str(caught.value)
    assert reasons == {
        "dangling.wav": "missing file",
        "empty.wav": "empty file",
        "film.m4a": "unsupported format .m4a, convert to FLAC",
        "folder.wav": "not a file",
        "missing.wav": "missing file",
        "null\0.wav": "not readable: embedded null byte",
        "pipe.wav": "not a file",
        "random.raw": "not audio",
        "slow.wav": "sample rate below 1000 Hz",
        "text.mp3": "not audio",
        "text.wav": "not audio",
        "text.wav/inside.wav": "missing file",
        "x" * 300 + ".wav": "not readable: File name too long",
        "zero.wav": "no samples",
    }


def test_samples_that_are_not_finite_are_an_error(tmp_path):
    waveform = noise()
    waveform[100] = np.nan
    with pytest.raises(AudioError, match=r"^NaN or infinite samples$"):
        decode(save(tmp_path / "nan.wav", waveform, subtype="FLOAT"), sample_rate_hz=32_000)


@pytest.mark.parametrize("name", ["дождь.wav", "🌧️.wav", "two\nlines.wav", "a;b, c.wav", " spaces .wav", "-dash.wav"])
def test_names_of_any_kind_are_opened(tmp_path, name):
    assert len(decode(save(tmp_path / name, noise()), sample_rate_hz=RATE)) == 2 * RATE


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=300), st.sampled_from([8_000, 32_000, 44_100]))
@settings(deadline=None, max_examples=40)
def test_what_flac_bytes_hold_is_what_went_in(samples, rate):
    waveform = (np.array(samples) / 32768).astype(np.float32)
    data = encode_flac(waveform, rate)
    decoded, decoded_rate = decode_bytes(data)
    np.testing.assert_array_equal(decoded, waveform)
    assert decoded_rate == rate
    assert encode_flac(waveform, rate) == data


def test_24_bits_keep_more_than_16():
    waveform = noise()[:, 0]
    for bits, error in ((16, 2**-15), (24, 2**-23)):
        decoded, _ = decode_bytes(encode_flac(waveform, RATE, bits=bits))
        np.testing.assert_allclose(decoded, waveform, atol=error)


def test_flac_clips_at_full_scale_and_refuses_what_is_no_waveform():
    decoded, _ = decode_bytes(encode_flac(np.array([2.0, -2.0], np.float32), RATE))
    np.testing.assert_allclose(decoded, [1.0, -1.0], atol=1e-4)
    for bad in (np.zeros(0), np.array([np.nan]), np.zeros((2, 3))):
        with pytest.raises(ValueError, match="it must be mono, finite and not empty"):
            encode_flac(bad, RATE)


def test_bytes_that_are_no_sound_are_an_error():
    with pytest.raises(AudioError, match=r"^not audio$"):
        decode_bytes(b"hello" * 100)
