"""Experiments by the command line: what is asked for wrongly is one line that says what to do; a gap is printed."""

import json

import numpy as np
import pytest
import soundfile

from flows.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sources", "clips.csv"], "name the splits of the list to train and to test on"),
        (["--sources", "clips.csv", "--train", "a", "--test", "a"], "a split can be for training or for testing"),
        (["--family", "week"], "no family 'week'"),
    ],
)
def test_families_that_cannot_be_compared_are_refused(arguments, message, tmp_path, capsys):
    assert main(["experiment", "families", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_audio_queries_are_compared_by_one_command(tmp_path, capsys):
    out = tmp_path / "out"
    command = ["experiment", "audio-queries", "--out", str(out), "--size", "small", "--seeds", "1"]
    assert main([*command, "--family", "audio", "--family", "audio-pca"]) == 0
    shown = capsys.readouterr().out
    assert "| audio-pca | sounds, components of texts |" in shown
    assert "SI-SDRi, asked by text" in shown
    assert (out / "families.svg").is_file()
    assert main(["experiment", "families", "--out", str(out), "--size", "small", "--seeds", "1"]) == 2
    assert "holds an experiment with another comparison" in capsys.readouterr().err


def test_weak_supervision_is_compared_on_scenes_with_and_without_companions(tmp_path, capsys):
    out = tmp_path / "out"
    command = ["experiment", "weak-supervision", "--out", str(out), "--size", "small", "--seeds", "1"]
    assert main([*command, "--family", "weak", "--family", "mixtures-only"]) == 0
    shown = capsys.readouterr().out
    assert "every label only with its companion" in shown
    assert "| weak | labels; 0.5 CNT + 5 CRL + 5 URL |" in shown
    assert main([*command, "--independent"]) == 2
    assert "holds an experiment with another paired" in capsys.readouterr().err


@pytest.fixture
def clip_list(tmp_path):
    """Three clips of the split "mine"."""
    lines = ["path,labels,split"]
    for number, label in enumerate(["Rain", "Siren", "Bark"]):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * np.random.default_rng(number).normal(size=32_000), 32_000)
        lines.append(f"{number}.wav,{label},mine")
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "clips.csv")


def test_the_gap_of_a_query_encoder_on_a_list_is_printed(clip_list, capsys):
    assert main(["experiment", "gap", "--sources", clip_list, "--split", "mine", "--json"]) == 0
    gap = json.loads(capsys.readouterr().out)["embedded"]
    assert gap["sounds"] == 3
    assert -1 <= gap["matching_cosine"] <= 1
    assert gap["own_is_nearest"] == pytest.approx(1 / 3)  # the same noise three times, so to speak


def test_an_adapted_encoder_is_compared_with_the_embedded_one_and_not_tested_on_what_it_heard(
    clip_list, tmp_path, capsys
):
    own = str(tmp_path / "own")
    assert main(["weights", "adapt", "--sources", clip_list, "--split", "mine", "--out", own, "--steps", "1"]) == 0
    assert "taught by 3 clips of 3 labels" in capsys.readouterr().out
    command = ["experiment", "gap", "--sources", clip_list, "--split", "mine"]
    assert main([*command, "--clap", "embedded", "--clap", own]) == 0
    assert f"| {own} | 3 |" in capsys.readouterr().out
    command = ["experiment", "families", "--sources", clip_list, "--train", "other", "--test", "mine", "--clap", own]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "was adapted on mine" in capsys.readouterr().err
