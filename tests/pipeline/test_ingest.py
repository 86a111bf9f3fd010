"""Ingest of real files: what becomes of good recordings and of every kind of bad one."""

import os
import pickle
import tracemalloc
from hashlib import sha256

import numpy as np
import pytest
import soundfile

from data_specs.config import AudioConfig, Config, CorpusConfig, WorkersConfig
from data_specs.corpus import read_corpus
from data_specs.records import Clip, CorpusEntry, StageCounts, records_of, table_of
from pipeline.audio import decode
from pipeline.ingest import ingest, ingest_entry, iter_ingest, listed

RATE = 8_000
CONFIG = Config(audio=AudioConfig(sample_rate_hz=RATE, clip_duration_s=4.0))


def noise(duration_s=2.0, rate=RATE, channels=1, seed=0):
    waveform = np.random.default_rng(seed).standard_normal((round(duration_s * rate), channels)) * 0.1
    return waveform.astype(np.float32)


def save(path, waveform, rate=RATE, **options):
    soundfile.write(path, waveform, rate, **options)
    return str(path)


def cut(path, share):
    """The file at ``path``, now with only its first ``share`` of bytes."""
    os.truncate(path, int(os.path.getsize(path) * share))
    return path


def entry(path, *labels, **fields):
    return CorpusEntry(path=str(path), labels=labels, **fields)


def outcome(clip):
    return clip.outcome, clip.reason, clip.problems


def only(clips):
    (clip,) = clips
    return clip


class Heard:
    """Progress that remembers what it was told."""

    def __init__(self):
        self.lines, self.done = [], 0

    def task(self, description, total):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def advance(self, n=1):
        self.done += n

    def say(self, text):
        self.lines.append(text)


def test_a_good_recording_is_one_clip(tmp_path):
    path = save(tmp_path / "a.wav", noise(3.0))
    clip = only(ingest_entry(entry(path, "bark", "/m/06mb1", split="train"), CONFIG))
    assert outcome(clip) == ("kept", "", ())
    assert clip.labels == ("Bark", "Rain")
    assert (clip.path, clip.split, clip.start_s, clip.duration_s) == (path, "train", 0.0, 3.0)
    assert clip.source_rate_hz == RATE
    assert len(clip.sha256) == 64


def test_a_long_recording_is_cut_into_windows_that_decode_to_themselves(tmp_path):
    path = save(tmp_path / "a.wav", noise(10.0), subtype="FLOAT")
    clips = ingest_entry(entry(path, "Rain"), CONFIG)
    assert [(clip.start_s, clip.duration_s) for clip in clips] == [(0.0, 4.0), (4.0, 4.0), (8.0, 2.0)]
    windows = [
        decode(clip.path, start_s=clip.start_s, duration_s=clip.duration_s, sample_rate_hz=RATE) for clip in clips
    ]
    np.testing.assert_array_equal(np.concatenate(windows), noise(10.0)[:, 0])
    assert len({clip.clip_id for clip in clips}) == 3
    assert all(clip.outcome == "kept" and clip.labels == ("Rain",) for clip in clips)


def test_a_rest_that_is_too_short_for_a_window_is_noted(tmp_path):
    clips = ingest_entry(entry(save(tmp_path / "a.wav", noise(8.3))), CONFIG)
    assert [clip.duration_s for clip in clips] == [4.0, 4.0]
    assert [clip.problems for clip in clips] == [(), ("rest shorter than 0.5 s left out",)]


@pytest.mark.parametrize("rate", [11_025, 44_100, 44_101])
def test_windows_of_odd_rates_cover_the_recording_without_gaps(tmp_path, rate):
    config = Config(audio=AudioConfig(clip_duration_s=1.37))
    clips = ingest_entry(entry(save(tmp_path / "a.wav", noise(5.0, rate), rate)), config)
    ends = [round((clip.start_s + clip.duration_s) * rate) for clip in clips]
    assert [round(clip.start_s * rate) for clip in clips] == [0, *ends[:-1]]
    assert ends[-1] == 5 * rate


