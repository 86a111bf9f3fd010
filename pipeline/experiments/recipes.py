"""Which recipe gives the best start from single-source clips alone? Every recipe is a configuration.

All of them are trained on the same clips from their own checkpoint (``rounds.begin``), for the experiment's steps and
batch where they name none of their own, and measured on the same test scenes.

Example::

    recipes = {"experiment": load_config("experiment"), "slow.yaml": load_config("slow.yaml")}
    results = run_recipes(material, recipes["experiment"], recipes=recipes, size=SMALL, seed=0, out=Path("recipes"))
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from data_specs.config import Config
from data_specs.errors import UserError
from pipeline.experiments.material import Material, Size
from pipeline.experiments.rounds import begin, once
from pipeline.progress import NO_PROGRESS, Progress


def run_recipes(
    material: Material,
    config: Config,
    *,
    recipes: Mapping[str, Config],
    size: Size,
    seed: int,
    out: Path,
    progress: Progress = NO_PROGRESS,
) -> list[dict[str, Any]]:
    """One entry per recipe, with the processor's seconds; ``config`` is the one that ``material`` was read with.

    Raises:
        UserError: a recipe makes scenes of another kind, so that the material is not its own.
    """
    for name, recipe in recipes.items():
        if other := [part for part in ("audio", "soundscapes") if getattr(recipe, part) != getattr(config, part)]:
            raise UserError(f"{name}: recipes are compared on the same scenes, but its {other[0]} is another one")
    results = []
    for name, recipe in recipes.items():
        folder = out / f"{name.replace('/', '_')}-{recipe.digest()[:8]}"  # a file that was edited is another recipe
        result = once(folder, partial(_learn, material, recipe, size, seed, folder, progress))
        results.append({**result, "seed": seed, "arm": name})
    return results


def _learn(
    material: Material, recipe: Config, size: Size, seed: int, folder: Path, progress: Progress
) -> dict[str, Any]:
    train = recipe.train
    own = replace(
        size,
        start_steps=train.steps if "steps" in train.model_fields_set else size.start_steps,
        batch_size=train.batch_size if "batch_size" in train.model_fields_set else size.batch_size,
    )
    started = time.process_time()
    result = begin(material, recipe, own, seed, folder, progress)
    return {**result, "seconds": round(time.process_time() - started), "steps": own.start_steps}
