"""Work units on a real Ray: committed by the workers; a lost worker costs time, a clip that kills workers itself."""

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import ray
import soundfile
import torch

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.labels import label_table
from data_specs.records import Clip, content_id
from pipeline.separate import separate_unit
from pipeline.shards import verify_round
from pipeline.tag import tag_clips
from pipeline.unit_jobs import SeparateJob, TagJob
from pipeline.units import Plan, WorkUnit, clips_with_tags, separate_units, tag_units, write_plan
from pipeline.workers import run_units, stop_ray
from pipeline.workspace import Workspace
from tests.pipeline import band_separator
from tests.pipeline.band_separator import BandSeparator, load_bands

CONFIG = Config.model_validate(
    {"audio": {"sample_rate_hz": 8000}, "gate": {"preset": "paper"}, "workers": {"retry_delay_s": 0.0}}
)
LABELS = ("Rain", "Bark")
KILLS = {"memory": "memory.oom_control", "cgroup": "memory.events"}
ABORTS, SWALLOWS, ASKS_TOO_MUCH = 4321, 4322, 4323  # samples; other clips have other lengths


@pytest.fixture(scope="module", autouse=True)
def ray_ends():
    ray.cloudpickle.register_pickle_by_value(band_separator)  # workers cannot import test modules
    yield
    stop_ray()


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.open(tmp_path / "workspace", CONFIG)


def clips_of(folder: Path, labels: tuple[str, ...], *, lengths: Mapping[int, int] | None = None) -> list[Clip]:
    """Six clips of noise, of 4000 samples but for those with ``lengths`` of their own."""
    clips = []
    for number in range(6):
        path = folder / f"{number}.wav"
        samples = (lengths or {}).get(number, 4000)
        soundfile.write(path, 0.1 * np.random.default_rng(number).normal(size=samples), 8000)
        clips.append(Clip(clip_id=content_id(number), path=str(path), labels=labels, duration_s=samples / 8000))
    return clips


def plan_of(workspace: Workspace, clips: list[Clip], stage: str = "separate") -> Plan:
    """Three units of two clips, with the labels that the clips have."""
    return write_plan(workspace, 1, stage, tag_units(clips, 2), count=3)


def units_of(plan: Plan) -> list[WorkUnit]:
    return [unit for part in plan.parts for unit in plan.units(part)]


class PoisonedSeparator(BandSeparator):
    """Some clips are the end of its process, or nearly so; ``checkpoint`` is a group that may take little memory."""

    def separate_batch(self, mixtures, labels):
        match mixtures.shape[1]:
            case n if n == ABORTS:  # as C code does that meets bad data
                os.abort()
            case n if n == SWALLOWS:  # until the kernel kills it
                Path(self.checkpoint_hash, "cgroup.procs").write_text(str(os.getpid()))
                taken = [np.ones(1 << 20) for _ in range(1000)]  # 8 MB each
                raise AssertionError(f"there was memory for all {len(taken)} pieces")
            case n if n == ASKS_TOO_MUCH:
                torch.empty(1 << 60)  # more than any machine has
        return super().separate_batch(mixtures, labels)


def load_with_share(share: float, config: Config, checkpoint: str) -> BandSeparator:
    return BandSeparator(checkpoint, share)


class RainAndBark:
    """A tagger that always hears the same two labels."""

    source = "clap"

    def scores(self, waveforms: torch.Tensor) -> torch.Tensor:
        scores = torch.zeros(len(waveforms), len(label_table()))
        scores[:, [label_table().index(label) for label in LABELS]] = 0.9
        return scores


def test_every_unit_is_done_although_a_worker_is_killed(workspace, tmp_path):
    marker = str(tmp_path / "was killed")

    def load_and_die_once(config: Config, checkpoint: str) -> BandSeparator:
        if not os.path.exists(marker):
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return load_bands(config, checkpoint)

    plan = plan_of(workspace, clips_of(tmp_path, LABELS))
    job = SeparateJob(workspace, CONFIG, 1, load_and_die_once)
    done = list(run_units(job, plan))
    assert os.path.exists(marker)
    assert sorted(one.unit_id for one in done) == plan.unit_ids
    assert sum(one.clips for one in done) == 6
    assert verify_round(workspace, 1) == []
    for unit in units_of(plan):
        here = separate_unit(unit, CONFIG, BandSeparator("embedded"))
        assert workspace.unit_tracks(1, unit.unit_id) == list(here.tracks)
        assert workspace.storage.read_bytes(f"rounds/001/shards/{unit.unit_id}.tar") == here.shard
    assert list(run_units(job, plan)) == []


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A group of processes that may take 64 MB beyond what they have when they join it."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root, f"data-engine-{uuid4().hex}")
        try:
            group.mkdir()
            (group / limit).write_text(str(64 << 20))
        except OSError:
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("only root may limit the memory of processes")


