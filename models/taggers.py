"""Taggers: waveform to one score per AudioSet label.

Example::

    tagger = load_tagger("embedded")
    scores = tagger.scores(waveforms)      # (B, 527) in [0, 1], columns in AudioSet order
"""

from typing import Protocol

import torch
from torch import Tensor

from data_specs.labels import label_table
from models.checkpoints import load_clap
from models.clap import TinyClap


class Tagger(Protocol):
    """Waveform to scores over the label table."""

    def scores(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) at 32 kHz to scores (B, 527) in [0, 1]."""


class ClapTagger:
    """Zero-shot tagger: the probability, by CLAP, that a label's name is heard in the loudest match of its windows."""

    def __init__(self, clap: TinyClap):
        self.clap = clap.eval()
        with torch.inference_mode():
            self._labels = clap.embed_text(list(label_table().names))  # (527, D)

    @torch.inference_mode()
    def scores(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) to scores (B, 527): the maximum over windows."""
        windows = self.clap.embed_windows(waveforms)  # (B, W, D)
        return self.clap.logits(windows, self._labels).sigmoid().amax(dim=1)


def load_tagger(name_or_folder: str) -> Tagger:
    """The tagger on the CLAP of ``config.model.clap``.

    Raises:
        UserError: no such checkpoint.
    """
    return ClapTagger(load_clap(name_or_folder))
