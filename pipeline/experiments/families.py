"""The families of training that ``data-engine experiment families`` compares: what each knows, and how it learns.

A family trains a network of its own from scratch on what it may know of the training scenes:

- their tracks with labels (``supervised``) or without (``audio_query``);
- their labels (``weak``);
- nothing but how they sound (``mixit``).

Example::

    family = FAMILIES["weak"]
    separator, trained, parameters = family.train(scenes, encoder, seconds=120, seed=0, progress=NO_PROGRESS)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from data_specs.config import Architecture, SeparatorConfig, TrainConfig
from data_specs.extractors import ConformerConfig, UNetConfig
from data_specs.objectives import WeakConfig
from data_specs.unconditional import TDCNConfig, UnconditionalTrainConfig
from models.architectures import AnySeparator, build_separator
from models.label_separator import LabelSeparator, others
from models.query_encoders import TinyClapEncoder
from models.separator import Separator
from models.tdcn import TDCN
from pipeline.experiments.family_material import AnyMixture, FamilyScenes
from pipeline.experiments.timed import Trained, measure_statistics, train_for
from pipeline.experiments.training import KeptPool
from pipeline.mixit_train import batch_loss, mixture_batches
from pipeline.objectives import Material, Objectives, draw_samples
from pipeline.progress import Progress
from pipeline.scoring import QueriedSeparator

LEARNING_RATE = 1e-3
TRAIN = TrainConfig(batch_size=4, sdr_weight=0.5, interferers_max=2)
WINDOW = {"window_s": 2.56, "overlap_s": 0.25}
SPECTRUM = {"n_fft": 2048, "hop_length": 1024}  # half the frames of the usual one: a step costs little more than half
TINY_CLEARSEP = SeparatorConfig.model_validate({**WINDOW, **SPECTRUM, "mask_width": 96, "mask_layers": 1})
TINY_CONFORMER = ConformerConfig.model_validate(
    {**WINDOW, **SPECTRUM, "blocks": 3, "feed_forward": 128, "kernel_size": 15}
)
TINY_UNET = UNetConfig.model_validate({**WINDOW, "n_fft": 1022, "hop_length": 512})


class TrainedFamily(NamedTuple):
    """A separator, what its training did, and the network's number of parameters."""

    separator: QueriedSeparator
    trained: Trained
    parameters: int


class Family(Protocol):
    """One way to learn, with the network that it trains."""

    @property
    def what(self) -> str:
        """One line for the table: what is known of the training scenes, and how it is used."""

    def train(
        self,
        scenes: FamilyScenes,
        encoder: TinyClapEncoder,
        *,
        seconds: float,
        seed: int,
        progress: Progress,
    ) -> TrainedFamily:
        """A separator that was trained for ``seconds`` from weights and samples that ``seed`` decides."""


@dataclass(frozen=True)
class QueriedFamily:
    """A query-conditioned network and the objectives that it descends."""

    what: str
    train_config: TrainConfig
    network: Architecture = TINY_CLEARSEP

    def train(
        self,
        scenes: FamilyScenes,
        encoder: TinyClapEncoder,
        *,
        seconds: float,
        seed: int,
        progress: Progress,
    ) -> TrainedFamily:
        """See ``Family``."""
        separator = untrained(self.network, encoder, seed=seed)
        material = Material([KeptPool(scenes.tracks)], labelled=scenes.mixtures, recordings=scenes.sounds)
        objectives = Objectives(self.train_config, separator, encoder)
        samples = draw_samples(material, self.train_config, length=separator.window_length, seed=seed)

        def step_loss() -> Tensor:
            batch = objectives.collate(list(islice(samples, self.train_config.batch_size)))
            return torch.stack([loss(separator) for loss in objectives(batch).values()]).sum()

        torch.manual_seed(seed)
        trained = train_for(separator, step_loss, learning_rate=LEARNING_RATE, seconds=seconds, progress=progress)
        measure_statistics(separator, step_loss)
        return TrainedFamily(LabelSeparator(separator, encoder, "experiment"), trained, _parameters(separator))


@dataclass(frozen=True)
class MixitFamily:
    """An unconditional network; estimates are shared out to the labels that CLAP hears in them."""

    what: str
    train_config: UnconditionalTrainConfig

    def train(
        self,
        scenes: FamilyScenes,
        encoder: TinyClapEncoder,
        *,
        seconds: float,
        seed: int,
        progress: Progress,
    ) -> TrainedFamily:
        """See ``Family``."""
        config = self.train_config
        torch.manual_seed(seed)
        model = TDCN(config.network)
        batches = mixture_batches(
            AnyMixture(scenes.mixtures),
            config,
            sample_rate_hz=scenes.sample_rate_hz,
            batch_size=config.batch_size,
            seed=seed,
        )
        trained = train_for(
            model,
            lambda: batch_loss(model, next(batches), config),
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            seconds=seconds,
            progress=progress,
        )
        return TrainedFamily(HandedOut(model, encoder), trained, _parameters(model))


