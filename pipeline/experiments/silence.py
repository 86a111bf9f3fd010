"""How pure are tracks of absent labels, and what does silence augmentation cost (Tables 3 and 5 of the ClearSep paper)?

The same start is trained as often as there are silence rates, with the same steps and draws, and measured without and
with a floor of silence (``model.silence_floor_db``): ``FLOOR_DB`` where the configuration has none.

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
from pipeline.experiments.training import measure
from pipeline.progress import NO_PROGRESS, Progress

RATES = (0.0, 0.05, 0.1, 0.15)
FLOOR_DB = -15.0  # costs next to no SDRi on scenes that nothing is reported on (docs/log.md)


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
    """Two entries per silence rate α, the second one with the floor; ``arm`` names them."""
    floor_db = config.model.silence_floor_db or FLOOR_DB
    bare, floored = (
        config.model_copy(update={"model": config.model.model_copy(update={"silence_floor_db": level_db})})
        for level_db in (None, floor_db)
    )
    results = []
    for rate in rates:
        train = bare.train.model_copy(update={"silence_rate": rate})
        own = bare.model_copy(update={"train": train})
        folder, name = out / f"silence-{rate:g}", f"α = {rate:.2f}"
        result = once(folder, partial(begin, material, own, size, seed, folder, progress))
        results.append({**result, "seed": seed, "arm": name})
        again = once(folder / f"floor{floor_db:g}", partial(_measured, folder, material, floored))
        results.append({**again, "seed": seed, "arm": f"{name}, floor {floor_db:g} dB"})
    return results


def _measured(checkpoint: Path, material: Material, config: Config) -> dict[str, Any]:
    return {"round": 0, "metrics": measure(checkpoint, material, config)}
