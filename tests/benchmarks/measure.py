"""What the benchmarks measure with: times that other programs disturb little, and the rate of a plain matrix product.

Example::

    rate = matmul_rate(torch.float32)                      # FLOP/s
    seconds = best_times({"ours": ours, "public": public}, rounds=5)
    share = flops(ours) / seconds["ours"] / rate
"""

import platform
import time
from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

MATMUL_SIZE = {"cpu": 2048, "cuda": 8192}


def machine(device: str = "cpu") -> str:
    """The device and the versions that a figure belongs to."""
    name = (
        torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    return f"{name}, torch {torch.__version__}"


def seconds(action: Callable[[], object], device: str = "cpu") -> float:
    """Time of one call."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    action()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def best_times(actions: dict[str, Callable[[], object]], *, rounds: int, device: str = "cpu") -> dict[str, float]:
    """The shortest of ``rounds`` times of each action, all of them in turn, after a call that is not counted."""
    for action in actions.values():
        action()
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            times[name].append(seconds(action, device))
    return {name: min(own) for name, own in times.items()}


def matmul(dtype: torch.dtype, device: str = "cpu") -> tuple[Callable[[], object], float]:
    """A plain product of two square matrices, and its FLOPs."""
    size = MATMUL_SIZE[device]
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return lambda: a @ b, 2.0 * size**3


def flops(action: Callable[[], object]) -> float:
    """FLOPs of all matrix products of an action, attention's included."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # fused kernels are not counted
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            action()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return float(counter.get_total_flops())
