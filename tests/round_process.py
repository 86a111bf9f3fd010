"""A round in a process of its own, for tests that kill it: what it works on, how it is started, what came of it.

The round is small but whole: clips with and without labels, the shipped models, real Ray, training with checkpoints.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile

from data_specs.config import Config
from pipeline.round import STAGES
from pipeline.shards import verify_round
from pipeline.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 1800.0
"""For a round, on a machine that has other things to do."""

_CODE = """
import sys
from data_specs.config import Config
from pipeline.round import STAGES, open_workspace, run_stage
config = Config.model_validate_json(sys.argv[2])
workspace = open_workspace(config, sys.argv[1])
for stage in STAGES[: STAGES.index(sys.argv[3]) + 1]:
    run_stage(stage, workspace, config, 1)
"""


def small_round(folder: Path, **sections) -> Config:
    """Configuration of the round, with its recordings written to ``folder``; ``sections`` override it."""
    natural = _write(folder, "natural", ["", "Rain;Bark", "", "Siren;Bark", "", "", "Rain;Siren", "Rain;Bark"])
    single = _write(folder, "single", ["Rain", "Bark", "Siren"] * 3)
    content = {
        "corpus": {"kind": "clip_list", "path": natural},
        "single_source": {"kind": "clip_list", "path": single},
        "tag": {"threshold": 0.0, "labels_max": 2, "unit_clips": 2},
        "separate": {"unit_clips": 2},
        "gate": {"preset": "paper", "itt_db": -70, "sst_db": -65},
        "train": {
            "steps": 8,
            "batch_size": 2,
            "checkpoint_every": 2,
            "validate_every": 4,
            "validation_mixtures": 4,
            "queries_per_mixture": 1,
        },
        "evaluate": {"mixtures": 2},
        "workers": {"retry_delay_s": 0.1},
    }
    for name, section in sections.items():
        content[name] = {**content.get(name, {}), **section}
    return Config.model_validate(content)


def start_round(workspace: str, config: Config, *, last: str = STAGES[-1], **environment: str) -> psutil.Popen:
    """Begin the round or go on with it, in another process, which ends after the stage ``last``."""
    with _log(workspace).open("a") as log:
        return psutil.Popen(
            [sys.executable, "-c", _CODE, workspace, config.model_dump_json(), last],
            cwd=ROOT,
            env={**_environment(), **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def run_round(workspace: str, config: Config, *, last: str = STAGES[-1], **environment: str) -> None:
    """The round from where it is to the end of the stage ``last``."""
    process = start_round(workspace, config, last=last, **environment)
    assert process.wait(PATIENCE_S) == 0, log_of(workspace)[-3000:]


def log_of(workspace: str) -> str:
    """All that the round's processes have written."""
    return _log(workspace).read_text()


def title_of(process: psutil.Process) -> str:
    """What a process of Ray calls itself, such as ``ray::MapWorker(...)``; "" when it is gone."""
    try:
        return (process.cmdline() or [""])[0]
    except psutil.Error:
        return ""


@dataclass(frozen=True)
class UndisturbedRound:
    """What a round gives that nothing happens to, and how long it takes."""

    config: Config
    results: dict[str, Any]
    seconds: float

    @classmethod
    def run(cls, folder: Path) -> "UndisturbedRound":
        """In ``folder``, which has to stay as long as the recordings are needed."""
        config = small_round(folder)
        started = time.monotonic()
        run_round(str(folder / "undisturbed"), config)
        return cls(config, results(str(folder / "undisturbed")), time.monotonic() - started)


def results(workspace: str) -> dict[str, Any]:
    """What a finished round has to show, equal for equal rounds to the last bit."""
    finished = Workspace(workspace)
    state = finished.round_state(1)
    assert state.finished == STAGES
    assert verify_round(finished, 1) == []
    tracks = finished.tracks(1)
    assert len({track.track_id for track in tracks}) == len(tracks)
    folder = finished.round_storage(1)
    weights = folder.read_bytes("checkpoint/separator.safetensors")
    return {
        "counts": state.counts,
        "tags": finished.tags(1),
        "tracks": tracks,
        "shards": {name: _digest(folder.read_bytes(f"shards/{name}")) for name in finished.shards(1)},
        "checkpoint": _digest(weights),
        "training": state.training,
        "metrics": state.metrics,
        "promotion": state.promotion,
    }


def _log(workspace: str) -> Path:
    return Path(tempfile.gettempdir()) / f"round-{workspace.replace('/', '-')}.log"


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return {**kept, "PYTHONPATH": str(ROOT)}


def _write(folder: Path, name: str, labels: list[str]) -> str:
    lines = ["path,labels"]
    for number, own in enumerate(labels):
        samples = 0.1 * np.random.default_rng([len(name), number]).normal(size=32_000)
        soundfile.write(folder / f"{name}{number}.wav", samples, 32_000)
        lines.append(f"{name}{number}.wav,{own}")
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return str(folder / f"{name}.csv")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