class HandedOut:
    """Answers label queries with the estimates of an unconditional separator (a ``QueriedSeparator``).

    Every estimate is shared out to the texts of the query, the positive and the negative ones, by the probability that
    CLAP gives each of them: a text that no estimate fits best gets what fits it most, not digital silence. Without
    negatives there is nobody to share with: the answer is the one audible estimate that fits the text best.
    """

    checkpoint_hash = "experiment"
    quiet = 1e-3  # of the mixture's energy: what is below is not audible

    def __init__(self, model: TDCN, encoder: TinyClapEncoder):
        self.model = model.eval()
        self.encoder = encoder

    @torch.inference_mode()
    def separate_batch(
        self,
        mixtures: Tensor,
        labels: Sequence[Sequence[str]],
        *,
        negatives: Sequence[Sequence[Sequence[str]]] | None = None,
    ) -> list[Tensor]:
        """Mixtures (B, T) with Q labels each to B tensors (Q, T)."""
        tracks = []
        for row, (mixture, estimates) in enumerate(zip(mixtures, self.model(mixtures), strict=True)):  # (T,), (M, T)
            own = labels[row]
            rest = negatives[row] if negatives is not None else others(own)
            sound = self.encoder.embed_audio(estimates)  # (M, D)
            audible = estimates.square().sum(dim=1) > self.quiet * mixture.square().sum()
            answers = []
            for label, against in zip(own, rest, strict=True):
                fit = sound @ self.encoder.embed_text([label, *against]).T  # (M, 1 + negatives)
                if against:
                    share = (self.encoder.logit_scale * fit).softmax(dim=1)[:, 0]
                else:
                    best = fit[:, 0].masked_fill(~audible, -torch.inf).argmax()
                    share = (torch.arange(len(fit), device=fit.device) == best).to(estimates)
                answers.append((estimates * share.unsqueeze(1)).sum(dim=0))
            tracks.append(torch.stack(answers))
        return tracks


def untrained(network: Architecture, encoder: TinyClapEncoder, *, seed: int) -> AnySeparator:
    """A fresh network; the ClearSep separator gets CLAP's audio tower as its encoder, which is part of the method."""
    separator = build_separator(network, seed=seed)
    if isinstance(separator, Separator):
        separator.encoder.load_state_dict(encoder.clap.audio.state_dict())
    return separator


def changed(config: TrainConfig, **changes: object) -> TrainConfig:
    """The same training but for what is named, checked again."""
    return TrainConfig.model_validate({**config.model_dump(), **changes})


TWO_SOUNDS = changed(TRAIN, interferers_max=1, silence_rate=0.0, pos_only_rate=1.0, neg_only_rate=0.0, sdr_weight=0.0)
"""Mixtures of two as the papers on queries test them: a positive query alone, and -SI-SDR where sources are known."""


def _audio(kind: str) -> TrainConfig:
    return changed(TRAIN, objectives={"audio_query": 1.0}, audio_query={"kind": kind})


_ONLY_MIXTURES = WeakConfig(contrastive_weight=0, consistency_weight=0)
_WEAK = {"objectives": {"weak": 1.0}, "batch_size": 2, "weak": {"asked": 1}}  # a step as long as others
_MIXIT = UnconditionalTrainConfig(network=TDCNConfig(outputs=8, window_length=2048, hop_length=1024), duration_s=2.56)

FAMILIES: dict[str, Family] = {
    "supervised": QueriedFamily("tracks and labels, text queries", TRAIN),
    "mixtures-only": QueriedFamily(
        "labels; mix-and-separate of mixtures (URL)",
        changed(TRAIN, objectives={"weak": 1.0}, weak=_ONLY_MIXTURES.model_dump()),
    ),
    "weak": QueriedFamily("labels; CNT, CRL and URL", changed(TRAIN, **_WEAK)),
    "weak-unet": QueriedFamily("labels; CNT, CRL and URL, U-Net", changed(TRAIN, **_WEAK), TINY_UNET),
    "semi": QueriedFamily(
        "tracks and labels; supervised + weak",
        changed(TRAIN, **{**_WEAK, "objectives": {"supervised": 1.0, "weak": 0.2}}),
    ),
    "text": QueriedFamily("tracks and labels, text queries, conformer", TRAIN, TINY_CONFORMER),
    "audio": QueriedFamily("tracks, raw audio queries, conformer", _audio("none"), TINY_CONFORMER),
    "audio-noise": QueriedFamily("tracks, audio queries with noise, conformer", _audio("noise"), TINY_CONFORMER),
    "audio-dropout": QueriedFamily("tracks, audio queries with dropout, conformer", _audio("dropout"), TINY_CONFORMER),
    "mixit": MixitFamily("nothing; MixIT, 8 outputs", _MIXIT.model_copy(update={"sparsity_weight": 0.0})),
    "mixit-sparse": MixitFamily("nothing; MixIT with sparsity, 8 outputs", _MIXIT),
}
"""By name, in the order of the table."""


def _parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
