"""Training for a given time instead of a number of steps: what different families get out of the same minutes.

On a CPU time is the processor's, so that other programs on the machine do not decide a comparison; on a GPU it is the
clock's. The learning rate follows the share of time that is over.

Example::

    trained = train_for(model, lambda: objectives(model, next(batches)), learning_rate=1e-3, seconds=120)
    trained.steps, trained.losses[-1]
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.progress import NO_PROGRESS, Progress

STATISTICS_BATCHES = 8
WARM_UP = 0.05  # of the time, in which the learning rate rises
RATE_FLOOR = 0.01  # of the learning rate, at the end
GRADIENT_CLIP = 5.0


@dataclass(frozen=True)
class Trained:
    """What a timed training did: steps, seconds, and the loss of every step."""

    steps: int
    seconds: float
    losses: tuple[float, ...]


def train_for(
    model: nn.Module,
    step_loss: Callable[[], Tensor],
    *,
    learning_rate: float,
    weight_decay: float = 1e-2,
    seconds: float,
    progress: Progress = NO_PROGRESS,
    what: str = "train",
) -> Trained:
    """Train ``model`` in place for ``seconds``, drawing of batches included; at least one step.

    Args:
        step_loss: the loss of the next batch. A step whose gradient is not finite changes nothing.
    """
    clock = time.perf_counter if next(model.parameters()).device.type == "cuda" else time.process_time
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
    losses: list[float] = []
    model.train()
    started, elapsed = clock(), 0.0
    with progress.task(what, total=round(seconds)) as task:
        while not losses or elapsed < seconds:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * rate_share(elapsed / seconds)
            loss = step_loss()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP)
            if torch.isfinite(norm):
                optimizer.step()
            losses.append(loss.item())
            now = clock() - started
            task.advance(min(round(seconds), int(now)) - min(round(seconds), int(elapsed)))
            elapsed = now
    model.eval()
    return Trained(len(losses), elapsed, tuple(losses))


@torch.no_grad()
def measure_statistics(model: nn.Module, step_loss: Callable[[], Tensor]) -> None:
    """Replace what batch norms remember of the training's beginning by the mean over ``STATISTICS_BATCHES`` batches.

    Running statistics follow the data at a fixed rate per step. After a hundred steps they are still made of where they
    began, so without this a family whose steps take long would be measured with worse ones than others.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    model.train()
    for _ in range(STATISTICS_BATCHES if norms else 0):
        step_loss()
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def rate_share(done: float) -> float:
    """Share of the learning rate when ``done`` of the time is over: a linear rise, then half a cosine to the floor."""
    if done < WARM_UP:
        return max(RATE_FLOOR, done / WARM_UP)
    fallen = min(1.0, (done - WARM_UP) / (1 - WARM_UP))
    return RATE_FLOOR + (1 - RATE_FLOOR) * 0.5 * (1 + math.cos(math.pi * fallen))
