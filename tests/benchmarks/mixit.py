"""What the searches of MixIT cost, loss and gradient: 10 s at 16 kHz, 2 mixtures, batch 4. Not a test: machines differ.

Processor seconds of one thread, so that other work on the machine does not count. The plain search is run whole.

Run: .venv/bin/python -m tests.benchmarks.mixit
"""

import time

import torch
from torch import Tensor

from models.mixit import Search, mixit

BATCH, MIXTURES, SAMPLES = 4, 2, 160_000
REPEATS = 5
COMPARED_AT = 16
SOURCES = (4, 8, 12, 16, 18, 20, 22)


def case(sources: int) -> tuple[Tensor, Tensor]:
    """Noisy estimates (B, M, T) and the mixtures (B, N, T) of their sources, half of them in each."""
    generator = torch.Generator().manual_seed(sources)
    truth = torch.randn(BATCH, sources, SAMPLES, generator=generator)
    mixtures = torch.stack([truth[:, ::2].sum(dim=1), truth[:, 1::2].sum(dim=1)], dim=1)
    return truth + 0.1 * torch.randn(truth.shape, generator=generator), mixtures


def seconds(
    search: Search, estimates: Tensor, mixtures: Tensor, repeats: int, *, gradient: bool
) -> tuple[float, float]:
    """Processor seconds, the least of ``repeats``, and the mean loss."""
    least, value = float("inf"), 0.0
    for _ in range(repeats):
        own = estimates.clone().requires_grad_(gradient)
        started = time.process_time()
        loss = mixit(own, mixtures, search=search).loss.mean()
        if gradient:
            loss.backward()
        least, value = min(least, time.process_time() - started), loss.item()
    return least, value


def main() -> None:
    """Print a table over M, then the comparison with the plain search."""
    torch.set_num_threads(1)
    print(f"{'M':>3}  {'efficient s':>12}  {'exact s':>12}  {'with gradient':>25}")
    for sources in SOURCES:
        estimates, mixtures = case(sources)
        plain = [seconds(search, estimates, mixtures, REPEATS, gradient=False)[0] for search in ("efficient", "exact")]
        whole = [seconds(search, estimates, mixtures, REPEATS, gradient=True)[0] for search in ("efficient", "exact")]
        print(f"{sources:>3}  {plain[0]:12.3f}  {plain[1]:12.3f}  {whole[0]:12.3f} {whole[1]:12.3f}", flush=True)
    estimates, mixtures = case(COMPARED_AT)
    found = {
        search: seconds(search, estimates, mixtures, repeats, gradient=False)
        for search, repeats in (("efficient", REPEATS), ("exact", REPEATS), ("exhaustive", 1))
    }
    for search, (cost_s, loss) in found.items():
        print(f"M = {COMPARED_AT}, {search}: {cost_s:.3f} s, loss {loss:.6f} dB")
    efficient_s, exact_s, plain_s = (found[search][0] for search in ("efficient", "exact", "exhaustive"))
    print(f"efficient costs 1/{plain_s / efficient_s:.0f} of the plain search (at most 1/500)")
    print(f"exact costs {exact_s / efficient_s:.2f} times the efficient search (at most 2)")
    print(f"exact and plain loss differ by {abs(found['exact'][1] - found['exhaustive'][1]):.1e} dB (at most 1e-5)")


if __name__ == "__main__":
    main()
