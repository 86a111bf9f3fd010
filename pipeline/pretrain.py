"""How the embedded weights are made: tiny CLAP, then the starting separator on top of it, on the built-in soundscapes.

No recording is used. First CLAP learns which texts are heard in single events and in mixtures of them; its audio tower
becomes the separator's encoder; then encoder, decoder and mask net learn to separate mixtures queried by text.

Example::

    pretrain(Path("models/embedded"), PretrainConfig(), progress)
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from data_specs.config import ClapConfig, Section, SeparatorConfig, TrainConfig
from data_specs.labels import label_table
from data_specs.soundscapes.captions import caption
from models.architectures import AnySeparator
from models.checkpoints import load_clap, load_separator, save_clap, save_separator
from models.clap import TinyClap
from models.queries import Query
from models.query_encoders import TinyClapEncoder
from models.separator import Separator
from pipeline.event_bank import EventBank
from pipeline.mixtures import Batch, Sample, Sampler, TrackPool, collate
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.train import fit

STORED = torch.float16  # halves what the package carries; loading gives float32


MIX_AND_SEPARATE = TrainConfig(
    steps=2_400,
    batch_size=8,
    learning_rate=1e-3,
    learning_rate_min=1e-5,
    schedule="cosine",
    validate_every=200,
    validation_mixtures=48,
    bf16=True,
    interferers_max=3,
    snr_db=(-7.5, 7.5),
)


class PretrainConfig(Section):
    """Everything that makes the embedded weights, in the order of its use."""

    seed: int = 0
    variants: int = Field(64, ge=1, description="Rendered events per label.")
    event_duration_s: float = 6.5
    clap: ClapConfig = ClapConfig()
    clap_steps: int = 1_200
    clap_batch: int = 32
    clap_learning_rate: float = 1e-3
    clap_other_labels: int = Field(64, description="Labels without built-in events, drawn per step as wrong answers.")
    separator: SeparatorConfig = SeparatorConfig()
    train: TrainConfig = MIX_AND_SEPARATE
    refine: TrainConfig = MIX_AND_SEPARATE.model_copy(
        update={
            "steps": 900,
            "learning_rate": 4e-4,
            "learning_rate_min": 1e-6,
            "validate_every": 100,
            "sdr_weight": 0.5,
        }
    )


def pretrain(
    out: Path, config: PretrainConfig, progress: Progress = NO_PROGRESS, *, scratch: Path, parts: str = "all"
) -> None:
    """Write ``clap.*`` and ``separator.*`` into ``out``; minutes to hours, depending on the steps.

    Args:
        scratch: folder for the rendered events (about 0.4 MB each); what it holds already is used again.
        parts: ``clap``, ``separator`` (on the CLAP that ``out`` holds), ``refine`` (goes on with the separator that
            ``out`` holds, at a lower rate and with more weight on SI-SDR) or ``all``.
    """
    bank = EventBank.render(
        scratch,
        variants=config.variants,
        duration_s=config.event_duration_s,
        sample_rate_hz=config.separator.sample_rate_hz,
        seed=config.seed,
        progress=progress,
    )
    torch.manual_seed(config.seed)
    if parts in ("clap", "all"):
        save_clap(train_clap(bank, config, progress), out, STORED)
    if parts in ("separator", "all"):
        separator = Separator(config.separator)
        clap = load_clap(str(out))
        separator.encoder.load_state_dict(clap.audio.state_dict())
        train_separator(separator, clap, bank, config.train, seed=config.seed, out=out, progress=progress)
    if parts in ("refine", "all"):
        refined, clap = load_separator(str(out)), load_clap(str(out))
        train_separator(refined, clap, bank, config.refine, seed=config.seed + 10, out=out, progress=progress)


def train_clap(
    bank: TrackPool, config: PretrainConfig, progress: Progress, *, clap: TinyClap | None = None, shortest: int = 1
) -> TinyClap:
    """Contrastive training with a sigmoid per (audio, text) pair, since several labels are right for a mixture.

    Args:
        clap: what to go on with, a new one where None; only what requires a gradient is trained.
        shortest: batches are as long as a window over 1 to this number, at random.
    """
    clap = clap or TinyClap(config.clap, config.separator.sample_rate_hz)
    trained = [parameter for parameter in clap.parameters() if parameter.requires_grad]
    window = clap.window_length
    optimizer = torch.optim.AdamW(trained, lr=config.clap_learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.clap_learning_rate, total_steps=config.clap_steps, pct_start=0.1
    )
    rng = np.random.default_rng(config.seed)
    batches = _ahead(lambda: _clap_batch(bank, window // int(rng.integers(1, shortest + 1)), config, rng))
    clap.train()
    with progress.task("train CLAP", config.clap_steps) as task:
        smoothed = 0.0
        for step, (audio, texts, heard) in enumerate(islice(batches, config.clap_steps), start=1):
            with torch.autocast("cpu", torch.bfloat16):
                audio_vectors = clap.embed_audio(audio)
            logits = clap.logits(audio_vectors.float(), clap.embed_text(texts))  # (B, texts)
            loss = F.binary_cross_entropy_with_logits(logits, heard, reduction="none").sum(dim=1).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 5.0)
            optimizer.step()
            schedule.step()
            smoothed += (loss.item() - smoothed) * max(0.02, 1 / step)
            task.advance()
            if step % 100 == 0:
                progress.say(f"CLAP step {step}: loss {smoothed:.3f}")
    return clap.eval()


def _clap_batch(
    bank: TrackPool, length: int, config: PretrainConfig, rng: np.random.Generator
) -> tuple[Tensor, list[str], Tensor]:
    """Audio (B, T), texts, and which text is heard in which audio (B, texts)."""
    table = label_table()
    others = [name for name in table.names if name not in bank.labels]
    drawn = rng.choice(others, size=config.clap_other_labels, replace=False).tolist()
    names = [*bank.labels, *drawn]
    texts = [caption(name, rng) for name in names]
    audio = np.zeros((config.clap_batch, length), np.float32)
    heard = np.zeros((config.clap_batch, len(names)), np.float32)
    for row in range(config.clap_batch):
        for label in rng.choice(bank.labels, size=int(rng.integers(1, 4)), replace=False).tolist():
            event = bank.draw(label, rng, length)
            level = np.sqrt(np.mean(event**2))
            if level > 1e-5:
                audio[row] += event / level * 10 ** (rng.uniform(-8, 8) / 20)
                heard[row] = np.maximum(heard[row], [name == label or name in table.ancestors(label) for name in names])
        audio[row] += rng.standard_normal(length).astype(np.float32) * 10 ** (rng.uniform(-60, -25) / 20)
    return torch.from_numpy(audio), texts, torch.from_numpy(heard)


def train_separator(
    separator: AnySeparator,
    clap: TinyClap,
    bank: EventBank,
    train: TrainConfig,
    *,
    seed: int,
    out: Path,
    progress: Progress,
) -> None:
    """Mix-and-separate in place, the encoder included; ``out`` always holds the best validation so far."""
    encoder = TinyClapEncoder(clap)
    rng = np.random.default_rng(seed + 1)

    def batches_of(sampler: Sampler, size: int) -> Callable[[], Batch]:
        return lambda: collate([_rephrased(sample, rng) for sample in islice(sampler, size)], encoder)

    length = separator.window_length
    make_training = batches_of(Sampler([bank], None, train, length=length, seed=seed + 2), train.batch_size)
    make_validation = batches_of(Sampler([bank], None, train, length=length, seed=seed + 3), 8)
    validation = [make_validation() for _ in range(train.validation_mixtures // 8)]
    best = -np.inf
    smoothed = 0.0

    with progress.task("train separator", train.steps) as task:

        def on_step(step: int, loss: float) -> None:
            nonlocal smoothed
            smoothed += (loss - smoothed) * max(0.02, 1 / step)
            task.advance()

        def on_validation(step: int, sdri_db: float) -> None:
            nonlocal best
            progress.say(f"separator step {step}: loss {smoothed:.2f} dB, validation SDRi {sdri_db:.2f} dB")
            if sdri_db > best:
                best = sdri_db
                save_separator(separator, out, STORED)

        fit(separator, _ahead(make_training), validation, train, on_step=on_step, on_validation=on_validation)


def _rephrased(sample: Sample, rng: np.random.Generator) -> Sample:
    """The same sample with its labels said in other words, so that free text works as a query."""
    queries = tuple(
        Query(
            positive=None if query.positive is None else caption(query.positive, rng),
            negatives=tuple(caption(label, rng) for label in query.negatives),
        )
        for query in sample.queries
    )
    return Sample(sample.mixture, sample.targets, queries)


T = TypeVar("T")


def _ahead(make: Callable[[], T]) -> Iterator[T]:
    """Items without end, the next one made in a thread while the last one is used."""
    with ThreadPoolExecutor(1) as thread:
        item = thread.submit(make)
        while True:
            ready = item.result()
            item = thread.submit(make)
            yield ready
