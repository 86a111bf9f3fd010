"""The batches of a training are the same ones for any number of ranks and loaders, and from any checkpoint on."""

from itertools import islice

import numpy as np
import pytest
import soundfile

from data_specs.config import Config
from data_specs.records import Clip, Track
from pipeline.objectives import Samples
from pipeline.sample_stream import SampleStream, iter_steps, training_clips, validation_clips
from pipeline.shards import ShardItem, shard_bytes
from pipeline.workspace import Workspace

RATE = 8000
LABELS = ("Bark", "Rain", "Siren")
CONFIG = Config.model_validate({"train": {"batch_size": 4, "checkpoint_every": 3, "itt_share": 0.5, "sst_share": 0.3}})


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    """Six single-source clips and five shards of two clips each, all of noise."""
    folder = tmp_path_factory.mktemp("stream")
    workspace = Workspace.open(folder / "workspace", CONFIG)
    rng = np.random.default_rng(0)
    clips = []
    for number in range(6):
        path = folder / f"{number}.wav"
        soundfile.write(path, 0.1 * rng.normal(size=RATE), RATE)
        clips.append(Clip(clip_id=f"c{number}", path=str(path), labels=(LABELS[number % 3],), duration_s=1.0))
    workspace.write_clips("single_source", clips)
    for unit in range(5):
        items = []
        for clip in [Clip(clip_id=f"n{unit}{k}", path="x", labels=LABELS[:2], duration_s=1.0) for k in range(2)]:
            waveforms = (0.1 * rng.normal(size=(2, RATE))).astype(np.float32)
            tracks = [
                Track(track_id=f"{clip.clip_id}{k}", clip_id=clip.clip_id, label=label, index=k, tier="sst", shard="x")
                for k, label in enumerate(clip.labels)
            ]
            items.append(ShardItem(clip, waveforms.sum(axis=0), tracks, waveforms))
        rows = [track for item in items for track in item.tracks]
        workspace.commit_unit(1, f"unit{unit}", rows, shard_bytes(items, sample_rate_hz=RATE))
    return workspace


def steps(workspace, count, *, loaders=0, **where) -> list[list]:
    """Mixtures, targets and queries of the first steps."""
    stream = SampleStream(workspace, CONFIG, 1, length=4000, sample_rate_hz=RATE, **where)
    return [[content(sample) for sample in step.samples] for step in islice(iter_steps(stream, loaders), count)]


def content(samples: Samples) -> tuple:
    own = samples.of["supervised"]
    return own.mixture.tobytes(), own.targets.tobytes(), own.queries, samples.seed


def test_ranks_share_the_batch_that_one_rank_would_have(workspace):
    alone = steps(workspace, 7)
    first, second = (steps(workspace, 7, rank=rank, world_size=2) for rank in range(2))
    assert [len(step) for step in alone] == [4] * 7
    assert len({sample for step in alone for sample in step}) == 28
    assert [[a[0], b[0], a[1], b[1]] for a, b in zip(first, second, strict=True)] == alone


def test_loader_processes_change_nothing(workspace):
    assert steps(workspace, 4, loaders=3) == steps(workspace, 4)


def test_a_stream_goes_on_from_a_checkpoint_as_if_nothing_had_happened(workspace):
    assert steps(workspace, 4, start_step=3) == steps(workspace, 7)[3:]


def test_few_clips_are_trained_on_and_validated_on_many_are_not_shared(tmp_path):
    workspace = Workspace.open(tmp_path, CONFIG)
    for count, shared in ((6, True), (300, False)):
        clips = [Clip(clip_id=f"c{n}", path="x", labels=("Bark",)) for n in range(count)]
        workspace.write_clips("single_source", clips)
        training = {clip.clip_id for clip in training_clips(workspace)}
        validating = {clip.clip_id for clip in validation_clips(workspace)}
        assert len(training | validating) == count
        assert bool(training & validating) == shared
