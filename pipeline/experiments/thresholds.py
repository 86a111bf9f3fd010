"""Which remix threshold, for which kind of training (Table 6 of the ClearSep paper, in miniature)?

The natural clips are separated once, by the start; every arm goes on from there with what exceeds its thresholds.

Example::

    results = run_thresholds(material, config, size=SMALL, seed=0, out=Path("thresholds"))
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from data_specs.config import Config
from data_specs.records import seed_of
from pipeline.evidence import ClipEvidence
from pipeline.experiments.gating import above, separate_natural
from pipeline.experiments.material import Material, Size
from pipeline.experiments.rounds import begin, gently, once
from pipeline.experiments.training import START, KeptClip, KeptTrack, Lesson, learn, measure, separator_of
from pipeline.gate import PaperGate
from pipeline.progress import NO_PROGRESS, Progress

SST_SHARE = 0.25  # of the samples, in arms with self-separate training


class Use(NamedTuple):
    """What an arm trains on: clips above ``itt_db`` as independent tracks, clips above ``sst_db`` as they are."""

    itt_db: float | None
    sst_db: float | None

    @property
    def name(self) -> str:
        """As the table calls it."""
        parts = {"ITT": self.itt_db, "SST": self.sst_db}
        named = [f"{kind} > {limit_db:g} dB" for kind, limit_db in parts.items() if limit_db is not None]
        return ", ".join(named) or "single-source"


USES = (Use(None, None), Use(10, None), Use(None, 10), Use(15, None), Use(None, 15), Use(10, 15))


def run_thresholds(
    material: Material,
    config: Config,
    *,
    uses: Sequence[Use] = USES,
    size: Size,
    seed: int,
    out: Path,
    progress: Progress = NO_PROGRESS,
) -> list[dict[str, Any]]:
    """The start, then one entry per use; ``minutes`` of tracks to train on (ITT), and of clips (SST)."""
    start = out / START
    results = [once(start, partial(begin, material, config, size, seed, start, progress))]
    clips: list[ClipEvidence] = []
    for use in uses:
        folder = out / "_".join(f"{limit_db}" for limit_db in use)
        if not clips and not (folder / "result.json").is_file():
            gate = PaperGate(config.gate)
            clips = list(separate_natural(separator_of(start, config), None, gate, material.natural, progress))
        results.append(once(folder, partial(_arm, use, clips, start, material, config, size, seed, folder, progress)))
    return [{"seed": seed, **result} for result in results]


def _arm(
    use: Use,
    clips: Sequence[ClipEvidence],
    start: Path,
    material: Material,
    config: Config,
    size: Size,
    seed: int,
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    alone = above(clips, use.itt_db) if use.itt_db is not None else []
    whole = above(clips, use.sst_db) if use.sst_db is not None else []
    lesson = Lesson(
        [KeptTrack(*pair) for clip in alone for pair in zip(clip.labels, clip.tracks.numpy(), strict=True)],
        [KeptClip(clip.mixture.numpy(), dict(zip(clip.labels, clip.tracks.numpy(), strict=True))) for clip in whole],
    )
    train = config.train.model_copy(update={"sst_share": SST_SHARE})
    learn(
        start,
        material,
        gently(config.model_copy(update={"train": train})),
        lesson,
        steps=size.round_steps,
        batch_size=size.batch_size,
        seed=seed_of("thresholds", seed),
        out=folder,
        progress=progress,
    )
    duration_min = config.audio.clip_duration_s / 60
    return {
        "arm": use.name,
        "round": 1,
        "metrics": measure(folder, material, config),
        "minutes": {"itt": len(lesson.tracks) * duration_min, "sst": len(lesson.clips) * duration_min},
    }
