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


def test_the_gap_of_a_query_encoder_on_a_list_is_printed(tmp_path, capsys):
    lines = ["path,labels,split"]
    for number, label in enumerate(["Rain", "Siren"]):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * np.random.default_rng(number).normal(size=32_000), 32_000)
        lines.append(f"{number}.wav,{label},mine")
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    command = ["experiment", "gap", "--sources", str(tmp_path / "clips.csv"), "--split", "mine", "--json"]
    assert main(command) == 0
    gap = json.loads(capsys.readouterr().out)["embedded"]
    assert gap["sounds"] == 2
    assert -1 <= gap["matching_cosine"] <= 1
