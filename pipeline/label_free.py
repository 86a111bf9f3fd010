"""Separation without labels: take a clip apart, hear what each part is, and merge the parts of one label.

A second source of tracks beside the label-queried separator: ``pipeline.separate`` scores, gates and shards what comes
out in the same way. Labels that nobody gave are found here, and none is asked for that is not heard.

Shapes: B clips, T samples, M estimates of the unconditional separator, Q labels found in a clip.

Example::

    separator = load_label_free(workspace, config)
    for found in separator.find_batch(mixtures):            # mixtures (B, T)
        found.labels, found.tracks.shape                    # ("Bark", "Rain"), (2, T)
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torchaudio.functional as AF
from torch import Tensor

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.labels import label_table
from models.checkpoints import UNCONDITIONAL_FILES, checkpoint_hash, load_unconditional
from models.taggers import TAGGER_RATE_HZ, Tagger, load_tagger
from models.tdcn import TDCN
from pipeline.label_queries import round_encoder
from pipeline.tag import labels_above
from pipeline.workspace import Workspace


class FoundTracks(NamedTuple):
    """The mutually exclusive labels of a clip, the clearest first, and their tracks (Q, T)."""

    labels: tuple[str, ...]
    tracks: Tensor


class LabelFreeSeparator:
    """Unconditional separator and tagger as one; see the module's docstring.

    Args:
        model: takes clips at ``config.audio.sample_rate_hz`` apart.
        tagger: hears what an estimate is; ``config.tag`` says how sure it must be, and how many labels a clip may have.
        checkpoint_hash: names the weights of ``model``.

    Raises:
        UserError: ``model`` works at another sample rate than clips have.
    """

    def __init__(self, model: TDCN, tagger: Tagger, config: Config, checkpoint_hash: str):
        if model.config.sample_rate_hz != config.audio.sample_rate_hz:
            raise UserError(
                f"the unconditional separator works at {model.config.sample_rate_hz} Hz, clips have "
                f"{config.audio.sample_rate_hz} Hz: set audio.sample_rate_hz, or give another separate.unconditional"
            )
        self.model = model.eval()
        self.tagger = tagger
        self.config = config
        self.checkpoint_hash = checkpoint_hash

    @classmethod
    def load(cls, config: Config, tagger: Tagger) -> "LabelFreeSeparator":
        """From the folder ``config.separate.unconditional``, on torch's default device.

        Raises:
            UserError: the checkpoint is missing, damaged, or of another sample rate.
        """
        folder = config.separate.unconditional
        return cls(load_unconditional(folder), tagger, config, checkpoint_hash(folder, UNCONDITIONAL_FILES))

    @torch.inference_mode()
    def find_batch(self, mixtures: Tensor) -> list[FoundTracks]:
        """Mixtures (B, T) to the labels found in each and their tracks; estimates without a label are left out.

        Raises:
            ValueError: estimates that are not finite.
        """
        estimates = self.model(mixtures)  # (B, M, T)
        if not estimates.isfinite().all():
            raise ValueError("the unconditional separator gave values that are not finite")
        heard = AF.resample(estimates.flatten(0, 1), self.model.config.sample_rate_hz, TAGGER_RATE_HZ)
        scores = self.tagger.scores(heard).unflatten(0, estimates.shape[:2])  # (B, M, 527)
        power = estimates.square().mean(dim=2)
        audible = power > 10 ** (self.config.separate.quiet_db / 10) * mixtures.square().mean(dim=1, keepdim=True)
        found = []
        for row, own in enumerate(scores.float().cpu().numpy()):
            labels, shares = assign_labels(own, audible[row].cpu().numpy(), self.config)
            found.append(FoundTracks(labels, torch.from_numpy(shares).to(estimates) @ estimates[row]))
        return found


def load_label_free(workspace: Workspace, config: Config) -> LabelFreeSeparator | None:
    """What separates clips without labels in a round, on torch's default device; None where none are.

    Raises:
        UserError: its checkpoint or the tagger cannot be used.
    """
    if config.separate.source == "labels":
        return None
    return LabelFreeSeparator.load(config, load_tagger(config, round_encoder(workspace, config).vectors))


def unconditional_hash(config: Config) -> str:
    """Hash of the unconditional separator of a round; empty where it needs none.

    Raises:
        UserError: its checkpoint is missing.
    """
    if config.separate.source == "labels":
        return ""
    return checkpoint_hash(config.separate.unconditional, UNCONDITIONAL_FILES)


def assign_labels(scores: np.ndarray, audible: np.ndarray, config: Config) -> tuple[tuple[str, ...], np.ndarray]:
    """Labels of a clip from the scores (M, 527) of its estimates, and which estimates (Q, M) make up each label.

    An audible estimate is what the tagger is surest of, above the threshold. A label that contains another one that is
    found as well is taken for that one, and the clearest labels stay if there are too many.

    Returns:
        Labels, the one with the best score first, and a binary matrix with at most one 1 per estimate.
    """
    names = [_best_label(own, config) if heard else "" for own, heard in zip(scores, audible, strict=True)]
    clearness: dict[str, float] = {}
    for name, own in zip(names, scores, strict=True):
        if name:
            clearness[name] = max(clearness.get(name, 0.0), float(own[label_table().index(name)]))
    found = sorted(clearness, key=lambda name: (-clearness[name], name))
    labels = label_table().exclusive(found)[: config.tag.labels_max]
    shares = np.zeros((len(labels), len(names)), np.float32)
    for estimate, name in enumerate(names):
        label = _at_home(name, labels)
        if label:
            shares[labels.index(label), estimate] = 1.0
    return labels, shares


def _best_label(scores: np.ndarray, config: Config) -> str:
    """The most specific of what the tagger is surest of; empty when it is not sure enough of anything."""
    return next(iter(labels_above(scores, config.tag)), "")


def _at_home(name: str, labels: Sequence[str]) -> str:
    """The label that an estimate goes to: its own, or the clearest of those that its own contains; empty for none."""
    table = label_table()
    if name in labels:
        return name
    return next((label for label in labels if name and name in table.ancestors(label)), "")
