"""A user's folder, in which the documents are followed from the first page to the last."""

import contextlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from data_specs.config import load_config
from data_specs.soundscapes import BuiltinSource
from flows.cli import main
from pipeline.scenes import write_events, write_scenes
from tests.docs.documents import PAGES, ROOT, Block, blocks
from tests.docs.reduced import CHANGED, LEFT_OUT, SMALL, UNTIL_S

RATE_HZ = 32_000


class Reader:
    """Follows the pages in order: writes the files that they show and runs what they say, the same command once."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._environment = environment
        self._done: dict[Block | str, AssertionError | None] = {}
        self._steps = [step for page in PAGES for block in blocks(page) for step in _steps(block)]

    def follow(self, wanted: Block) -> None:
        """Do everything up to a block, as far as that is not done yet.

        Raises:
            AssertionError: the block itself does not do what the page says.
        """
        for step in self._steps:
            if _key(step) not in self._done:
                self._done[_key(step)] = self._try(step)
            if step == wanted:
                break
        if error := self._done[_key(wanted)]:
            raise error

    def _try(self, step: Block) -> AssertionError | None:
        try:
            with contextlib.chdir(self.folder):
                if step.file_name:
                    self._write(step)
                elif step.language == "python":
                    exec(compile(step.text, step.place, "exec"), {"__name__": "__main__"})
                else:
                    self._run(_as_run(step.text))
        except Exception as error:
            failed = AssertionError(f"{step.place}: {step.text}\n{type(error).__name__}: {error}")
            failed.__cause__ = error
            return failed
        return None

    def _write(self, step: Block) -> None:
        """A file of a page; configurations get the settings of ``SMALL`` on top."""
        text = step.text
        if step.file_name.endswith(".yaml"):
            text = yaml.safe_dump(_merged(yaml.safe_load(text), SMALL))
        elif step.file_name.endswith(".csv"):
            text = text.partition("\n")[2]
        Path(step.file_name).write_text(text, "utf-8")

    def _run(self, command: str) -> None:
        """The engine's short commands in this process, everything else in a shell."""
        words = [] if set(command) & set("|&;$<>") else shlex.split(command, comments=True)
        if words and Path(words[0]).name == "data-engine" and words[1] not in ("run", "demo"):
            assert main(words[1:]) == 0, command
            return
        subprocess.run(command, shell=True, env=self._environment, check=True, timeout=UNTIL_S, executable="/bin/bash")


def _key(step: Block) -> Block | str:
    """A command is what it says, wherever it stands."""
    return _as_run(step.text) if step.language == "sh" else step


def _as_run(command: str) -> str:
    return CHANGED.get(command, command)


def _steps(block: Block) -> list[Block]:
    if block.language == "sh":
        return [command for command in block.commands() if command.text not in LEFT_OUT]
    return [block] if block.language == "python" or block.file_name else []


def _merged(base: dict, top: dict) -> dict:
    return {
        **base,
        **{
            key: _merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
            for key, value in top.items()
        },
    }


@pytest.fixture(scope="session")
def reader(tmp_path_factory) -> Reader:
    """A reader in a folder with the recordings that the pages speak of, all of them built-in sounds."""
    folder = tmp_path_factory.mktemp("reader")
    config = load_config("embedded")
    write_scenes(BuiltinSource(), count=6, out=folder / "scenes-made", config=config, seed=5, duration_s=4.0)
    write_events(count=60, out=folder / "singles", duration_s=2.0, sample_rate_hz=RATE_HZ, seed=5)
    scenes = sorted((folder / "scenes-made" / "audio").rglob("*.flac"))
    for number, scene in enumerate(scenes):
        target = folder / ("field" if number < 4 else "takes") / f"{number}.wav"
        target.parent.mkdir(exist_ok=True)
        soundfile.write(target, soundfile.read(scene, dtype="float32")[0], RATE_HZ)
    waveform = soundfile.read(scenes[0], dtype="float32")[0]
    soundfile.write(folder / "street.ogg", np.stack([waveform, 0.5 * waveform], axis=1), RATE_HZ)
    events = sorted((folder / "singles" / "audio").iterdir())[:2]
    for name, event in zip(("a", "b"), events, strict=True):
        (folder / "singles" / "audio" / f"{name}.flac").write_bytes(event.read_bytes())
    commands = folder / "bin"
    commands.mkdir()
    script = commands / "data-engine"
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom flows.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")),
    }
    return Reader(folder, environment)
