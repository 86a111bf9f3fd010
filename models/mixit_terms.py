"""What is added to the MixIT loss of an unconditional separator, and the projection that makes its estimates add up.

MixIT alone over-separates: splitting a source into several estimates costs nothing. Sparsity and covariance losses make
few and unlike estimates cheap, the semantic loss makes estimates recognisable.

Shapes: B batch, N mixtures, M estimates, T samples, L labels. Losses give one value per batch entry, (B,).
Source: Wisdom et al. 2021, https://arxiv.org/abs/2106.00847.

Example::

    estimates = mixture_consistency(estimates, mixture)            # now they sum to the mixture
    loss = fit.loss + sparsity_weight * sparsity_loss(estimates, mixture, form="rms_ratio")
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses import EPS

Sparsity = Literal["rms_ratio", "mean_rms"]
Shares = Literal["uniform", "energy"]

POWER_FLOOR = 1e-12  # mean square that keeps the RMS of a silent estimate differentiable: -120 dB full scale
COVARIANCE_FLOOR = 1e-3  # of the estimates' mean power: quieter ones count less and less
UNHEARD_LOGIT = -10.0  # of a label in a mixture that no estimate is assigned to


def sparsity_loss(estimates: Tensor, mixture: Tensor, form: Sparsity) -> Tensor:
    """How evenly the level is spread over the estimates (B, M, T); less is sparser.

    Args:
        mixture: (B, T), what the estimates were made from.
        form: with rₘ the RMS of estimate m, ``rms_ratio`` is Σ rₘ / (M √Σ rₘ²), an L1/L2 ratio that knows no level;
            ``mean_rms`` is the mean of rₘ over the RMS of the mixture.

    Raises:
        ValueError: no such form.
    """
    levels = _rms(estimates)  # (B, M)
    if form == "rms_ratio":
        return levels.mean(dim=1) / levels.square().sum(dim=1).sqrt()
    if form == "mean_rms":
        return levels.mean(dim=1) / _rms(mixture)
    raise ValueError(f"no sparsity loss {form!r}: use 'rms_ratio' or 'mean_rms'")


def covariance_loss(estimates: Tensor) -> Tensor:
    """Mean squared correlation between different estimates (B, M, T), which are centred first; 0 for a single one.

    Correlations are normalised by power plus ``COVARIANCE_FLOOR`` of the mean power, so that near-silent estimates,
    whose correlation is arbitrary, hardly count.
    """
    sources = estimates.shape[1]
    centred = estimates - estimates.mean(dim=2, keepdim=True)
    covariance = centred @ centred.mT / estimates.shape[2]  # (B, M, M)
    power = covariance.diagonal(dim1=1, dim2=2)
    floor = COVARIANCE_FLOOR * power.mean(dim=1, keepdim=True) + POWER_FLOOR
    scale = (power + floor).rsqrt()
    correlation = covariance * scale.unsqueeze(1) * scale.unsqueeze(2)
    off_diagonal = correlation.square().sum(dim=(1, 2)) - correlation.diagonal(dim1=1, dim2=2).square().sum(dim=1)
    return off_diagonal / max(1, sources * (sources - 1))


def semantic_loss(logits: Tensor, assignment: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the mixtures' weak labels (B, N, L) under a classifier of the estimates, mean over N and L.

    A label is heard in a mixture as clearly as in the best of its estimates: ``logits`` (B, M, L) are pooled by maximum
    over the estimates that ``assignment`` (B, M) gives to the mixture. Labels are 0 or 1.
    """
    mixtures = labels.shape[1]
    in_mixture = F.one_hot(assignment, mixtures).mT.bool().unsqueeze(-1)  # (B, N, M, 1)
    pooled = logits.unsqueeze(1).masked_fill(~in_mixture, UNHEARD_LOGIT).amax(dim=2)  # (B, N, L)
    return F.binary_cross_entropy_with_logits(pooled, labels.to(pooled.dtype), reduction="none").mean(dim=(1, 2))


def mixture_consistency(estimates: Tensor, mixture: Tensor, shares: Shares = "energy") -> Tensor:
    """Project estimates (B, M, T) so that they sum to the mixture (B, T): what is missing is shared out.

    Args:
        shares: ``uniform`` gives every estimate the same part, the least change (Wisdom et al. 2019,
            https://arxiv.org/abs/1811.08521); ``energy`` gives parts by energy, so that silent estimates stay silent.

    Raises:
        ValueError: no such shares.
    """
    if shares not in ("uniform", "energy"):
        raise ValueError(f"no shares {shares!r}: use 'uniform' or 'energy'")
    missing = (mixture - estimates.sum(dim=1)).unsqueeze(1)  # (B, 1, T)
    if shares == "uniform":
        return estimates + missing / estimates.shape[1]
    energies = estimates.square().sum(dim=2, keepdim=True) + EPS  # (B, M, 1)
    return estimates + missing * energies / energies.sum(dim=1, keepdim=True)


def _rms(waveforms: Tensor) -> Tensor:
    return torch.sqrt(waveforms.square().mean(dim=-1) + POWER_FLOOR)
