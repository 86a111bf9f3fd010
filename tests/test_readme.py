"""The README's set-up and test commands; ``tests/docs`` follows the rest of the documents."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def code_lines(text: str) -> list[str]:
    return [line for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()]


def test_continuous_integration_runs_the_readmes_test_command_last():
    (command,) = [line for line in code_lines(README) if line.endswith("pytest")]
    assert (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1] == command


@pytest.fixture
def checkout(tmp_path):
    """The files that set-up reads, in a folder of their own."""
    for name in ("infra/setup.sh", "requirements.txt", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_setup_without_a_fitting_python_says_so_in_one_line(checkout):
    tools = checkout / "bin"
    tools.mkdir()
    for name in ("sh", "dirname", "cat", "cksum", "rm"):
        (tools / name).symlink_to(shutil.which(name))
    command = ["sh", str(checkout / "infra" / "setup.sh")]
    done = subprocess.run(command, env={"PATH": str(tools)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: needs Python 3.11 or 3.12 on the PATH")


def test_setup_returns_at_once_when_the_environment_matches(checkout):
    environment = checkout / ".venv"
    (environment / "bin").mkdir(parents=True)
    python = environment / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{shutil.which("python3")}" "$@"\n')
    python.chmod(0o755)
    stamp = "{ cat requirements.txt pyproject.toml; .venv/bin/python -VV; pwd; } | cksum > .venv/stamp"
    subprocess.run(["sh", "-c", stamp], cwd=checkout, check=True)
    started = time.monotonic()
    done = subprocess.run(["sh", "infra/setup.sh"], cwd=checkout, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - started < 10
