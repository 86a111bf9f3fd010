"""A query encoder for sounds that it does not know: the embedded CLAP, taught by labelled single-source clips.

Only what hears sounds is trained. Texts stay where they are, so that a separator that was trained with them as queries
understands them as before. What is taught so forgets other sounds; weights a third of the way there know both (Wortsman
et al. 2022, https://arxiv.org/abs/2109.01903). ``data-engine weights adapt`` writes them, ``model.clap`` takes them.

Example::

    clap = adapted(load_clap("embedded"), clips, AdaptConfig(), progress)
    save_adapted(clap, Path("my-clap"), AdaptedOn(sources="clips.csv", splits=("fold1",)))
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from data_specs.config import Section
from data_specs.errors import UserError
from data_specs.records import Clip
from models.checkpoints import save_clap
from models.clap import TinyClap
from pipeline.augment import augment
from pipeline.calibration_scenes import AUGMENTATION
from pipeline.mixtures import crop
from pipeline.pools import ClipPool
from pipeline.pretrain import PretrainConfig, train_clap
from pipeline.progress import NO_PROGRESS, Progress

RECORD = "adapted.json"
SHORTEST = 2  # half windows are heard too


class AdaptConfig(Section):
    """How the encoder is taught: a step of 16 sounds takes a quarter of a second of one core."""

    steps: int = Field(800, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    share: float = Field(
        0.3,
        gt=0,
        le=1,
        description="How far weights go towards the taught ones, which forget other sounds.",
    )
    seed: int = 0


class AdaptedOn(Section):
    """What an adapted encoder has heard, stored beside its weights: nothing of it may serve to test on.

    No splits stand for the whole list.
    """

    sources: str
    splits: tuple[str, ...]


class AugmentedClips:
    """Clips as a ``TrackPool`` whose draws vary in speed and spectrum: a few dozen recordings stand for many."""

    def __init__(self, clips: Sequence[Clip], sample_rate_hz: int):
        self._pool = ClipPool(clips, sample_rate_hz)
        self.labels = self._pool.labels

    def draw(self, label: str, rng: np.random.Generator, length: int) -> np.ndarray:
        """A varied crop of a random clip of the label, (length,) float32."""
        longer = self._pool.draw(label, rng, round(length * AUGMENTATION.speed_range[1]))
        return crop(augment(longer, rng, AUGMENTATION), rng, length)


def adapted(clap: TinyClap, clips: Sequence[Clip], config: AdaptConfig, progress: Progress = NO_PROGRESS) -> TinyClap:
    """``clap`` itself, after its audio side has learned the labels of single-source clips.

    Raises:
        UserError: the clips have fewer than three labels, which is what a scene to learn from may hold.
    """
    pool = AugmentedClips(clips, clap.sample_rate_hz)
    if len(pool.labels) < 3:
        raise UserError(f"an encoder is taught by clips of three labels or more, these have {len(pool.labels)}")
    before = {name: value.clone() for name, value in clap.state_dict().items() if value.is_floating_point()}
    clap.requires_grad_(False)
    for part in (clap.audio, clap.audio_projection):
        part.requires_grad_(True)
    torch.manual_seed(config.seed)
    training = PretrainConfig(
        seed=config.seed,
        clap_steps=config.steps,
        clap_batch=config.batch_size,
        clap_learning_rate=config.learning_rate,
    )
    train_clap(pool, training, progress, clap=clap, shortest=SHORTEST)
    with torch.no_grad():
        for name, value in clap.state_dict().items():
            if name in before:
                value.copy_(torch.lerp(before[name], value, config.share))
    return clap


def save_adapted(clap: TinyClap, folder: Path, heard: AdaptedOn) -> None:
    """Write a CLAP checkpoint and the record of what it has heard."""
    save_clap(clap, folder)
    (folder / RECORD).write_text(heard.model_dump_json(indent=2) + "\n", encoding="utf-8")


def check_unheard(clap: str, sources: str, splits: Sequence[str]) -> None:
    """An encoder that was adapted on what it is to be tested on makes any result too good.

    Raises:
        UserError: the encoder's record names one of the splits of the same list.
    """
    record = Path(clap) / RECORD
    if not record.is_file():
        return
    heard = AdaptedOn.model_validate_json(record.read_text("utf-8"))
    both = [split for split in splits if split in heard.splits or not heard.splits]
    if both and Path(heard.sources).resolve() == Path(sources).resolve():
        raise UserError(f"{clap} was adapted on {both[0]} of {sources}: test on another split, or adapt without it")
