"""Scores of an unconditional separator on scenes with known sources: it should part mixtures, and leave single sounds.

Estimates carry no labels, so every source is compared with the estimate that fits it. Two figures pull against each
other: a model with many outputs improves several sources more, and breaks a single one into pieces (over-separation).

Shapes: M estimates, S sources, T samples.
Source: Wisdom et al. 2021, https://arxiv.org/abs/2106.00847 (multi-source improvement, single-source reconstruction).

Example::

    scores = score_unconditional(model, [sources])          # sources (S, T) of each scene
    scores["single_source_si_sdr_db"]["mean"], scores["multi_source_si_sdri_db"]["mean"]
"""

from collections.abc import Iterable
from typing import Any

import scipy
import torch
from torch import Tensor, nn

from pipeline.metrics import si_sdr_db
from pipeline.scoring import statistic

ACTIVE_SHARE = 0.01  # of all estimates' energy: -20 dB


def score_unconditional(model: nn.Module, scenes: Iterable[Tensor]) -> dict[str, Any]:
    """Statistics over scenes, each given as its sources (S, T); the mixture is their sum.

    Returns:
        ``single_source_si_sdr_db`` over scenes of one source, ``multi_source_si_sdri_db`` over the sources of others;
        ``active_estimates_single`` and ``active_estimates_multi`` over the scenes of each kind.
    """
    values: dict[str, list[float]] = {
        "single_source_si_sdr_db": [],
        "multi_source_si_sdri_db": [],
        "active_estimates_single": [],
        "active_estimates_multi": [],
    }
    model.eval()
    with torch.inference_mode():
        for sources in scenes:
            estimates = model(sources.sum(dim=0, keepdim=True))[0]  # (M, T)
            if len(sources) == 1:
                values["single_source_si_sdr_db"].append(single_source_si_sdr_db(estimates, sources[0]))
                values["active_estimates_single"].append(active_estimates(estimates))
            else:
                values["multi_source_si_sdri_db"] += multi_source_si_sdri_db(estimates, sources)
                values["active_estimates_multi"].append(active_estimates(estimates))
    return {name: statistic(found) for name, found in values.items()}


def single_source_si_sdr_db(estimates: Tensor, source: Tensor) -> float:
    """SI-SDR in dB of the best of the estimates (M, T) of a mixture that is a single source (T,)."""
    return float(si_sdr_db(estimates, source.expand_as(estimates)).max())


def multi_source_si_sdri_db(estimates: Tensor, sources: Tensor) -> list[float]:
    """SI-SDR improvement in dB of every source (S, T) of a mixture, by an estimate (M, T) of its own.

    The pairing is the one with the best sum; further estimates do not count.

    Raises:
        ValueError: more sources than estimates.
    """
    if len(sources) > len(estimates):
        raise ValueError(f"{len(sources)} sources cannot each have one of {len(estimates)} estimates")
    fit_db = torch.stack([si_sdr_db(estimates, source.expand_as(estimates)) for source in sources])  # (S, M)
    rows, columns = scipy.optimize.linear_sum_assignment(fit_db.cpu().numpy(), maximize=True)
    mixture_db = si_sdr_db(sources.sum(dim=0).expand_as(sources), sources)
    return (fit_db[rows, columns] - mixture_db).tolist()


def active_estimates(estimates: Tensor) -> int:
    """How many estimates (M, T) hold at least ``ACTIVE_SHARE`` of their energy; 0 for silence."""
    power = estimates.double().square().sum(dim=1)
    return int(((power > 0) & (power >= ACTIVE_SHARE * power.sum())).sum())
