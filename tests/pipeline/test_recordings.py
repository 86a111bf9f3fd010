"""Which recordings a user means, and that no two of them get the same name."""

from pathlib import Path

import pytest

from data_specs.errors import UserError
from pipeline.recordings import find_recordings


@pytest.fixture
def field(tmp_path, monkeypatch):
    """A folder of (empty) recordings, as the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.wav", "a/deep/2.FLAC", "b/1.wav", "b/notes.txt", "b/._1.wav", ".git/3.wav", "x y [1].ogg"):
        path = tmp_path / "field" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(*arguments: str, out: str = "tracks") -> list[str]:
    return [str(recording.name) for recording in find_recordings(arguments, Path(out))]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["field"], ["x y [1]", "a/1", "a/deep/2", "b/1"]),
        (["field/"], ["x y [1]", "a/1", "a/deep/2", "b/1"]),
        (["field/a/1.wav"], ["1"]),
        (["field/*/1.wav"], ["a/1", "b/1"]),
        (["field/**/*.wav"], ["a/1", "b/1"]),
        (["field/x y [1].ogg"], ["x y [1]"]),
        (["field/a", "field/a/1.wav", "./field/a/1.wav"], ["1", "deep/2"]),
    ],
)
def test_files_folders_and_patterns_are_found_once_each(field, arguments, expected):
    assert names(*arguments) == expected


def test_what_was_written_before_is_no_recording_of_the_folder_around_it(field):
    (field / "field" / "tracks").mkdir()
    (field / "field" / "tracks" / "1.residual.wav").touch()
    assert "tracks/1.residual" not in names("field", out="field/tracks")
    assert names("field/*/*.wav", out="field/tracks") == ["a/1", "b/1"]


def test_recordings_that_differ_in_their_suffix_keep_it(field):
    (field / "field" / "a" / "1.mp3").touch()
    assert names("field/a") == ["1-mp3", "1-wav", "deep/2"]


@pytest.mark.parametrize(
    ("arguments", "out", "message"),
    [
        (["field/a/1.wav", "field/b/1.wav"], "tracks", "would both be written as 1"),
        (["field"], "field", "give another folder as --out"),
        (["nothing.wav"], "tracks", "no file or folder nothing.wav"),
        (["*.wav"], "tracks", r"no recording matches \*.wav"),
        (["empty"], "tracks", "holds no audio"),
    ],
)
def test_what_cannot_be_separated_without_loss_is_refused(field, arguments, out, message):
    (field / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        names(*arguments, out=out)
