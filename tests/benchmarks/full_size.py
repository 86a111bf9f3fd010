"""The separator at the paper's size with random weights, as the public scheme and as ours.

Masks lie around 1 / labels, so that the remix is near the mixture as that of a trained separator is.
"""

import math
import tempfile
from pathlib import Path

import torch

from data_specs.config import load_config
from models.published import clapsep
from models.separator import Separator
from tests.models.clapsep_reference import ClapSep, randomise

CONFIG = load_config("full").model.architecture


def both(labels: int) -> tuple[ClapSep, Separator]:
    """The public scheme and our separator with the same weights, in evaluation mode."""
    reference = ClapSep(CONFIG).eval()
    randomise(reference, seed=0)
    with torch.no_grad():
        last = reference.decoder_model.mask_net[3]
        last.weight.mul_(0.1)
        last.bias.fill_(-math.log(labels - 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clapsep.ckpt"
        torch.save(reference.state_dict(), path)
        return reference, clapsep(path, CONFIG)
