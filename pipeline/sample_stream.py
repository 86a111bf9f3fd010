"""The training batches of a round, the same ones however many processes make them.

A batch of B samples comes from B lanes. A lane is a stream of samples of its own, which reads its own share of the
shards; a rank has every ``world_size``-th lane, and so has each of its loader processes among the rank's. Therefore
neither the number of ranks nor that of loaders changes a batch. Time is cut into segments of ``train.checkpoint_every``
steps: what a lane draws in a segment depends on nothing before it, so a training that goes on from a checkpoint draws
what an undisturbed one draws.

Example::

    stream = SampleStream(workspace, config, 1, length=163_840, sample_rate_hz=32_000, rank=0, world_size=2)
    for samples, problems in iter_steps(stream, loaders=4): ...
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, NamedTuple

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from data_specs.config import Config
from data_specs.records import Clip, seed_of
from pipeline.mixtures import Sampler, TrackPool
from pipeline.objectives import Material, Samples, draw_samples
from pipeline.pools import ClipPool, OnProblem, ShardBuffer
from pipeline.round_material import recordings, tagged_clips
from pipeline.workspace import Workspace

VALIDATION_SHARE = 0.1  # of the training clips; the promotion set is another one, see pipeline.round
VALIDATION_MIN = 8

_STEPS_AHEAD = 4


class Step(NamedTuple):
    """A rank's samples of one step in the order of its lanes, and what could not be read since the last step."""

    samples: list[Samples]
    problems: list[str]


@dataclass(frozen=True)
class SampleStream(IterableDataset[Step]):
    """The samples of one rank from ``start_step`` (a multiple of ``train.checkpoint_every``) on, without end.

    Args:
        length: samples of a mixture.
    """

    workspace: Workspace
    config: Config
    round_number: int
    length: int
    sample_rate_hz: int
    rank: int = 0
    world_size: int = 1
    start_step: int = 0

    @property
    def lanes(self) -> list[int]:
        """The lanes of this rank."""
        return list(range(self.rank, self.config.train.batch_size, self.world_size))

    def __iter__(self) -> Iterator[Step]:
        """Steps of this process: of all lanes of the rank, or of its share in a loader."""
        info = get_worker_info()
        lanes = self.lanes[info.id :: info.num_workers] if info else self.lanes
        problems: list[str] = []
        material = self._material(problems.append)
        streams = [self._lane(lane, material, problems.append) for lane in lanes]
        while True:
            samples = [next(stream) for stream in streams]
            yield Step(samples, problems.copy())
            problems.clear()

    def _material(self, on_problem: OnProblem) -> Material:
        """What all lanes draw from, for the objectives that are switched on."""
        rate, objectives = self.sample_rate_hz, self.config.train.objectives
        labelled = heard = None
        if "weak" in objectives:
            labelled = tagged_clips(self.workspace, self.round_number, rate, on_problem)
        if "audio_query" in objectives:
            heard = recordings(self.workspace, training_clips(self.workspace), rate, on_problem)
        clips = ClipPool(training_clips(self.workspace), rate, on_problem)
        return Material([clips], labelled=labelled, recordings=heard)

    def _lane(self, lane: int, material: Material, on_problem: OnProblem) -> Iterator[Samples]:
        train = self.config.train
        for segment in count(self.start_step // train.checkpoint_every):
            kept = ShardBuffer(
                self.workspace,
                self.round_number,
                lane=lane,
                lanes=train.batch_size,
                segment=segment,
                seed=self.config.seed,
                on_problem=on_problem,
            )
            own = material._replace(tracks=[*material.tracks, kept.tracks], natural=kept.natural)
            seed = seed_of("batches", self.config.seed, self.round_number, segment, lane)
            yield from islice(draw_samples(own, train, length=self.length, seed=seed), train.checkpoint_every)


def iter_steps(stream: SampleStream, loaders: int) -> Iterator[Step]:
    """The steps of a rank, read ahead by so many processes; 0 reads in this one."""
    loaders = min(loaders, len(stream.lanes))
    loader = DataLoader(
        stream,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=loaders,
        prefetch_factor=_STEPS_AHEAD if loaders else None,
        multiprocessing_context="spawn" if loaders else None,  # storage clients do not survive a fork
    )
    parts = iter(loader)  # of the first loader, of the second, ..., of the first again
    while True:
        own = [next(parts) for _ in range(max(1, loaders))]
        samples = [own[i % len(own)].samples[i // len(own)] for i in range(len(stream.lanes))]
        yield Step(samples, [problem for part in own for problem in part.problems])


def validation_sampler(workspace: Workspace, config: Config, round_number: int, stream: SampleStream) -> Sampler | None:
    """Draws the mixtures that a training is validated on, the same ones every time; None without clean tracks."""
    clips = validation_clips(workspace)
    pool: TrackPool = ClipPool(clips, stream.sample_rate_hz)
    if not clips:
        kept = ShardBuffer(workspace, round_number, lane=0, lanes=1, segment=0, seed=config.seed)
        pool = kept.tracks
    if not pool.labels:
        return None
    seed = seed_of("validation", config.seed)
    return Sampler([pool], None, config.train, length=stream.length, seed=seed)


def training_clips(workspace: Workspace) -> Iterator[Clip]:
    """Single-source clips to train on: those that validation leaves, or all where there are too few for both."""
    apart = _enough_for_validation(workspace)
    return (clip for clip in workspace.iter_training_clips() if not (apart and _validates(clip)))


def validation_clips(workspace: Workspace) -> list[Clip]:
    """Single-source clips to validate on."""
    apart = _enough_for_validation(workspace)
    return [clip for clip in workspace.iter_training_clips() if _validates(clip) or not apart]


def _enough_for_validation(workspace: Workspace) -> bool:
    return sum(map(_validates, workspace.iter_training_clips())) >= VALIDATION_MIN


def _validates(clip: Clip) -> bool:
    return seed_of("validation", clip.clip_id) < VALIDATION_SHARE * 2**63


def _as_it_is(step: Any) -> Any:
    return step
