"""Losses of bi-modal weak supervision: learning to separate from labelled mixtures, without any single-source sound.

Several labelled mixtures are added to a mixture of mixtures. The separator is asked for each mixture as a whole (by all
of its labels) and for each of its sources (by one label). What is known is how each mixture sounds, and by a frozen
CLAP how well an estimate fits its text:

- ``contrastive_loss`` (CNT): an estimate fits its own text better than the other labels of the batch;
- ``consistency_loss`` (CRL): the sources of a mixture sum to it;
- ``unsupervised_loss`` (URL): the estimate of a mixture is the mixture, mix-and-separate of mixtures.

Shapes: P estimates, D size of an embedding, B batch, Q queries, S mixtures in a mixture of mixtures, N frames (or, of
the contrastive loss, texts), F bins.
Magnitudes are those of the mixture of mixtures brought to ``LEVEL_RMS``, so that weights mean the same at any level.

Source: Mahmud et al. 2024, https://arxiv.org/abs/2404.01740; weights and the loudness weight as its public training
script sets them, sums over the S mixtures, means over everything else. Deviations: equal texts are no negatives of each
other, and the negatives of an estimate are all labels of the batch, not only those of mixtures at the same place, and
also those that no estimate is asked for (``WeakConfig.asked``): what they sound like may be left in it.

Example::

    loss = weak_loss(cnt, crl, url, WeakConfig())        # 0.5 CNT + 5 (CRL + URL)
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from data_specs.objectives import WeakConfig

LEVEL_RMS = 0.1
WEIGHT_RANGE = (1e-3, 10.0)


def contrastive_loss(audio: Tensor, texts: Tensor, *, own: Tensor, scale: Tensor | float) -> Tensor:
    """Cross-entropy of every estimate's own text among texts that all differ.

    Args:
        audio: embeddings of the estimates, (P, D), unit vectors. texts: those of the texts, (N, D).
        own: (P,), the place of each estimate's own text.
        scale: what cosines are multiplied by, CLAP's inverse temperature.

    Returns:
        (P,). 0 where there is no other text.
    """
    return F.cross_entropy(scale * audio @ texts.T, own, reduction="none")


def consistency_loss(estimates: Tensor, mixtures: Tensor, *, owner: Tensor) -> Tensor:
    """Weighted L1 between every mixture and the sum of the estimates of its sources.

    Args:
        estimates: magnitudes (B, Q, N, F). mixtures: magnitudes (B, S, N, F).
        owner: (B, Q), which of the S mixtures a query asks a source of; -1 for any other query.

    Returns:
        (B, S). 0 where no query asks for a source of the mixture.
    """
    belongs = owner.unsqueeze(1) == torch.arange(mixtures.shape[1], device=owner.device).unsqueeze(1)  # (B, S, Q)
    summed = torch.einsum("bsq,bqnf->bsnf", belongs.to(estimates.dtype), estimates)
    error = (loudness_weight(mixtures) * (summed - mixtures).abs()).mean(dim=(2, 3))
    return torch.where(belongs.any(dim=2), error, 0.0)


def unsupervised_loss(estimates: Tensor, mixtures: Tensor, *, whole: Tensor) -> Tensor:
    """Weighted L1 between every mixture and the estimate that is asked for it.

    Args:
        estimates, mixtures: magnitudes (B, S, N, F), in the same order.
        whole: magnitude of the mixture of mixtures, (B, N, F), whose loudness is the weight.

    Returns:
        (B, S).
    """
    return (loudness_weight(whole).unsqueeze(1) * (estimates - mixtures).abs()).mean(dim=(2, 3))


def loudness_weight(magnitude: Tensor) -> Tensor:
    """log(1 + magnitude) within ``WEIGHT_RANGE``: what can be heard counts more, silence counts a little."""
    return torch.log1p(magnitude).clamp(*WEIGHT_RANGE)


def weak_loss(contrastive: Tensor, consistency: Tensor, unsupervised: Tensor, config: WeakConfig) -> Tensor:
    """The weighted sum of the three, scalars: ``0.5 CNT + 5 (CRL + URL)`` in the paper."""
    return (
        config.contrastive_weight * contrastive
        + config.consistency_weight * consistency
        + config.unsupervised_weight * unsupervised
    )
