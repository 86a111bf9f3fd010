"""The command ``plan`` on figures from a file."""

import json

import pytest

from flows.cli import main
from tests.pipeline.test_estimate import FIGURES

JOB = ("--clips", "2100000", "--labels-per-clip", "2.3", "--gpus", "8")


def test_a_plan_says_what_bounds_the_round_and_what_was_not_measured(tmp_path, capsys):
    path = tmp_path / "figures.json"
    path.write_text(FIGURES.model_dump_json())
    assert main(["plan", "embedded", *JOB, "--measured", str(path), "--gpu-hour-price", "2"]) == 0
    printed = capsys.readouterr().out
    assert "2,100,000 clips (5,833 h of audio), 2.3 labels each, on 8 x GPU" in printed
    assert "Bound by " in printed
    assert "Devices cost " in printed
    path.write_text(FIGURES.model_copy(update={"on_gpu": False}).model_dump_json())
    assert main(["plan", "embedded", *JOB, "--measured", str(path)]) == 0
    assert "Not measured: a GPU" in capsys.readouterr().out


def test_a_plan_as_json_adds_up(tmp_path, capsys):
    path = tmp_path / "figures.json"
    path.write_text(FIGURES.model_dump_json())
    assert main(["plan", "embedded", *JOB, "--measured", str(path), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert abs(sum(stage["hours"] for stage in content["stages"]) - content["hours"]) < 1e-6
    assert content["bound"] in {stage["stage"] for stage in content["stages"]}


@pytest.mark.parametrize("content", [b"{}", b"\xff\xf1"])
def test_a_file_that_holds_no_figures_is_the_users_error(tmp_path, capsys, content):
    (tmp_path / "figures.json").write_bytes(content)
    assert main(["plan", "embedded", *JOB, "--measured", str(tmp_path / "figures.json")]) == 2
    assert "holds no figures of data-engine plan --save" in capsys.readouterr().err
