"""Train the unconditional separator on the natural clips of a workspace: the command ``train-unconditional``.

Neither labels nor single sources are needed, only clips. What comes out is the folder that ``separate.unconditional``
of a configuration names; rounds then separate without labels (``pipeline.label_free``). Runs in this process.

Example::

    result = train_unconditional(workspace, config, Path("unconditional"))
    result.loss_db, result.loss_before_db             # on clips that were held back
"""

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import Clip, Record, seed_of
from models.checkpoints import load_clap, load_unconditional, save_unconditional
from models.laion_files import is_ours
from models.tdcn import TDCN
from pipeline.audio import AudioError
from pipeline.mixit_train import ClapClassifier, ClipMixtures, MixtureBatch, fit_mixit, mixture_batches, validate_mixit
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.workspace import Workspace

HELD_BACK = 0.1  # of the clips, to measure on
HELD_BACK_MIN = 4  # fewer are measured on clips that were trained on

RESULT = "training.json"


class UnconditionalResult(Record):
    """What a training came to. Losses are those of training, without the semantic term, on held-back clips.

    Attributes:
        clips: trained on. held_back: measured on; 0 where there were too few to hold any back.
    """

    clips: int
    held_back: int
    steps: int
    parameters: int
    loss_before_db: float
    loss_db: float
    seconds: float


def train_unconditional(
    workspace: Workspace, config: Config, out: Path, *, start: str = "", progress: Progress = NO_PROGRESS
) -> UnconditionalResult:
    """Train as ``config.unconditional`` says, and write checkpoint and result into ``out``.

    Args:
        start: folder of an unconditional separator to train on; empty starts a new one.

    Raises:
        UserError: no clips, a checkpoint that cannot be used, another sample rate, a semantic loss without labels, or a
            recording that vanished.
    """
    train, rate = config.unconditional, config.audio.sample_rate_hz
    clips = workspace.kept_clips("natural")
    if len(clips) < 2:
        raise UserError(f"{workspace.uri} holds {len(clips)} natural clips: MixIT needs two at least")
    torch.manual_seed(config.seed)
    model = load_unconditional(start) if start else TDCN(train.network)
    if model.config.sample_rate_hz != rate:
        whose = start or "unconditional.network"
        raise UserError(f"{whose} is for {model.config.sample_rate_hz} Hz, clips have {rate} Hz: make the two equal")
    classifier = _classifier(clips, config) if train.semantic_weight else None
    own, held_back = _sides(clips)

    def batches(some: Sequence[Clip], *, size: int, seed: int) -> Iterator[MixtureBatch]:
        labels = {clip.clip_id: clip.labels for clip in some}
        source = ClipMixtures(some, labels, rate)
        return mixture_batches(source, train, sample_rate_hz=rate, batch_size=size, seed=seed)

    started = time.perf_counter()
    try:
        measured = batches(held_back or own, size=1, seed=seed_of("validation", config.seed))
        validation = list(islice(measured, train.validation_mixtures))
        before_db = validate_mixit(model, validation, train)
        with progress.task("train", train.steps) as task:
            training = batches(own, size=train.batch_size, seed=config.seed)
            fit_mixit(model, training, train, classifier=classifier, on_step=lambda step, loss: task.advance())
    except AudioError as error:
        raise UserError(f"{error}: run again, so that the workspace sees that it is gone") from None
    result = UnconditionalResult(
        clips=len(own),
        held_back=len(held_back),
        steps=train.steps,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        loss_before_db=round(before_db, 3),
        loss_db=round(validate_mixit(model, validation, train), 3),
        seconds=round(time.perf_counter() - started, 1),
    )
    save_unconditional(model, out)
    (out / RESULT).write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return result


def _classifier(clips: Sequence[Clip], config: Config) -> ClapClassifier:
    vocabulary = sorted({label for clip in clips for label in clip.labels})
    if not vocabulary:
        raise UserError("unconditional.semantic_weight needs clips with labels: set it to 0, or give labels")
    if not is_ours(config.model.clap):
        raise UserError("unconditional.semantic_weight needs a tiny CLAP as model.clap: set it to 0, or model.clap")
    return ClapClassifier(load_clap(config.model.clap), vocabulary, config.audio.sample_rate_hz)


def _sides(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on and clips to measure on, by content."""
    held = [clip for clip in clips if seed_of("unconditional", clip.clip_id) < HELD_BACK * 2**63]
    if len(held) < HELD_BACK_MIN:
        return list(clips), []
    apart = {clip.clip_id for clip in held}
    return [clip for clip in clips if clip.clip_id not in apart], held
