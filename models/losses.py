"""Training losses for separation.

All take ``estimate, reference`` of shape (..., T) and give one value per signal, (...).

Example::

    loss = separation_loss(estimate, target, mixture=mixture, sdr_weight=0.9).mean()
"""

import torch
from torch import Tensor

SOFT_LIMIT_DB = 30.0  # beyond this ratio a better estimate earns almost nothing
SILENCE_LIMIT_DB = 50.0  # the same for silence samples, which can be solved much better
EPS = 1e-8


def energy(signal: Tensor) -> Tensor:
    """Sum of squares over time."""
    return signal.square().sum(dim=-1)


def negative_sdr(estimate: Tensor, reference: Tensor, limit_db: float = SOFT_LIMIT_DB) -> Tensor:
    """Negative SDR (eq. 6) in dB, soft-limited so that solved samples do not outweigh the others."""
    signal = energy(reference)
    error = energy(reference - estimate) + 10 ** (-limit_db / 10) * signal
    return 10 * torch.log10((error + EPS) / (signal + EPS))


def negative_si_sdr(estimate: Tensor, reference: Tensor, limit_db: float = SOFT_LIMIT_DB) -> Tensor:
    """Negative SI-SDR (eq. 8; Le Roux et al. 2019) in dB, soft-limited like ``negative_sdr``."""
    scale = (estimate * reference).sum(dim=-1, keepdim=True) / (energy(reference).unsqueeze(-1) + EPS)
    projection = scale * reference
    signal = energy(projection)
    error = energy(estimate - projection) + 10 ** (-limit_db / 10) * signal
    return 10 * torch.log10((error + EPS) / (signal + EPS))


def silence_loss(estimate: Tensor, mixture: Tensor, limit_db: float = SILENCE_LIMIT_DB) -> Tensor:
    """Negative silence SDR (eq. 10) in dB, soft-limited: what an absent label should give."""
    loudness = energy(mixture)
    return 10 * torch.log10((energy(estimate) + 10 ** (-limit_db / 10) * loudness + EPS) / (loudness + EPS))


def separation_loss(estimate: Tensor, target: Tensor, *, mixture: Tensor, sdr_weight: float) -> Tensor:
    """Eq. 5, ``-λ SDR - (1 - λ) SI-SDR``; for silent targets the silence loss, where both are undefined.

    Args:
        estimate: (..., T). target: (..., T), all zeros for a silence sample. mixture: broadcastable to both.
        sdr_weight: λ.
    """
    audible = sdr_weight * negative_sdr(estimate, target) + (1 - sdr_weight) * negative_si_sdr(estimate, target)
    silent = silence_loss(estimate, mixture.expand_as(estimate))
    return torch.where(energy(target) > 0, audible, silent)
