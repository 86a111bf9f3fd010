"""Words for labels: what a person might type instead of the exact AudioSet name.

Pre-training draws captions instead of names, so that free text works as a query.

Example::

    caption("Bark", np.random.default_rng(0))     # "a recording of a dog barking"
"""

from functools import cache
from importlib import resources

import numpy as np
import yaml

TEMPLATES = ("{}", "{}", "{}", "the sound of {}", "{} in the distance", "a recording of {}", "{} nearby", "loud {}")
NAME_SHARE = 0.4  # of the captions are the AudioSet name itself


@cache
def _phrases() -> dict[str, list[str]]:
    text = resources.files("data_specs.soundscapes").joinpath("captions.yaml").read_text("utf-8")
    return yaml.safe_load(text)


def phrases(label: str) -> list[str]:
    """The other words of a label; the parts of its name where none are listed."""
    return _phrases().get(label) or [part.strip() for part in label.split(",")]


def caption(label: str, rng: np.random.Generator) -> str:
    """A random way to say ``label``."""
    if rng.random() < NAME_SHARE:
        return label
    options = phrases(label)
    return TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(options[int(rng.integers(len(options)))])
