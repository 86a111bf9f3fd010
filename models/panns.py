"""PANNs Cnn14 as a tagger, by the class of the ``panns-inference`` package.

At its first import, the package fetches a label table with wget into the home folder, and goes on with an empty one
where that fails. The table is part of this project, so the package gets it from here and fetches nothing.

Source: Kong et al. 2020, https://arxiv.org/abs/1912.10211.

Example::

    tagger = PannsTagger.load(Path("Cnn14_mAP=0.431.pth"))
    tagger.scores(waveforms)      # (B, 527) in [0, 1]
"""

import sys
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_specs.errors import UserError
from data_specs.labels import label_table
from data_specs.records import TagSource
from models.weight_files import fit, read_weights

WHAT = "a PANNs Cnn14 checkpoint"
SAMPLE_RATE_HZ = 32_000
SHORTEST = 31 * 320
"""Samples below which five poolings of the spectrogram leave nothing."""

_CONFIG = "panns_inference.config"
_BATCH = 16


class PannsTagger:
    """Scores of AudioSet's classes by Cnn14, trained on all of them at once."""

    source: TagSource = "panns"

    def __init__(self, cnn14: nn.Module):
        self.cnn14 = cnn14.eval().requires_grad_(False)

    @classmethod
    def load(cls, checkpoint: Path) -> "PannsTagger":
        """From a file in its published format, onto torch's default device.

        Raises:
            UserError: the file is missing, damaged, or holds another network.
        """
        weights = read_weights(checkpoint, WHAT)
        with torch.device("cpu"):
            cnn14 = panns_package().Cnn14(
                sample_rate=SAMPLE_RATE_HZ,
                window_size=1024,
                hop_size=320,
                mel_bins=64,
                fmin=50,
                fmax=14_000,
                classes_num=len(label_table()),
            )
        fit(cnn14, weights, source=checkpoint, what=WHAT)
        return cls(cnn14.to(torch.get_default_device()))

    @torch.inference_mode()
    def scores(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) at 32 kHz to scores (B, 527) in [0, 1]."""
        device = next(self.cnn14.parameters()).device
        padded = F.pad(waveforms.to(device), (0, max(0, SHORTEST - waveforms.shape[1])))
        return torch.cat([self.cnn14(batch)["clipwise_output"] for batch in padded.split(_BATCH)])


def panns_package() -> ModuleType:
    """``panns_inference.models``, imported without its download."""
    config = sys.modules.setdefault(_CONFIG, _config_module())
    try:
        import panns_inference.models
    except ImportError as error:
        raise UserError(f"the package panns-inference cannot be imported ({error}): run sh infra/setup.sh") from None
    panns_inference.config = config  # as an import of it would have done
    return panns_inference.models


def _config_module() -> ModuleType:
    """What ``panns_inference.config`` reads from the downloaded table, from this project's."""
    table = label_table()
    module = ModuleType(_CONFIG)
    vars(module).update(
        sample_rate=SAMPLE_RATE_HZ,
        labels=list(table.names),
        ids=list(table.mids),
        classes_num=len(table),
        lb_to_ix={label: index for index, label in enumerate(table.names)},
        ix_to_lb=dict(enumerate(table.names)),
        id_to_ix={mid: index for index, mid in enumerate(table.mids)},
        ix_to_id=dict(enumerate(table.mids)),
    )
    return module
