"""One recording into files that sum to it, whatever its length, rate and channels."""

import numpy as np
import pytest
import soundfile
import torch

from data_specs.config import ModelConfig
from data_specs.errors import UserError
from models.label_separator import LabelSeparator
from pipeline.stems import separate_recording


@pytest.fixture(scope="module")
def separator():
    return LabelSeparator.load(ModelConfig())


def noise(duration_s: float, rate_hz: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (round(duration_s * rate_hz), channels)).astype(np.float32)


@pytest.mark.parametrize(("duration_s", "rate_hz", "channels"), [(11.5, 8_000, 2), (0.3, 44_100, 1)])
def test_the_files_sum_to_the_recording(tmp_path, separator, duration_s, rate_hz, channels):
    audio = noise(duration_s, rate_hz, channels)
    soundfile.write(tmp_path / "straße.wav", audio, rate_hz, subtype="FLOAT")
    paths = separate_recording(tmp_path / "straße.wav", ["Bark", "a Rain, drumming"], separator, tmp_path / "out")
    assert [path.name for path in paths] == ["straße.bark.wav", "straße.a-rain-drumming.wav", "straße.residual.wav"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in paths)
    tracks = [soundfile.read(path, dtype="float32", always_2d=True) for path in paths]
    assert {rate for _, rate in tracks} == {rate_hz}
    np.testing.assert_allclose(sum(track for track, _ in tracks), audio, atol=1e-5)


def test_windows_join_without_a_seam(tmp_path):
    class Half:
        sample_rate_hz = 8_000

        def separate_batch(self, mixtures, labels):
            return [torch.stack([0.5 * mixture]) for mixture in mixtures]

    audio = noise(24.3, 8_000, 1)
    soundfile.write(tmp_path / "long.wav", audio, 8_000, subtype="FLOAT")
    path, _ = separate_recording(tmp_path / "long.wav", ["Rain"], Half(), tmp_path / "out")
    np.testing.assert_allclose(soundfile.read(path, dtype="float32", always_2d=True)[0], 0.5 * audio, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "labels", "message"),
    [
        ("text", ["Bark"], "cannot read"),
        ("empty", ["Bark"], "is empty"),
        ("nan", ["Bark"], "not numbers"),
        ("noise", ["Bark", "bark"], "must differ"),
        ("noise", ["residual"], "must differ"),
        ("noise", ["..."], "letters or digits"),
    ],
)
def test_what_cannot_be_separated_is_refused_in_one_line(tmp_path, separator, content, labels, message):
    path = tmp_path / "in.wav"
    if content == "text":
        path.write_text("not audio")
    else:
        audio = {"empty": noise(0, 8_000, 1), "nan": np.full((8_000, 1), np.nan), "noise": noise(1, 8_000, 1)}[content]
        soundfile.write(path, audio, 8_000, subtype="FLOAT")
    with pytest.raises(UserError, match=message):
        separate_recording(path, labels, separator, tmp_path / "out")
