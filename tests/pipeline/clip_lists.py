"""Clip lists of noise, for rounds in which only counts and labels matter."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 32_000


def write_list(folder: Path, name: str, labels: Sequence[str], captions: Sequence[str] = ()) -> str:
    """One recording of a second per entry of ``labels``, and the list of them, whose path is returned.

    The first entries have ``captions``, which hold no comma.
    """
    lines = ["path,labels,captions"]
    for number, own in enumerate(labels):
        samples = 0.1 * np.random.default_rng(len(name) + number).normal(size=RATE_HZ)
        soundfile.write(folder / f"{name}{number}.wav", samples, RATE_HZ)
        lines.append(f"{name}{number}.wav,{own},{captions[number] if number < len(captions) else ''}")
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return str(folder / f"{name}.csv")
