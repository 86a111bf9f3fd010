"""From a configuration to the network that it describes: the ClearSep separator, or one of the extractors.

All of them take a mixture (B, T) and queries (B, Q, 2 D) to estimates (B, Q, T): one may stand where another does.

Example::

    network = build_separator(ConformerConfig(), seed=0)
"""

import torch

from data_specs.config import Architecture, SeparatorConfig
from data_specs.extractors import ConformerConfig, ResUNetConfig, UNetConfig
from models.conformer import Conformer
from models.extractor import Extractor
from models.resunet import ResUNet
from models.separator import Separator
from models.unet import UNet

AnySeparator = Separator | Extractor


def build_separator(config: Architecture, *, seed: int = 0) -> AnySeparator:
    """A network with weights drawn from ``seed``, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build(config).eval()


def _build(config: Architecture) -> AnySeparator:
    match config:
        case SeparatorConfig():
            return Separator(config)
        case ConformerConfig():
            return Conformer(config)
        case ResUNetConfig():
            return ResUNet(config)
        case UNetConfig():
            return UNet(config)
