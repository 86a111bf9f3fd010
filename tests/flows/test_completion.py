"""What the shells complete, as their completion scripts ask for it."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from data_specs.labels import label_table
from flows.cli import main
from flows.completion import shell_label

NAME = "data-engine"


@pytest.fixture
def on_the_path(tmp_path) -> dict[str, str]:
    """An environment whose ``PATH`` has this checkout's command, and whose home is empty."""
    command = tmp_path / "bin" / NAME
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nimport sys\nfrom flows.cli import main\nsys.exit(main())\n")
    command.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    return {
        **os.environ,
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "PYTHONPATH": os.getcwd(),
    }


def test_every_label_is_found_again_by_the_word_that_is_offered():
    table = label_table()
    assert all(table.resolve(shell_label(name)) == name for name in table.names)
    assert all(re.fullmatch(r"[\w-]+", shell_label(name)) for name in table.names), "a shell would have to quote it"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("sep", ["separate"]),
        ("shards v", ["verify"]),
        ("separate x.wav --check", ["--checkpoint"]),
        ("separate x.wav --label acoustic", ["acoustic_guitar"]),
        ("separate x.wav --label police_car", ["police_car_siren"]),
        ("run emb", ["embedded"]),
        ("run corp", ["corpus.yaml"]),
    ],
)
def test_commands_options_and_values_are_offered(capsys, monkeypatch, tmp_path, typed, offered):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.yaml").touch()
    words = [NAME, *typed.split(" ")]
    monkeypatch.setenv("_DATA_ENGINE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out.split() == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(on_the_path, shell):
    asked = {**on_the_path, "_DATA_ENGINE_COMPLETE": f"source_{shell}"}
    script = subprocess.run([NAME], env=asked, capture_output=True, text=True, check=True).stdout
    assert NAME in script
    if executable := shutil.which(shell):
        subprocess.run([executable, "-n"], input=script, text=True, check=True)


def test_a_bash_with_the_script_completes_a_label(on_the_path):
    script = f"""
        eval "$(_DATA_ENGINE_COMPLETE=source_bash {NAME})"
        COMP_WORDS=({NAME} separate x.wav --label jackh) COMP_CWORD=4
        _data_engine_completion {NAME}
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], env=on_the_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["jackhammer"]
