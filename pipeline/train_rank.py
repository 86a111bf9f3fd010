"""What one data-parallel worker of a round's training does; the same code on every rank. No Ray here.

A rank reads the workspace by itself: single-source clips, its lanes' share of the round's shards, and what else its
objectives learn from. The first one saves the state from time to time, and in the end the checkpoint and the result.

Example::

    train_rank(task, rank=0, world_size=1, prepare=lambda separator: separator)
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
import torch.distributed as dist
from torch import nn

from data_specs.config import Config
from data_specs.records import seed_of
from models.checkpoints import load_separator, save_separator
from models.lora import merge_lora, with_lora
from models.query_encoders import QUERY_RATE_HZ, QueryEncoder
from pipeline.encoder_gap import clip_sounds, gap_of
from pipeline.mixtures import Batch
from pipeline.objectives import Batches, Objectives
from pipeline.round_material import with_projection
from pipeline.sample_stream import SampleStream, iter_steps, validation_sampler
from pipeline.train import Training, fit, ranks
from pipeline.train_state import DamagedStateError, load_state, save_result, save_state
from pipeline.workspace import Workspace

_NAMED_PROBLEMS = 20
_VALIDATION_BATCH = 4


@dataclass(frozen=True)
class TrainTask:
    """What all ranks of a training are told.

    Attributes:
        key: what a state and a result belong to (``pipeline.train_state``).
        encoder: the query encoder of the round.
    """

    workspace: Workspace
    config: Config
    round_number: int
    key: str
    encoder: QueryEncoder


def train_rank(
    task: TrainTask,
    *,
    rank: int,
    world_size: int,
    prepare: Callable[[nn.Module], nn.Module],
    on_step: Callable[[int], None] = lambda step: None,
) -> None:
    """Train the round's starting checkpoint as one of ``world_size`` ranks.

    Args:
        prepare: moves the separator to this rank's device and wraps it for distributed training.
        on_step: told the number of every step.
    """
    workspace, config, round_number = task.workspace, task.config, task.round_number
    torch.manual_seed(seed_of("train", config.seed, round_number))
    problems: Counter[str] = Counter()
    try:
        state = load_state(workspace, round_number, task.key)
    except DamagedStateError as error:
        state = None
        problems[str(error)] += rank == 0
    if state and rank == 0:
        problems.update(state["problems"])
    separator = with_lora(load_separator(workspace.current_checkpoint(before_round=round_number)))
    with_projection(separator, config.train)
    model = prepare(separator)
    device = next(separator.parameters()).device
    objectives = Objectives(config.train, separator, task.encoder)
    stream = SampleStream(
        workspace,
        config,
        round_number,
        length=separator.window_length,
        sample_rate_hz=separator.config.sample_rate_hz,
        rank=rank,
        world_size=world_size,
        start_step=len(state["training"]["history"]["loss"]) if state else 0,
    )

    def batches() -> Iterator[Batches]:
        for step in iter_steps(stream, config.workers.train_loaders):
            problems.update(step.problems)
            yield objectives.collate(step.samples).to(device)

    def on_checkpoint(training: Training) -> None:
        everywhere = _of_all_ranks(problems)
        if rank == 0:
            content = {"training": training.state_dict(), "problems": dict(everywhere)}
            save_state(workspace, round_number, task.key, content)

    history = fit(
        model,
        batches(),
        _validation(task, stream, objectives, device),
        config.train,
        losses=objectives,
        resume=state["training"] if state else None,
        on_step=lambda step, loss: on_step(step),
        on_checkpoint=on_checkpoint,
    )
    everywhere = _of_all_ranks(problems)
    if rank == 0:
        gap: dict[str, float] = {}
        if "audio_query" in config.train.objectives:
            sounds = clip_sounds(workspace.iter_training_clips(), sample_rate_hz=QUERY_RATE_HZ)
            gap = gap_of(sounds, objectives.judge)
        with workspace.writing_folder(round_number, "checkpoint") as folder:
            save_separator(merge_lora(separator), folder)
        named = dict(everywhere.most_common(_NAMED_PROBLEMS))
        save_result(workspace, round_number, task.key, {**vars(history), "problems": named, "modality_gap": gap})


def _validation(task: TrainTask, stream: SampleStream, objectives: Objectives, device: torch.device) -> list[Batch]:
    """The mixtures that a training is validated on; none where there is no clean track."""
    sampler = validation_sampler(task.workspace, task.config, task.round_number, stream)
    if sampler is None:
        return []
    draws = iter(sampler)
    return [
        objectives.collate_supervised(list(islice(draws, _VALIDATION_BATCH))).to(device)
        for _ in range(max(1, task.config.train.validation_mixtures // _VALIDATION_BATCH))
    ]


def _of_all_ranks(problems: Counter[str]) -> Counter[str]:
    """Problems of all ranks together."""
    if ranks() == 1:
        return problems
    gathered: list[Counter[str]] = [Counter() for _ in range(ranks())]
    dist.all_gather_object(gathered, problems)
    return sum(gathered, Counter())
