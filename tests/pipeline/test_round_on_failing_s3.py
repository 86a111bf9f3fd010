"""A whole round in a bucket, on a real Ray: corpora, shards, manifests, states, checkpoint are read and written there.

Then the same round while the store fails: it ends equal to the undisturbed one, or it stops with one line and the next
run goes on.
"""

from collections.abc import Iterator

import numpy as np
import pytest
import soundfile

from data_specs import filesystems
from data_specs.config import Config
from models.checkpoints import checkpoint_hash
from pipeline.ledger import STAGES, RoundState
from pipeline.round import open_workspace, run_stage
from pipeline.shards import iter_round
from pipeline.storage import Storage
from pipeline.workers import stop_ray
from pipeline.workspace import Workspace
from tests.round_process import results
from tests.s3 import AT_ONCE, BUCKET, FaultyProxy, S3Server

NATURAL = ["Rain;Bark", "Siren;Bark", "Rain;Siren"]
FOLDER = f"s3://{BUCKET}/failing"
SHARE, STALLS = 0.05, (r"GET .*natural\.csv", r"GET .*natural0\.flac", r"PUT .*round\.json", r"PUT .*index\.html")
WRITTEN = {
    "ingest": r"clips/natural",
    "separate": r"rounds/001/tracks/000001",
    "train": r"rounds/001/training\.pt",
    "report": r"rounds/001/report/index",
}
"""What the store does not take any more, by stage."""


@pytest.fixture(scope="module")
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    """The way to the store for this process and for Ray's, which lives as long; it loses patience sooner."""
    with pytest.MonkeyPatch.context() as patch, FaultyProxy(s3_server.port) as started:
        for name, value in s3_server.environment(started.port).items():
            patch.setenv(name, value)
        patch.setattr(filesystems, "S3_STALL_TIMEOUT_S", 2.0)  # of this process; that of Ray's is longer
        filesystems._s3.cache_clear()
        yield started
        stop_ray()
        filesystems._s3.cache_clear()


@pytest.fixture(scope="module")
def config(proxy: FaultyProxy, tmp_path_factory) -> Config:
    """Three clips in two work units, a gate that keeps everything, and two training steps with a state after each."""
    scratch = tmp_path_factory.mktemp("audio") / "a.flac"
    for name, labels in (("natural", NATURAL), ("single", ["Rain", "Bark"] * 2)):
        lines = ["path,labels"]
        for number, own in enumerate(labels):
            samples = 0.1 * np.random.default_rng(len(name) + number).normal(size=32_000)
            soundfile.write(scratch, samples, 32_000)
            Storage(FOLDER).upload(scratch, f"audio/{name}{number}.flac")
            lines.append(f"{name}{number}.flac,{own}")
        Storage(FOLDER).write_bytes(f"lists/{name}.csv", "\n".join(lines).encode())
    corpora = {
        corpus: {"kind": "clip_list", "path": f"{FOLDER}/lists/{name}.csv", "audio_root": f"{FOLDER}/audio"}
        for corpus, name in (("corpus", "natural"), ("single_source", "single"))
    }
    return Config.model_validate(
        {
            **corpora,
            "separate": {"unit_clips": 2},
            "gate": {"preset": "paper", "itt_db": -70, "sst_db": -65},
            "train": {"steps": 2, "batch_size": 1, "validation_mixtures": 1, "checkpoint_every": 1},
            "evaluate": {"mixtures": 2},
            "workers": {"retry_delay_s": 0.1, "train_retries": 1},
        }
    )


def run_round(config: Config, workspace: str) -> RoundState:
    """From where it is to its end."""
    opened = open_workspace(config, workspace)
    for stage in STAGES:
        state = run_stage(stage, opened, config, 1)
    return state


@pytest.fixture(scope="module")
def undisturbed(config: Config, proxy: FaultyProxy) -> tuple[dict, int]:
    """Results of the round without faults, and how many requests it took."""
    proxy.heal()
    run_round(config, f"{FOLDER}/undisturbed")
    requests = len(proxy.requests)
    return results(f"{FOLDER}/undisturbed"), requests


def test_a_round_of_a_bucket_is_whole_and_the_next_one_starts_from_it(undisturbed):
    workspace = Workspace(f"{FOLDER}/undisturbed")
    state = workspace.round_state(1)
    assert state.state == "finished"
    assert state.counts["separate"].kept == 3
    assert {sample.meta.source_path for sample in iter_round(workspace, 1)} == {
        f"{FOLDER}/audio/natural{number}.flac" for number in range(3)
    }
    folder = workspace.round_storage(1)
    assert folder.child("report").is_file("index.html")
    assert "separator.safetensors" in folder.child("checkpoint").files()

    workspace.write_round_state(state.having(promotion={"promoted": True, "reason": ""}))
    start = Workspace(workspace.uri).current_checkpoint(before_round=2)
    workspace.write_round_state(state)
    assert start != "embedded"
    assert checkpoint_hash(start) == state.checkpoint_out_hash != ""


@pytest.mark.timeout(1800)
def test_a_round_whose_store_fails_now_and_then_equals_the_undisturbed_one(config, proxy, undisturbed):
    proxy.heal()
    proxy.break_some(SHARE, seed=1)
    for request in STALLS:
        proxy.break_next(request, "stall", times=1)
    state = run_round(config, f"{FOLDER}/shaken")
    assert proxy.unmet == []
    assert proxy.broken.keys() == {*AT_ONCE, "stall"}
    assert proxy.broken.total() > 0.5 * SHARE * undisturbed[1]
    proxy.heal()
    assert state.state == "finished"
    assert results(f"{FOLDER}/shaken") == undisturbed[0]


@pytest.mark.timeout(1800)
def test_a_round_whose_store_goes_away_stops_with_one_line_and_the_next_run_goes_on(config, proxy, undisturbed):
    workspace = Workspace(f"{FOLDER}/cut-off")
    stopped_at = []
    for written in WRITTEN.values():
        proxy.heal()
        proxy.break_down(rf"(POST|PUT) /.*/cut-off/{written}")
        with pytest.raises((OSError, RuntimeError)) as stopped:
            run_round(config, workspace.uri)
        proxy.heal()
        line = str(stopped.value)
        assert "\n" not in line
        assert "(HTTP status 503)" in line
        stopped_at.append(workspace.round_state(1).next_stage if workspace.round_numbers() else "ingest")
    assert stopped_at == list(WRITTEN)
    run_round(config, workspace.uri)
    assert results(workspace.uri) == undisturbed[0]