def test_clips_that_no_worker_survives_get_an_outcome_and_the_others_go_on(workspace, tmp_path, small_memory, capfd):
    config = CONFIG.model_copy(update={"workers": CONFIG.workers.model_copy(update={"retries": 1})})
    clips = clips_of(tmp_path, LABELS, lengths={0: ABORTS, 3: SWALLOWS, 4: ASKS_TOO_MUCH})

    def load(config: Config, checkpoint: str) -> BandSeparator:
        return PoisonedSeparator(str(small_memory))

    done = list(run_units(SeparateJob(workspace, config, 1, load), plan_of(workspace, clips)))
    assert [one.clips for one in done] == [2, 2, 2]
    counts = re.search(r"oom_kill (\d+)", (small_memory / KILLS[small_memory.parent.name]).read_text())
    assert counts is not None
    assert int(counts[1]) >= 2
    assert capfd.readouterr().out == ""
    tracks = workspace.tracks(1)
    assert len(tracks) == 12
    assert {(track.clip_id, track.reason) for track in tracks if track.outcome == "failed"} == {
        (clips[0].clip_id, "the worker process died of it, 2 times"),
        (clips[3].clip_id, "the worker process died of it, 2 times"),
        (clips[4].clip_id, "out of memory, 2 times"),
    }
    assert verify_round(workspace, 1) == []


def test_clips_that_were_rejected_are_tried_again_by_a_better_separator(workspace, tmp_path):
    workspace.write_clips("natural", clips_of(tmp_path, LABELS))
    outcomes = []
    for number, share in ((1, 0.01), (2, 1.0)):  # a remix that is far too quiet, and a whole one
        plan = write_plan(workspace, number, "tag", tag_units(workspace.iter_clips("natural"), 2), count=3)
        for unit in units_of(plan):
            workspace.commit_tags(number, unit.unit_id, tag_clips(unit.clips, CONFIG, RainAndBark))
        units = separate_units(clips_with_tags(workspace, number), 2)
        plan = write_plan(workspace, number, "separate", units, count=3)
        job = SeparateJob(workspace, CONFIG, number, partial(load_with_share, share))
        assert sum(unit.clips for unit in run_units(job, plan)) == 6
        outcomes.append(Counter(track.outcome for track in workspace.tracks(number)))
    assert outcomes == [{"dropped": 12}, {"kept": 12}]


def test_tags_are_heard_by_the_workers(workspace, tmp_path):
    plan = plan_of(workspace, clips_of(tmp_path, ()), "tag")
    done = list(run_units(TagJob(workspace, CONFIG, 1, lambda config: RainAndBark()), plan))
    assert sorted(one.unit_id for one in done) == plan.unit_ids
    assert [tag.clip_id for tag in workspace.tags(1)] == [content_id(number) for number in range(6)]
    assert {frozenset(tag.labels) for tag in workspace.tags(1)} == {frozenset(LABELS)}


def test_what_the_user_can_fix_comes_out_as_such(workspace, tmp_path):
    def load(config: Config, checkpoint: str) -> BandSeparator:
        raise UserError("no checkpoint there")

    plan = plan_of(workspace, clips_of(tmp_path, LABELS))
    with pytest.raises(UserError, match=r"^no checkpoint there$"):
        list(run_units(SeparateJob(workspace, CONFIG, 1, load), plan))
    assert workspace.committed_units(1) == set()


def test_a_fault_of_a_worker_says_what_happened(workspace, tmp_path):
    def load(config: Config, checkpoint: str) -> BandSeparator:
        raise ZeroDivisionError("by design")

    plan = plan_of(workspace, clips_of(tmp_path, LABELS))
    with pytest.raises(RuntimeError, match=r"work unit 00000\d-\w+ failed: ZeroDivisionError: by design"):
        list(run_units(SeparateJob(workspace, CONFIG, 1, load), plan))


def test_without_units_nothing_is_started(workspace):
    assert list(run_units(SeparateJob(workspace, CONFIG, 1), plan_of(workspace, []))) == []
