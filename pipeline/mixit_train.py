"""Training of the unconditional separator by MixIT: mixtures of natural mixtures, the loss, and the loop. No Ray here.

Stands beside ``pipeline.train``: it needs no label and no single source, only clips. ``pipeline.unconditional_train``
calls ``fit_mixit`` with the clips of a workspace; experiments call it with scenes of their own.

Shapes: B batch, N mixtures, M estimates, T samples, L labels.

Example::

    batches = mixture_batches(ClipMixtures(clips, tags, sample_rate_hz=32_000), config, seed=0)
    losses = fit_mixit(TDCN(config.network), batches, config)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
import torchaudio.functional as AF
from torch import Tensor, nn

from data_specs.records import Clip
from data_specs.unconditional import UnconditionalTrainConfig
from models.clap import TinyClap
from models.losses import energy
from models.mixit import mixit
from models.mixit_terms import UNHEARD_LOGIT, covariance_loss, semantic_loss, sparsity_loss
from pipeline.audio import AudioError, decode
from pipeline.mixtures import SILENT_RMS, crop

LEVEL_RMS = 0.05
CACHED_CLIPS = 256
WARM_UP = 0.1  # share of the steps in which the learning rate rises
QUIET = 1e-3  # of the mixture's energy: what is said of quieter estimates is not listened to


class MixtureSource(Protocol):
    """Natural mixtures to draw from, with the labels that are known of them (maybe none)."""

    def draw(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, Sequence[str]]:
        """A random crop (or the padded whole) of a random mixture, (length,) float32, and its labels."""


class ClipMixtures:
    """Natural clips as a ``MixtureSource``, decoded when drawn, with a small cache.

    Args:
        labels: by clip id; a clip may be missing.

    Raises:
        ValueError: no clips.
    """

    def __init__(self, clips: Sequence[Clip], labels: Mapping[str, Sequence[str]], sample_rate_hz: int):
        if not clips:
            raise ValueError("there is no clip to draw mixtures from")
        self._clips = clips
        self._labels = labels
        self._decode = lru_cache(CACHED_CLIPS)(
            lambda clip: decode(
                clip.path, start_s=clip.start_s, duration_s=clip.duration_s, sample_rate_hz=sample_rate_hz
            )
        )

    def draw(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, Sequence[str]]:
        """A random crop of a random clip, and the clip's labels.

        Raises:
            AudioError: when the file vanished since it was ingested.
        """
        clip = self._clips[int(rng.integers(len(self._clips)))]
        try:
            waveform = self._decode(clip)
        except AudioError as error:
            raise AudioError(f"{clip.path}: {error}") from None
        return crop(waveform, rng, length), self._labels.get(clip.clip_id, ())


@dataclass(frozen=True)
class MixtureBatch:
    """Mixtures (B, N, T), of which every row of N is summed for the separator, and the labels of each."""

    mixtures: Tensor
    labels: tuple[tuple[tuple[str, ...], ...], ...]

    def to(self, device: torch.device | str) -> "MixtureBatch":
        """The same batch on another device."""
        return MixtureBatch(self.mixtures.to(device), self.labels)


def mixture_batches(
    source: MixtureSource, config: UnconditionalTrainConfig, *, sample_rate_hz: int, batch_size: int, seed: int
) -> Iterator[MixtureBatch]:
    """Batches without end, decided by the seed. Mixtures come at levels within ``gain_db``; silent ones stay silent."""
    rng = np.random.default_rng(seed)
    length = round(config.duration_s * sample_rate_hz)
    while True:
        mixtures = np.zeros((batch_size, config.mixtures, length), np.float32)
        labels = []
        for row in mixtures:
            labels.append(tuple(_draw_into(mixture, source, rng, config) for mixture in row))
        yield MixtureBatch(torch.from_numpy(mixtures), tuple(labels))


def _draw_into(
    mixture: np.ndarray, source: MixtureSource, rng: np.random.Generator, config: UnconditionalTrainConfig
) -> tuple[str, ...]:
    waveform, labels = source.draw(rng, len(mixture))
    level = np.sqrt(np.mean(np.square(waveform)))
    if level > SILENT_RMS:
        waveform = waveform / level * LEVEL_RMS * 10 ** (rng.uniform(*config.gain_db) / 20)
    mixture[:] = waveform
    return tuple(labels)


class ClapClassifier(nn.Module):
    """Weak labels by a frozen CLAP: waveforms (B, M, T) to logits (B, M, L) that a text is heard, with gradients.

    Args:
        sample_rate_hz: of the waveforms; they are resampled to CLAP's own rate.
    """

    texts: Tensor

    def __init__(self, clap: TinyClap, vocabulary: Sequence[str], sample_rate_hz: int):
        super().__init__()
        self.vocabulary = tuple(vocabulary)
        self.clap = clap.requires_grad_(False).eval()
        self.sample_rate_hz = sample_rate_hz
        with torch.no_grad():
            self.register_buffer("texts", clap.embed_text(list(vocabulary)), persistent=False)

    def train(self, mode: bool = True) -> "ClapClassifier":
        """Always in evaluation mode: it is frozen."""
        return super().train(False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, M, T) to logits (B, M, L)."""
        flat = AF.resample(waveforms.flatten(0, 1), self.sample_rate_hz, self.clap.sample_rate_hz)
        return self.clap.logits(self.clap.embed_audio(flat), self.texts).unflatten(0, waveforms.shape[:2])

    def targets(self, labels: Sequence[Sequence[Sequence[str]]]) -> Tensor:
        """Labels of B times N mixtures as 0 and 1, (B, N, L)."""
        rows = [[[float(name in own) for name in self.vocabulary] for own in row] for row in labels]
        return torch.tensor(rows, device=self.texts.device)


