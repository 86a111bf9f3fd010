"""The mixtures that every round is evaluated on: held-out single-source clips, mixed the same way each time.

The plan depends on nothing but the clips and the configuration, so the current and the candidate checkpoint,
and those of later rounds, meet the very same mixtures.

Example::

    plans = plan_mixtures(clips, config)
    mixtures = (mix(plan, config) for plan in plans)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.labels import label_table
from data_specs.records import Clip, content_id, seed_of
from pipeline.audio import decode
from pipeline.scoring import EvalMixture, EvalTarget, draw_absent_label

_LEVEL_RMS = 0.05
_PEAK = 0.9


@dataclass(frozen=True)
class MixturePlan:
    """Which clips make a mixture, and how many dB each lies above the first one; the first has 0."""

    mixture_id: str
    clips: tuple[Clip, ...]
    levels_db: tuple[float, ...]
    absent_label: str | None


def plan_mixtures(clips: Sequence[Clip], config: Config) -> list[MixturePlan]:
    """``config.evaluate.mixtures`` mixtures of 2 to ``1 + config.train.interferers_max`` clips of unrelated labels.

    Every clip is a first source about equally often; interferers lie within ``config.train.snr_db`` of it.

    Args:
        clips: held-out clips with exactly one label each; others are not used.
        config: the workspace's configuration.

    Raises:
        UserError: when no two clips have unrelated labels.
    """
    pool = sorted(
        (clip for clip in clips if len(clip.labels) == 1), key=lambda clip: seed_of(config.seed, clip.clip_id)
    )
    labels = sorted({clip.labels[0] for clip in pool})
    plans = []
    for index in range(config.evaluate.mixtures if pool else 0):
        rng = np.random.default_rng(seed_of("held-out mixture", config.seed, index))
        first = pool[index % len(pool)]
        chosen = [first]
        wanted = 2 + int(rng.integers(config.train.interferers_max))
        for other in rng.permutation(len(pool)):
            if len(chosen) == wanted:
                break
            if not any(label_table().related(pool[other].labels[0], clip.labels[0]) for clip in chosen):
                chosen.append(pool[other])
        if len(chosen) < 2:
            continue
        levels_db = (0.0, *rng.uniform(*config.train.snr_db, size=len(chosen) - 1).round(2).tolist())
        mixture_id = content_id(*(clip.clip_id for clip in chosen), *levels_db)
        present = [clip.labels[0] for clip in chosen]
        plans.append(MixturePlan(mixture_id, tuple(chosen), levels_db, draw_absent_label(mixture_id, present, labels)))
    if not plans:
        raise UserError(
            "no two held-out clips have unrelated labels, so nothing can be evaluated: "
            "give more single-source clips, with more labels"
        )
    return plans


def mix(plan: MixturePlan, config: Config) -> EvalMixture:
    """Decode and mix a plan at the configured clip length; shorter clips are followed by silence.

    Raises:
        AudioError: when a clip cannot be decoded any more.
    """
    length = round(config.audio.clip_duration_s * config.audio.sample_rate_hz)
    sources = torch.zeros(len(plan.clips), length)  # (Q, T)
    for row, (clip, level_db) in enumerate(zip(plan.clips, plan.levels_db, strict=True)):
        waveform = decode(
            clip.path,
            start_s=clip.start_s,
            duration_s=config.audio.clip_duration_s,
            sample_rate_hz=config.audio.sample_rate_hz,
        )[:length]
        rms = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) if len(waveform) else 0.0
        gain = _LEVEL_RMS * 10 ** (level_db / 20) / rms if rms > 0 else 0.0
        sources[row, : len(waveform)] = torch.from_numpy(waveform) * gain
    peak = float(sources.sum(dim=0).abs().max())
    sources *= min(1.0, _PEAK / peak) if peak > 0 else 1.0
    targets = tuple(EvalTarget(clip.labels[0], source) for clip, source in zip(plan.clips, sources, strict=True))
    return EvalMixture(plan.mixture_id, sources.sum(dim=0), targets, plan.absent_label)