class TestBadInput:
    """One real file per kind of trouble."""

    def ingested(self, path, *labels, **fields):
        return outcome(only(ingest_entry(entry(path, *labels, **fields), CONFIG)))

    def test_missing(self, tmp_path):
        assert self.ingested(tmp_path / "gone.wav") == ("dropped", "missing file", ())

    def test_empty_file(self, tmp_path):
        (tmp_path / "a.wav").touch()
        assert self.ingested(tmp_path / "a.wav") == ("failed", "empty file", ())

    def test_no_samples(self, tmp_path):
        assert self.ingested(save(tmp_path / "a.wav", noise()[:0])) == ("dropped", "no samples", ())

    def test_truncated_wav(self, tmp_path):
        path = cut(save(tmp_path / "a.wav", noise()), 0.5)
        assert self.ingested(path) == ("kept", "", ("truncated",))

    @pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
    def test_truncated_after_some_windows(self, tmp_path, suffix):
        path = cut(save(tmp_path / f"a.{suffix}", noise(20.0)), 0.5)
        clips = ingest_entry(entry(path), CONFIG)
        assert len(clips) in (2, 3)
        assert all(clip.outcome == "kept" and "truncated" in clip.problems for clip in clips)
        assert 7.0 < sum(clip.duration_s for clip in clips) < 11.0

    def test_truncated_before_the_first_sample(self, tmp_path):
        path = cut(save(tmp_path / "a.flac", noise()), 0.01)
        assert self.ingested(path) == ("failed", "truncated before the first sample", ())

    def test_truncated_to_almost_nothing(self, tmp_path):
        path = cut(save(tmp_path / "a.wav", noise()), 0.1)
        assert self.ingested(path) == ("dropped", "shorter than 0.5 s", ("truncated",))

    def test_too_short(self, tmp_path):
        assert self.ingested(save(tmp_path / "a.wav", noise(0.3))) == ("dropped", "shorter than 0.5 s", ())

    def test_text_named_wav(self, tmp_path):
        (tmp_path / "a.wav").write_text("not a recording\n" * 50)
        assert self.ingested(tmp_path / "a.wav") == ("failed", "not audio", ())

    def test_a_format_that_is_not_decoded(self, tmp_path):
        (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(500))
        assert self.ingested(tmp_path / "a.m4a") == ("failed", "unsupported format .m4a, convert to FLAC", ())

    def test_a_folder(self, tmp_path):
        (tmp_path / "a.wav").mkdir()
        assert self.ingested(tmp_path / "a.wav") == ("failed", "not a file", ())

    @pytest.mark.parametrize("offset", [0.0, 0.25])
    def test_all_zeros_or_one_constant_value(self, tmp_path, offset):
        path = save(tmp_path / "a.wav", np.full(2 * RATE, offset))
        assert self.ingested(path) == ("dropped", "silent", ())

    def test_channels_that_cancel(self, tmp_path):
        path = save(tmp_path / "a.wav", np.hstack([noise(), -noise()]))
        assert self.ingested(path) == ("dropped", "silent after downmix", ("downmixed from 2 channels",))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_samples_that_are_not_finite(self, tmp_path, value):
        waveform = noise()
        waveform[7] = value
        path = save(tmp_path / "a.wav", waveform, subtype="FLOAT")
        assert self.ingested(path) == ("dropped", "NaN or infinite samples", ())

    def test_a_bad_window_does_not_cost_the_others(self, tmp_path):
        waveform = noise(12.0)
        waveform[5 * RATE] = np.nan
        clips = ingest_entry(entry(save(tmp_path / "a.wav", waveform, subtype="FLOAT")), CONFIG)
        assert [clip.outcome for clip in clips] == ["kept", "dropped", "kept"]

    def test_eight_bit(self, tmp_path):
        path = save(tmp_path / "a.wav", noise(), subtype="PCM_U8")
        assert self.ingested(path) == ("kept", "", ("8-bit samples",))

    def test_surround(self, tmp_path):
        path = save(tmp_path / "a.wav", noise(channels=6))
        assert self.ingested(path) == ("kept", "", ("downmixed from 6 channels",))

    def test_192_khz(self, tmp_path):
        clip = only(ingest_entry(entry(save(tmp_path / "a.wav", noise(rate=192_000), 192_000)), CONFIG))
        assert outcome(clip) == ("kept", "", ())
        assert (clip.source_rate_hz, clip.duration_s) == (192_000, 2.0)

    def test_a_low_rate(self, tmp_path):
        path = save(tmp_path / "a.wav", noise(rate=4_000), 4_000)
        assert self.ingested(path) == ("kept", "", ("upsampled from 4000 Hz",))

    def test_above_full_scale(self, tmp_path):
        path = save(tmp_path / "a.wav", 100 * noise(), subtype="FLOAT")
        assert self.ingested(path) == ("kept", "", ("peak above full scale",))

    @pytest.mark.parametrize("name", ["дождь.wav", "🌧️ rain.wav", "two\nlines.wav", "naïve; café, 'x'.wav"])
    def test_names_of_any_kind(self, tmp_path, name):
        clip = only(ingest_entry(entry(save(tmp_path / name, noise())), CONFIG))
        assert outcome(clip) == ("kept", "", ())
        assert records_of(Clip, table_of(Clip, [clip])) == [clip]

    def test_unknown_label(self, tmp_path):
        path = save(tmp_path / "a.wav", noise())
        assert self.ingested(path, "Rain", "Barkk") == ("dropped", "unknown label: 'Barkk' (did you mean 'Bark'?)", ())

    def test_a_segment_after_the_end(self, tmp_path):
        path = save(tmp_path / "a.wav", noise(6.0))
        assert self.ingested(path, start_s=30.0, end_s=34.0) == ("failed", "starts after the end of the file", ())