def fit_mixit(
    model: nn.Module,
    batches: Iterator[MixtureBatch],
    config: UnconditionalTrainConfig,
    *,
    classifier: ClapClassifier | None = None,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> list[float]:
    """Train ``model`` (a TDCN, maybe wrapped for distributed training) in place for ``config.steps`` steps.

    Args:
        classifier: for the semantic loss; needed when ``config.semantic_weight`` is above 0.

    Returns:
        The loss of every step in dB.

    Raises:
        ValueError: a semantic loss without a classifier.
    """
    if config.semantic_weight > 0 and classifier is None:
        raise ValueError("semantic_weight needs a classifier")
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.learning_rate, total_steps=config.steps + 1, pct_start=WARM_UP
    )
    losses = []
    model.train()
    for step in range(1, config.steps + 1):
        loss = batch_loss(model, next(batches), config, classifier)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        if torch.isfinite(norm):
            optimizer.step()
        schedule.step()
        losses.append(loss.item())
        on_step(step, losses[-1])
    model.eval()
    return losses


def batch_loss(
    model: nn.Module,
    batch: MixtureBatch,
    config: UnconditionalTrainConfig,
    classifier: ClapClassifier | None = None,
) -> Tensor:
    """MixIT loss of a batch in dB, its mean over the batch, with the added losses that have a weight."""
    whole = batch.mixtures.sum(dim=1)
    estimates = model(whole)
    fit = mixit(estimates, batch.mixtures, search=config.search)
    loss = fit.loss
    if config.sparsity_weight:
        loss = loss + config.sparsity_weight * sparsity_loss(estimates, whole, config.sparsity)
    if config.covariance_weight:
        loss = loss + config.covariance_weight * covariance_loss(estimates)
    if config.semantic_weight and classifier is not None:
        quiet = energy(estimates) < QUIET * energy(whole).unsqueeze(1)  # (B, M)
        logits = classifier(estimates).masked_fill(quiet.unsqueeze(-1), UNHEARD_LOGIT)
        targets = classifier.targets(batch.labels)
        loss = loss + config.semantic_weight * semantic_loss(logits, fit.assignment, targets)
    return loss.mean()


@torch.no_grad()
def validate_mixit(model: nn.Module, batches: Sequence[MixtureBatch], config: UnconditionalTrainConfig) -> float:
    """Mean training loss without the semantic term, in dB: what decides whether a model got better."""
    model.eval()
    return float(np.mean([float(batch_loss(model, batch, config)) for batch in batches]))
