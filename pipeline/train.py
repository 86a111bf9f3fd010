"""Training of the separator: the step, the validation, and the loop around them. No Ray here.

``fit`` is called by every training worker of a round (``pipeline.train_workers``) and by pre-training. The recipe is
A.1 of the paper: AdamW, encoder frozen with LoRA, the loss of eq. 5, and a learning rate that decays when the
validation stops improving.

Example::

    history = fit(separator, batches, validation, config.train)
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from data_specs.config import TrainConfig
from models.losses import negative_sdr, separation_loss
from pipeline.mixtures import Batch

WARM_UP = 0.05  # of the steps, for the cosine schedule


@dataclass
class History:
    """What a training reports: one entry per step in ``loss``, one per validation in the others."""

    loss: list[float] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    validation_sdri_db: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)


def fit(
    model: nn.Module,
    batches: Iterator[Batch],
    validation: Sequence[Batch],
    config: TrainConfig,
    *,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    on_validation: Callable[[int, float], None] = lambda step, sdri_db: None,
) -> History:
    """Train ``model`` (a Separator, maybe wrapped for distributed training) in place for ``config.steps`` steps.

    Args:
        batches: training batches without end.
        validation: fixed batches; SDRi on them drives the learning rate.
        on_step, on_validation: told after each, for progress and checkpoints.
    """
    optimizer = AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
        fused=True,
    )
    scheduler = _scheduler(optimizer, config)
    history = History()
    for step in range(1, config.steps + 1):
        history.loss.append(train_step(model, next(batches), optimizer, config))
        if isinstance(scheduler, LambdaLR):
            scheduler.step()
        on_step(step, history.loss[-1])
        if step % config.validate_every == 0 or step == config.steps:
            sdri_db = validate(model, validation)
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(sdri_db)
            history.step.append(step)
            history.validation_sdri_db.append(sdri_db)
            history.learning_rate.append(optimizer.param_groups[0]["lr"])
            on_validation(step, sdri_db)
    return history


def train_step(model: nn.Module, batch: Batch, optimizer: AdamW, config: TrainConfig) -> float:
    """One optimizer step on one batch; returns the loss. A batch whose gradient is not finite changes nothing."""
    model.train()
    loss = batch_loss(model, batch, config)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
    if torch.isfinite(norm):
        optimizer.step()
    return float(loss.detach())


def batch_loss(model: nn.Module, batch: Batch, config: TrainConfig) -> Tensor:
    """Mean loss (eq. 5) over all queries of all mixtures of a batch."""
    with torch.autocast(batch.mixtures.device.type, torch.bfloat16, enabled=config.bf16):
        estimates = model(batch.mixtures, batch.queries)
    mixtures = batch.mixtures.unsqueeze(1)
    return separation_loss(estimates.float(), batch.targets, mixture=mixtures, sdr_weight=config.sdr_weight).mean()


@torch.no_grad()
def validate(model: nn.Module, batches: Sequence[Batch]) -> float:
    """Mean SDRi (eq. 7) in dB over the audible targets of ``batches``."""
    model.eval()
    improvements = []
    for batch in batches:
        estimates = model(batch.mixtures, batch.queries)
        mixtures = batch.mixtures.unsqueeze(1).expand_as(batch.targets)
        gain = negative_sdr(mixtures, batch.targets) - negative_sdr(estimates, batch.targets)
        improvements.append(gain[batch.targets.abs().amax(dim=-1) > 0])
    return float(torch.cat(improvements).mean()) if improvements else float("nan")


def _scheduler(optimizer: AdamW, config: TrainConfig) -> LambdaLR | ReduceLROnPlateau:
    if config.schedule == "cosine":
        return LambdaLR(optimizer, lambda step: _cosine(step, config))
    return ReduceLROnPlateau(
        optimizer,
        mode="max",
        factor=config.plateau_factor,
        patience=config.plateau_patience,
        min_lr=config.learning_rate_min,
    )


def _cosine(step: int, config: TrainConfig) -> float:
    """Share of the learning rate: a linear rise over ``WARM_UP`` of the steps, then half a cosine to the minimum."""
    rise = max(1.0, WARM_UP * config.steps)
    if step < rise:
        return (step + 1) / (rise + 1)
    floor = config.learning_rate_min / config.learning_rate
    done = min(1.0, (step - rise) / max(1.0, config.steps - rise))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
