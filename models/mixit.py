"""Mixture invariant training (MixIT): which estimate belongs to which mixture, and the loss of the best assignment.

An unconditional separator gets the sum of N mixtures and gives M estimates. MixIT assigns every estimate to exactly one
mixture such that the sums of the assigned estimates fit the mixtures best: no single source is ever needed. Three
searches for the assignment, one loss; gradients flow through the loss of the chosen assignment only.

- ``exhaustive``: every assignment, with waveforms. N^M · T steps: for comparison.
- ``exact``: the same minimum from inner products. ‖x - Σ aₘ ŝₘ‖² = x·x - 2 a·b + aᵀG a, so that the waveforms are read
  once and the search runs over numbers, whatever their length.
- ``efficient``: real-valued least squares, then the largest entry of every column becomes 1. Any M; an approximation.

Shapes: B batch, N mixtures, M estimates, T samples. An assignment (B, M) holds the number of each estimate's mixture,
so that every estimate, silent ones too, is in exactly one.
Sources: Wisdom et al. 2020, https://arxiv.org/abs/2006.12701; Wisdom et al. 2021, https://arxiv.org/abs/2106.00847.

Example::

    estimates = separator(mixtures.sum(dim=1))          # mixtures (B, N, T) -> estimates (B, M, T)
    fit = mixit(estimates, mixtures)
    fit.loss.mean().backward()
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses import EPS, energy

Search = Literal["auto", "exact", "efficient", "exhaustive"]

TAU = 1e-3  # soft threshold of the SNR: 30 dB
RIDGE = 1e-6  # added to the estimates' correlation matrix, whose diagonal is 1
SILENT_POWER = 1e-12  # mean square below which a mixture counts as silent: -120 dB full scale
EXACT_MAX = 2**20  # assignments up to which ``auto`` searches exactly, about twice as long as ``efficient``
ASSIGNMENTS_MAX = 2**26  # beyond, trying every assignment takes minutes
CHUNK = 2**18  # numbers that a search holds at once; more do not fit a processor's cache


@dataclass(frozen=True)
class MixITFit:
    """Loss (B,) in dB of the best assignment, summed over mixtures, and that assignment (B, M)."""

    loss: Tensor
    assignment: Tensor


def mixit(estimates: Tensor, mixtures: Tensor, *, search: Search = "auto", tau: float = TAU) -> MixITFit:
    """MixIT loss of estimates (B, M, T) against mixtures (B, N, T): ``min_A Σₙ L(xₙ, [A ŝ]ₙ)``.

    Args:
        search: ``auto`` is ``exact`` up to ``EXACT_MAX`` assignments and ``efficient`` beyond.
        tau: soft threshold of the negative SNR; 1e-3 limits it at 30 dB.

    Raises:
        ValueError: shapes that do not fit, more mixtures than estimates, or more assignments than can be tried.
    """
    _check(estimates, mixtures)
    if search == "auto":
        search = "exact" if mixtures.shape[1] ** estimates.shape[1] <= EXACT_MAX else "efficient"
    with torch.no_grad():
        assignment = _SEARCHES[search](estimates, mixtures, tau)
    return MixITFit(assignment_loss(estimates, mixtures, assignment, tau=tau), assignment)


def assignment_loss(estimates: Tensor, mixtures: Tensor, assignment: Tensor, *, tau: float = TAU) -> Tensor:
    """Loss (B,) of a given assignment (B, M): the negative thresholded SNR in dB, summed over mixtures."""
    error = energy(mixtures - remix(estimates, assignment, mixtures.shape[1]))  # (B, N)
    ratio = _error_ratio(error, _reference_energy(mixtures @ mixtures.mT, mixtures.shape[2]), tau)
    return 10 * ratio.log10().sum(dim=1)


def remix(estimates: Tensor, assignment: Tensor, mixtures: int) -> Tensor:
    """Sums of the estimates (B, M, T) that an assignment (B, M) gives to each of so many mixtures, (B, N, T)."""
    return mixing_matrix(assignment, mixtures).to(estimates.dtype) @ estimates


def mixing_matrix(assignment: Tensor, mixtures: int) -> Tensor:
    """An assignment (..., M) as a binary matrix A (..., N, M) whose columns are one-hot."""
    return F.one_hot(assignment, mixtures).mT


def assign_exhaustive(estimates: Tensor, mixtures: Tensor, tau: float = TAU) -> Tensor:
    """The best assignment (B, M) by the waveform error of every one of the N^M assignments.

    Raises:
        ValueError: more than ``ASSIGNMENTS_MAX`` assignments.
    """
    reference = _reference_energy(mixtures @ mixtures.mT, mixtures.shape[2]).unsqueeze(1)  # (B, 1, N)

    def objective(assignments: Tensor) -> Tensor:
        mixing = mixing_matrix(assignments, mixtures.shape[1]).to(estimates.dtype)  # (C, N, M)
        remixes = (mixing.flatten(0, 1) @ estimates).unflatten(1, mixing.shape[:2])  # (B, C, N, T)
        error = energy(mixtures.unsqueeze(1) - remixes)
        return _error_ratio(error, reference, tau).log().sum(dim=2)  # (B, C)

    return _best(objective, estimates, mixtures, numbers=mixtures.numel())


def assign_exact(estimates: Tensor, mixtures: Tensor, tau: float = TAU) -> Tensor:
    """The best assignment (B, M) from inner products; the same as ``assign_exhaustive`` up to rounding.

    Two mixtures: the estimates' first and second half have 2^(M/2) subsets each. The error of a subset is a term per
    half plus the halves' inner product, so one matrix product gives all 2^M of them. More mixtures: a table of all
    N · 2^M errors, and N look-ups per assignment.

    Raises:
        ValueError: more than ``ASSIGNMENTS_MAX`` assignments.
    """
    _check_count(estimates, mixtures)
    gram, cross, power = _inner_products(estimates, mixtures)
    reference = _reference_energy(power, estimates.shape[2]).unsqueeze(2)  # (B, N, 1)
    constant, linear = power.diagonal(dim1=1, dim2=2), -2 * cross
    if mixtures.shape[1] == 2:
        return _exact_for_two(gram, linear, constant, reference, tau)
    ratios = _error_ratio(_subset_errors(gram, linear, constant), reference, tau).log()  # (B, N, 2^M)
    place = 2 ** torch.arange(estimates.shape[1], device=estimates.device)

    def objective(assignments: Tensor) -> Tensor:
        subsets = (mixing_matrix(assignments, mixtures.shape[1]) * place).sum(dim=2)  # (C, N)
        return torch.stack([ratios[:, n, subsets[:, n]] for n in range(mixtures.shape[1])]).sum(dim=0)  # (B, C)

    return _best(objective, estimates, mixtures, numbers=len(mixtures) * estimates.shape[1])


def assign_efficient(estimates: Tensor, mixtures: Tensor, tau: float = TAU) -> Tensor:
    """An assignment (B, M) by least squares: solve for a real A (B, N, M), then take the largest entry per column.

    Estimates count with unit energy, which changes no column's largest entry, and a small ridge keeps the solution
    finite for silent and collinear estimates. ``tau`` plays no part.
    """
    gram, cross, _ = _inner_products(estimates, mixtures)
    level = gram.diagonal(dim1=1, dim2=2).sqrt()  # (B, M)
    scale = torch.where(level > 0, 1 / level, 0)
    correlation = gram * scale.unsqueeze(1) * scale.unsqueeze(2)
    ridge = RIDGE * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    # Without its check of the result, so that estimates that are not finite end in a loss that is not, and no error.
    mixing, _ = torch.linalg.solve_ex(correlation + ridge, (cross * scale.unsqueeze(1)).mT)  # (B, M, N)
    return mixing.argmax(dim=2)


def _check(estimates: Tensor, mixtures: Tensor) -> None:
    shapes = f"estimates {tuple(estimates.shape)}, mixtures {tuple(mixtures.shape)}"
    if estimates.ndim != 3 or mixtures.ndim != 3 or estimates.shape[::2] != mixtures.shape[::2]:
        raise ValueError(f"MixIT takes estimates (B, M, T) and mixtures (B, N, T), got {shapes}")
    if mixtures.shape[1] > estimates.shape[1]:
        raise ValueError(f"MixIT needs at least as many estimates as mixtures, got {shapes}")


def _check_count(estimates: Tensor, mixtures: Tensor) -> None:
    sources, count = estimates.shape[1], mixtures.shape[1]
    if count**sources > ASSIGNMENTS_MAX:
        raise ValueError(f"{count}^{sources} assignments are too many to try each: use search='efficient'")


def _error_ratio(error: Tensor, reference: Tensor, tau: float) -> Tensor:
    """What the loss is the logarithm of: error over reference energy, with the soft threshold."""
    return (error + tau * reference + EPS) / (reference + EPS)


def _reference_energy(products: Tensor, samples: int) -> Tensor:
    """Energy (B, N) that errors are relative to, from the mixtures' inner products (B, N, N).

    A mixture's own energy; for a silent mixture that of the sum of all, so that what is estimated for it counts as it
    would be heard and not infinitely.
    """
    own = products.diagonal(dim1=1, dim2=2)
    whole = products.sum(dim=(1, 2)).clamp(min=0).unsqueeze(1)
    return torch.where(own > SILENT_POWER * samples, own, whole)


def _inner_products(estimates: Tensor, mixtures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """G (B, M, M) of the estimates, b (B, N, M) with the mixtures, and the mixtures' own (B, N, N).

    In float64, because errors are small differences of them.
    """
    sources, samples = estimates.shape[1:]
    size = max(1, CHUNK // sources)
    products = estimates.new_zeros(1, dtype=torch.float64)
    for start in range(0, samples, size):
        parts = [signals[:, :, start : start + size] for signals in (estimates, mixtures)]
        block = torch.cat(parts, dim=1).double()  # (B, M + N, size)
        products = products + block @ block.mT
    return products[:, :sources, :sources], products[:, sources:, :sources], products[:, sources:, sources:]


def _exact_for_two(gram: Tensor, linear: Tensor, constant: Tensor, reference: Tensor, tau: float) -> Tensor:
    """The assignment (B, M) between two mixtures: with a for the first, 1 - a is left for the second.

    (1 - a)ᵀG (1 - a) is aᵀG a, a linear term and a constant, so both errors come from one table of aᵀG a.
    """
    row_sums = gram.sum(dim=2)
    of_rest = constant[:, 1] + linear[:, 1].sum(dim=1) + row_sums.sum(dim=1)
    constant = torch.stack([constant[:, 0], of_rest], dim=1)
    linear = torch.stack([linear[:, 0], -linear[:, 1] - 2 * row_sums], dim=1)
    sources = gram.shape[1]
    rows = 2 ** (sources - sources // 2)
    step = max(1, CHUNK // (len(gram) * 2 ** (sources // 2)))
    least, best = gram.new_full((len(gram),), torch.inf), torch.zeros(len(gram), dtype=torch.long, device=gram.device)
    for start in range(0, rows, step):
        errors = _subset_errors(gram, linear, constant, range(start, min(rows, start + step)))
        value, place = _error_ratio(errors, reference, tau).prod(dim=1).min(dim=1)
        best = torch.where(value < least, place + start * 2 ** (sources // 2), best)
        least = torch.minimum(value, least)
    in_first = (best.unsqueeze(1) >> torch.arange(sources, device=gram.device)) & 1
    return 1 - in_first


def _subset_errors(gram: Tensor, linear: Tensor, constant: Tensor, upper: range | None = None) -> Tensor:
    """Errors aᵀG a + l·a + c of subsets a of the estimates: G (B, M, M), l (B, K, M), c (B, K) to (B, K, 2^M).

    Bit m of a subset's number says whether estimate m is in it. ``upper`` restricts the numbers to those whose upper
    half of bits is in that range.
    """
    sources = gram.shape[1]
    half = sources // 2
    low = _subsets(range(2**half), half, gram)  # (L, M / 2)
    high = _subsets(upper or range(2 ** (sources - half)), sources - half, gram)  # (H, M / 2)
    of_low = _quadratic(low, gram[:, :half, :half]).unsqueeze(1) + linear[:, :, :half] @ low.T  # (B, K, L)
    of_high = _quadratic(high, gram[:, half:, half:]).unsqueeze(1) + linear[:, :, half:] @ high.T  # (B, K, H)
    between = 2 * high @ gram[:, half:, :half] @ low.T  # (B, H, L)
    own = of_low.unsqueeze(2) + (of_high + constant.unsqueeze(2)).unsqueeze(3)  # (B, K, H, L)
    return (own + between.unsqueeze(1)).flatten(2).clamp(min=0)


def _subsets(numbers: range, size: int, like: Tensor) -> Tensor:
    """The bits of numbers as rows (S, size), lowest first."""
    column = torch.arange(numbers.start, numbers.stop, device=like.device).unsqueeze(1)
    return ((column >> torch.arange(size, device=like.device)) & 1).to(like.dtype)


def _quadratic(subsets: Tensor, gram: Tensor) -> Tensor:
    """aᵀG a for rows a (S, M) and G (B, M, M): (B, S)."""
    return ((subsets @ gram) * subsets).sum(dim=2)


def _best(objective: Callable[[Tensor], Tensor], estimates: Tensor, mixtures: Tensor, *, numbers: int) -> Tensor:
    """The assignment (B, M) with the least objective, chunk by chunk of all of them.

    Args:
        objective: assignments (C, M) to values (B, C).
        numbers: how many numbers ``objective`` holds per assignment.
    """
    _check_count(estimates, mixtures)
    count, sources = mixtures.shape[1], estimates.shape[1]
    digits = count ** torch.arange(sources, device=estimates.device)
    least, best = torch.full((len(estimates),), torch.inf), torch.zeros(len(estimates), sources, dtype=torch.long)
    least, best = least.to(estimates.device), best.to(estimates.device)
    for numbers_of_chunk in torch.arange(count**sources, device=estimates.device).split(max(1, CHUNK // numbers)):
        assignments = numbers_of_chunk.unsqueeze(1) // digits % count  # (C, M)
        value, place = objective(assignments).min(dim=1)
        best = torch.where((value < least).unsqueeze(1), assignments[place], best)
        least = torch.minimum(value.to(least.dtype), least)
    return best


_SEARCHES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "exact": assign_exact,
    "efficient": assign_efficient,
    "exhaustive": assign_exhaustive,
}
