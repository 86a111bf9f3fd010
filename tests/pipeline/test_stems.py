"""One recording into files that sum to it, whatever its length, rate and channels."""

import tracemalloc

import numpy as np
import pytest
import soundfile
import torch

from data_specs.config import ModelConfig
from data_specs.errors import UserError
from models.label_separator import LabelSeparator
from models.query_encoders import load_query_encoder
from pipeline.stems import negatives_of, separate_recording


@pytest.fixture(scope="module")
def separator():
    return LabelSeparator.load(ModelConfig())


class Scaled:
    """A separator whose every track is the mixture at a gain of its own."""

    sample_rate_hz = 8_000
    window_s = 10.0
    encoder = load_query_encoder("embedded")

    def __init__(self, *gains: float) -> None:
        self.gains = torch.tensor(gains)[:, None]

    def separate_batch(self, mixtures, labels, negatives):
        return [self.gains * mixture for mixture in mixtures]


def noise(duration_s: float, rate_hz: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (round(duration_s * rate_hz), channels)).astype(np.float32)


def read(path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


@pytest.mark.parametrize(
    ("duration_s", "rate_hz", "channels"), [(11.5, 8_000, 2), (0.3, 44_100, 1), (0.002, 96_000, 6)]
)
def test_the_files_sum_to_the_recording(tmp_path, separator, duration_s, rate_hz, channels):
    audio = noise(duration_s, rate_hz, channels)
    soundfile.write(tmp_path / "straße.wav", audio, rate_hz, subtype="FLOAT")
    labels = ["Bark", "a Rain, drumming"]
    stems = separate_recording(tmp_path / "straße.wav", labels, separator, out=tmp_path / "out" / "straße")
    names = {"straße.bark.wav", "straße.a-rain-drumming.wav", "straße.residual.wav", "straße.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names == {path.name for path in stems.names.all}
    assert {soundfile.info(path).samplerate for path in stems.names.audio} == {rate_hz}
    np.testing.assert_allclose(sum(map(read, stems.names.audio)), audio, atol=1e-5)
    assert stems.duration_s == pytest.approx(duration_s)


@pytest.mark.parametrize("duration_s", [9.99, 10.0, 10.01, 19.0, 24.3])
def test_windows_join_without_a_seam(tmp_path, duration_s):
    audio = noise(duration_s, 8_000, 1)
    soundfile.write(tmp_path / "long.wav", audio, 8_000, subtype="FLOAT")
    stems = separate_recording(tmp_path / "long.wav", ["Rain"], Scaled(0.5), out=tmp_path / "long", picture=False)
    np.testing.assert_allclose(read(stems.names.tracks[0]), 0.5 * audio, atol=1e-6)


def test_memory_does_not_grow_with_the_recording(tmp_path):
    peaks = []
    for minutes in (1, 1, 4):  # the first one pays for what is made once
        with soundfile.SoundFile(tmp_path / "long.wav", "w", 8_000, 1, "FLOAT") as file:
            for _ in range(minutes):
                file.write(noise(60.0, 8_000, 1))
        tracemalloc.start()
        separate_recording(tmp_path / "long.wav", ["Rain"], Scaled(0.5), out=tmp_path / "long")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1]


def test_energies_are_told_in_decibels_of_the_recording(tmp_path):
    soundfile.write(tmp_path / "in.wav", noise(1.0, 8_000, 2), 8_000, subtype="FLOAT")
    stems = separate_recording(tmp_path / "in.wav", ["Rain", "Bark"], Scaled(0.9, 0.0), out=tmp_path / "in")
    assert stems.tracks[0].energy_share_db == pytest.approx(20 * np.log10(0.9), abs=0.01)
    assert stems.tracks[1].energy_share_db < -100
    assert stems.residual_share_db == pytest.approx(-20, abs=0.01)


def test_a_file_that_breaks_off_gives_what_is_there(tmp_path):
    soundfile.write(tmp_path / "whole.wav", noise(3.0, 8_000, 1), 8_000, subtype="FLOAT")
    content = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    stems = separate_recording(tmp_path / "cut.wav", ["Rain"], Scaled(0.5), out=tmp_path / "cut")
    assert stems.truncated
    assert stems.duration_s == pytest.approx(1.5, abs=0.01)


def test_a_label_is_no_negative_query_for_its_kin():
    assert negatives_of(["Dog", "Bark", "Rain", "a dog"]) == [
        ["Rain", "a dog"],
        ["Rain", "a dog"],
        ["Dog", "Bark", "a dog"],
        ["Dog", "Bark", "Rain"],
    ]


@pytest.mark.parametrize(
    ("content", "labels", "message"),
    [
        ("text", ["Bark"], "in.wav: not audio"),
        ("empty", ["Bark"], "in.wav: empty file"),
        ("nan", ["Bark"], "not numbers"),
        ("noise", ["Bark", "bark"], "must differ"),
        ("noise", ["residual"], "must differ"),
        ("noise", ["..."], "letters or digits"),
    ],
)
def test_what_cannot_be_separated_is_refused_in_one_line_and_leaves_no_files(
    tmp_path, separator, content, labels, message
):
    path = tmp_path / "in.wav"
    if content == "text":
        path.write_text("not audio")
    else:
        audio = {"empty": noise(0, 8_000, 1), "nan": np.full((8_000, 1), np.nan), "noise": noise(1, 8_000, 1)}[content]
        soundfile.write(path, audio, 8_000, subtype="FLOAT")
    with pytest.raises(UserError, match=message):
        separate_recording(path, labels, separator, out=tmp_path / "out" / "in")
    assert not list(tmp_path.glob("out/*"))