def test_an_hour_is_cut_into_windows_in_bounded_memory(tmp_path):
    rate = 2_000
    path = tmp_path / "hour.wav"
    with soundfile.SoundFile(path, "w", rate, 1, subtype="PCM_U8") as file:
        for minute in range(60):
            file.write(noise(60.0, rate, seed=minute))
    config = Config(audio=AudioConfig(sample_rate_hz=rate))
    tracemalloc.start()
    clips = ingest_entry(entry(path), config)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert StageCounts.of(clips) == StageCounts(inputs=360, kept=360)
    assert {clip.duration_s for clip in clips} == {10.0}
    assert [clip.start_s for clip in clips] == [10.0 * number for number in range(360)]
    hour_in_memory = 3600 * rate * 4
    assert peak < hour_in_memory / 8


@pytest.mark.parametrize("suffix", ["flac", "wav"])
def test_every_kept_window_of_a_damaged_file_decodes_to_the_samples_of_its_checksum(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    save(path, noise(3.0))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    config = Config(audio=AudioConfig(sample_rate_hz=RATE, clip_duration_s=1.0))
    windows = 0
    for _ in range(40):
        damaged = bytearray(whole)
        for position in rng.integers(60, len(whole), 2):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(len(whole) // 2, len(whole) + 1)])
        for clip in ingest_entry(entry(path), config):
            if clip.outcome == "kept":
                part = {"start_s": clip.start_s, "duration_s": clip.duration_s}
                waveform = decode(clip.path, **part, sample_rate_hz=RATE)
                assert sha256(f"{RATE}\n".encode() + waveform.tobytes()).hexdigest() == clip.sha256
                windows += 1
    assert windows > 40


def test_a_segment_is_cut_from_a_whole_video_and_taken_as_it_is_when_cut_already(tmp_path):
    waveform = noise(12.0)
    whole = save(tmp_path / "whole.wav", waveform, subtype="FLOAT")
    part = save(tmp_path / "part.wav", waveform[4 * RATE : 8 * RATE], subtype="FLOAT")
    padded = save(tmp_path / "padded.wav", waveform[4 * RATE : 8 * RATE + 800], subtype="FLOAT")
    clips = [only(ingest_entry(entry(path, start_s=4.0, end_s=8.0), CONFIG)) for path in (whole, part, padded)]
    assert [clip.start_s for clip in clips] == [4.0, 0.0, 0.0]
    assert {clip.duration_s for clip in clips} == {4.0}
    assert len({clip.sha256 for clip in clips}) == 1


def test_the_id_of_a_clip_is_its_sound_whatever_the_path_and_container(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    waveform = (noise() * 32767).astype(np.int16)
    paths = [save(tmp_path / "a.wav", waveform), save(tmp_path / "elsewhere" / "b.flac", waveform)]
    paths.append(save(tmp_path / "stereo.wav", np.hstack([waveform, waveform])))
    assert len({only(ingest_entry(entry(path), CONFIG)).clip_id for path in paths}) == 1
    assert len({only(ingest_entry(entry(tmp_path / f / "gone.wav"), CONFIG)).clip_id for f in ("x", "y")}) == 1


def test_duplicates_are_dropped_and_counts_add_up(tmp_path):
    a, b = save(tmp_path / "a.wav", noise(seed=1)), save(tmp_path / "b.wav", noise(seed=2))
    copy = save(tmp_path / "copy-of-a.wav", noise(seed=1))
    silence = [save(tmp_path / f"silence{i}.wav", np.zeros(2 * RATE)) for i in range(2)]
    entries = [entry(a, "Bark"), entry(b), entry(a, "Bark"), entry(copy), entry(b, "Rain")]
    entries += [entry(path) for path in silence] + [entry(tmp_path / "x" / "gone.wav"), entry(tmp_path / "gone.wav")]
    clips = ingest(entries, CONFIG)
    assert [(clip.outcome, clip.reason) for clip in clips] == [
        ("kept", ""),
        ("kept", ""),
        ("dropped", "listed twice"),
        ("dropped", "same audio as an earlier clip"),
        ("dropped", "listed twice with other labels"),
        ("dropped", "silent"),
        ("dropped", "silent"),
        ("dropped", "missing file"),
        ("dropped", "missing file"),
    ]
    assert len({clip.clip_id for clip in clips}) == len(clips)
    counts = StageCounts.of(clips)
    assert (counts.inputs, counts.kept, counts.dropped, counts.failed) == (9, 2, 7, 0)
    assert ingest(entries, CONFIG) == clips


def test_one_file_with_two_segments_is_no_duplicate(tmp_path):
    path = save(tmp_path / "a.wav", noise(12.0))
    entries = [entry(path, start_s=0.0, end_s=4.0), entry(path, start_s=4.0, end_s=8.0)]
    assert StageCounts.of(ingest(entries, CONFIG)) == StageCounts(inputs=2, kept=2)


def test_a_recording_that_repeats_itself_is_kept_once(tmp_path):
    path = save(tmp_path / "loop.wav", np.tile(noise(4.0), (5, 1)))
    assert StageCounts.of(ingest([entry(path)], CONFIG)) == StageCounts(
        inputs=5, kept=1, dropped=4, reasons={"same audio as an earlier clip": 4}
    )


def test_progress_advances_per_entry_and_names_the_first_of_every_kind_of_trouble(tmp_path):
    entries = [entry(tmp_path / f"gone{i}.wav") for i in range(5)]
    (tmp_path / "text.wav").write_text("text")
    entries += [entry(tmp_path / "text.wav")]
    heard = Heard()
    ingest(entries, CONFIG, heard)
    assert heard.done == 6
    assert [line.split(" (")[0] for line in heard.lines] == ["dropped: missing file", "failed: not audio"]


def test_entries_stream_through_without_being_held(tmp_path):
    save(tmp_path / "a.wav", noise())
    consumed = []

    def entries():
        for number in range(20):
            consumed.append(number)
            yield entry(tmp_path / "a.wav", start_s=0.01 * number)

    rows = iter_ingest(listed(entries()), CONFIG)
    next(rows)
    assert len(consumed) <= 2 * CONFIG.workers.ingest_threads + 1


def test_ingest_can_be_sent_to_workers(tmp_path):
    item = entry(save(tmp_path / "a.wav", noise()), "Bark")
    work = pickle.loads(pickle.dumps((ingest_entry, item, CONFIG)))
    assert work[0](*work[1:]) == ingest_entry(item, CONFIG)


def read_or_crash(entry: CorpusEntry, config: Config) -> list[Clip]:
    """Its process aborts, as C code does that meets bad data, at one of the recordings."""
    if entry.path.endswith("deadly.wav"):
        os.abort()
    return ingest_entry(entry, config)


def test_a_recording_that_crashes_the_decoder_fails_with_the_reason_and_the_others_go_on(tmp_path):
    config = CONFIG.model_copy(update={"workers": WorkersConfig(retries=1, retry_delay_s=0.0)})
    names = [f"{number}.wav" for number in range(5)]
    names.insert(2, "deadly.wav")
    entries = [entry(save(tmp_path / name, noise(seed=len(name) + i)), "Bark") for i, name in enumerate(names)]
    rows = [only(clips) for clips in iter_ingest(listed(entries), config, read=read_or_crash)]
    assert [clip.path for clip in rows] == [one.path for one in entries]
    assert outcome(rows[2]) == ("failed", "the process that read it died of SIGABRT, 2 times", ())
    assert [clip.outcome for clip in rows].count("kept") == 5


def test_real_recordings_without_labels_become_windows(shared_data):
    clips = ingest(read_corpus(CorpusConfig(kind="folder", path=str(shared_data / "ambience"))), Config())
    assert len({os.path.basename(clip.path) for clip in clips}) == 7
    assert {clip.outcome for clip in clips} == {"kept"}
    assert all("downmixed from 2 channels" in clip.problems and not clip.labels for clip in clips)
    assert sum(clip.duration_s for clip in clips) == pytest.approx(180, abs=2)
