"""Taggers: waveform to one score per AudioSet label.

Example::

    tagger = load_tagger(config)
    scores = tagger.scores(waveforms)      # (B, 527) in [0, 1], columns in AudioSet order
"""

from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor

from data_specs.config import Config
from data_specs.labels import label_table
from data_specs.records import TagSource
from models.checkpoints import load_clap
from models.clap import TinyClap
from models.laion_files import is_ours
from models.query_encoders import load_query_encoder
from models.weights import WeightStore

if TYPE_CHECKING:
    from models.laion import LaionClap


TAGGER_RATE_HZ = 32_000


class Tagger(Protocol):
    """Waveform to scores over the label table; ``source`` is what its tags say about where they come from."""

    source: TagSource

    def scores(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) at ``TAGGER_RATE_HZ`` to scores (B, 527) in [0, 1]."""


class ClapTagger:
    """Zero-shot tagger: the probability, by CLAP, that a label's name is heard in the loudest match of its windows."""

    source: TagSource = "clap"

    def __init__(self, clap: TinyClap):
        self.clap = clap.eval()
        with torch.inference_mode():
            self._labels = clap.embed_text(list(label_table().names))  # (527, D)

    @torch.inference_mode()
    def scores(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) to scores (B, 527): the maximum over windows."""
        windows = self.clap.embed_windows(waveforms)  # (B, W, D)
        return self.clap.logits(windows, self._labels).sigmoid().amax(dim=1)


class LaionTagger:
    """Zero-shot tagger on LAION-CLAP, whose training gives no probability: the score is the cosine, 0 below 0."""

    source: TagSource = "clap"

    def __init__(self, encoder: "LaionClap", labels: Tensor):
        self.encoder = encoder
        self._labels = labels.to(torch.get_default_device())  # (527, D)

    @torch.inference_mode()
    def scores(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) to scores (B, 527): the maximum over windows."""
        windows = self.encoder.embed_windows(waveforms)  # (B, W, D)
        return (windows @ self._labels.T).amax(dim=1).clamp(0, 1)


def load_tagger(config: Config, labels: Tensor | None = None) -> Tagger:
    """The tagger of ``config.tag.tagger``, on torch's default device.

    Args:
        labels: vectors of the labels by ``config.model.clap``, (527, D), where they are known already.

    Raises:
        UserError: its checkpoint is missing or cannot be used.
    """
    if config.tag.tagger == "panns":
        from models.panns import PannsTagger  # takes seconds to import

        return PannsTagger.load(WeightStore().file(config.model.panns).path)
    if is_ours(config.model.clap):
        return ClapTagger(load_clap(config.model.clap))
    encoder = cast("LaionClap", load_query_encoder(config.model.clap))
    return LaionTagger(encoder, encoder.embed_text(list(label_table().names)) if labels is None else labels)
