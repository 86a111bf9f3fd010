"""``data-engine separate`` on files, folders and patterns, some of them damaged."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from flows.cli import main
from flows.separate_command import _remarks

RATE_HZ = 16_000


def noise(seed: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (RATE_HZ, channels)).astype(np.float32)


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Two recordings and one that is none, below ``field``; the working directory is around it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "field" / "deep").mkdir(parents=True)
    soundfile.write("field/mono.wav", noise(0), RATE_HZ, subtype="FLOAT")
    soundfile.write("field/deep/stereo.flac", noise(1, channels=2), RATE_HZ)
    (tmp_path / "field" / "broken.wav").write_text("not audio")
    return tmp_path


def outcomes(capsys) -> dict[str, dict]:
    printed = capsys.readouterr()
    return {one["recording"]: one for one in json.loads(printed.out)["recordings"]}


def test_one_that_fails_does_not_stop_the_others_and_is_the_exit_status(capsys, recordings):
    arguments = ["separate", "field", "--label", "bark", "--label", "a kettle", "--out", "tracks", "--json"]
    assert main(arguments) == 2
    found = outcomes(capsys)
    assert {path: one["outcome"] for path, one in found.items()} == {
        "field/broken.wav": "failed",
        "field/mono.wav": "separated",
        "field/deep/stereo.flac": "separated",
    }
    assert found["field/broken.wav"]["reason"] == "field/broken.wav: not audio"
    stereo = found["field/deep/stereo.flac"]
    assert [(track["label"], track["free_text"]) for track in stereo["tracks"]] == [("Bark", False), ("a kettle", True)]
    files = [*(track["file"] for track in stereo["tracks"]), stereo["residual"]["file"]]
    assert files[0] == "tracks/deep/stereo.bark.wav"
    parts = [soundfile.read(file, dtype="float32", always_2d=True)[0] for file in files]
    np.testing.assert_allclose(sum(parts), soundfile.read("field/deep/stereo.flac", dtype="float32")[0], atol=1e-5)
    assert (recordings / stereo["picture"]).is_file()

    assert main([*arguments, "--skip-existing"]) == 2, "the broken one is tried again"
    printed = capsys.readouterr()
    assert "failed: field/broken.wav: not audio" in printed.err
    assert "no AudioSet class: taken as free text" in printed.err
    again = [one["outcome"] for one in json.loads(printed.out)["recordings"]]
    assert sorted(again) == ["failed", "skipped", "skipped"]

    assert main(arguments) == 2
    assert "exists: give another --out, or --overwrite" in capsys.readouterr().err


def test_what_a_track_holds_and_what_is_not_heard_is_told(capsys, recordings):
    soundfile.write("field/mono.wav", np.zeros(RATE_HZ), RATE_HZ)
    arguments = ["separate", "field/m*.wav", "--label", "Meow", "--out", "tracks", "--no-picture"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "field/mono.wav: the recording is silent, and so are its tracks" in printed
    assert sorted(path.name for path in (recordings / "tracks").iterdir()) == ["mono.meow.wav", "mono.residual.wav"]

    assert main([*arguments, "--skip-existing", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*arguments, "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr() == ("tracks/mono.meow.wav\ntracks/mono.residual.wav\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["field/broken.wav", "--label", "Bark"], "error: field/broken.wav: not audio"),
        (["field", "--label", "Bark", "--label", "bark"], "labels must differ"),
        (["nowhere", "--label", "Bark"], "no file or folder nowhere"),
        (["field", "--label", "Bark", "--checkpoint", "nowhere"], "no checkpoint"),
        (["field", "--label", "Bark", "--config", "nowhere"], "give a YAML file or one of the presets"),
    ],
)
def test_errors_of_the_user_are_one_line_and_nothing_is_written(capsys, recordings, arguments, message):
    assert main(["separate", *arguments, "--out", "tracks"]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not [path for path in recordings.glob("tracks/**/*") if path.is_file()]


def test_a_label_that_is_not_heard_is_remarked_upon():
    def stems(*heard: str):
        tracks = [SimpleNamespace(label=f"label {one}", heard=one, energy_share_db=-9.0) for one in heard]
        return SimpleNamespace(tracks=tracks, residual_share_db=-3.0, truncated=False)

    assert _remarks(stems("yes", "no", "perhaps")) == [
        "label no is probably not in it: the track holds what leaks from other sounds"
    ]
