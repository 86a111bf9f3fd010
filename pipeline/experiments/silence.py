"""How pure are tracks of absent labels, and what does silence augmentation cost (Tables 3 and 5 of the ClearSep paper)?

The same start is trained as often as there are silence rates, with the same steps and draws.

Example::

    results = run_silence(material, config, rates=(0.0, 0.05), size=SMALL, seed=0, out=Path("silence"))
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from data_specs.config import Config
from pipeline.experiments.material import Material, Size
from pipeline.experiments.rounds import begin, once
from pipeline.progress import NO_PROGRESS, Progress

RATES = (0.0, 0.05, 0.1, 0.15)


def run_silence(
    material: Material,
    config: Config,
    *,
    rates: Sequence[float] = RATES,
    size: Size,
    seed: int,
    out: Path,
    progress: Progress = NO_PROGRESS,
) -> list[dict[str, Any]]:
    """One entry per silence rate α; ``arm`` names it."""
    results = []
    for rate in rates:
        train = config.train.model_copy(update={"silence_rate": rate})
        own = config.model_copy(update={"train": train})
        folder = out / f"silence-{rate:g}"
        result = once(folder, partial(begin, material, own, size, seed, folder, progress))
        results.append({**result, "seed": seed, "arm": f"α = {rate:.2f}"})
    return results
