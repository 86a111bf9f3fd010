"""Training of the separator: the step, the validation, and the loop around them. No Ray here.

``fit`` is called by every training worker of a round (``pipeline.train_rank``) and by pre-training. The recipe is
A.1 of the paper: AdamW, encoder frozen with LoRA, the loss of eq. 5, and a learning rate that decays when the
validation stops improving. Everything that a step depends on can be saved and taken up again, so a training that was
cut off ends as one that was not.

Example::

    history = fit(separator, batches, validation, config.train)
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from data_specs.config import TrainConfig
from models.losses import negative_sdr, separation_loss
from pipeline.mixtures import Batch

Loss = Callable[[nn.Module], Tensor]
Losses = Callable[[Any], Mapping[str, Loss]]
"""What a batch asks of a model: the weighted loss of every objective, still to be computed."""

WARM_UP = 0.05  # of the steps, for the cosine schedule


@dataclass
class History:
    """What a training reports: one entry per step in ``loss``, one per validation in the others.

    ``parts`` has what every objective adds to the loss of a step, where there are several.
    """

    loss: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    step: list[int] = field(default_factory=list)
    validation_sdri_db: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)


class Training:
    """A training under way: a model with its optimizer, schedule and history, which can be saved and taken up again."""

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.model = model
        self.optimizer = AdamW(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            lr=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.scheduler = _scheduler(self.optimizer, config)
        self.history = History()

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return len(self.history.loss)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next steps depend on: what is trained, optimizer, schedule, history, random state."""
        return {
            "model": self._trained(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "history": vars(self.history),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict()`` of a training of the same model and configuration.

        Raises:
            KeyError: it is of another model.
        """
        with torch.no_grad():
            for name, value in self._trained().items():
                value.copy_(state["model"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.history = History(**state["history"])
        torch.set_rng_state(state["random"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])

    def _trained(self) -> dict[str, Tensor]:
        """Parameters that are trained, and buffers; what is frozen comes from the starting checkpoint."""
        model = unwrapped(self.model)
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        return {**trained, **dict(model.named_buffers())}


def fit(
    model: nn.Module,
    batches: Iterator[Any],
    validation: Sequence[Batch],
    config: TrainConfig,
    *,
    losses: Losses | None = None,
    resume: dict[str, Any] | None = None,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    on_validation: Callable[[int, float], None] = lambda step, sdri_db: None,
    on_checkpoint: Callable[[Training], None] = lambda training: None,
) -> History:
    """Train ``model`` (a Separator, maybe wrapped for distributed training) in place up to ``config.steps`` steps.

    Args:
        batches: training batches without end, beginning with the one of the first step that is left, of the kind that
            ``losses`` takes.
        losses: the objectives of a step (``pipeline.objectives``); supervised separation where None.
        validation: fixed batches; SDRi on them drives the learning rate, which stays as it is where there are none.
        resume: state of an earlier training to go on from.
        on_step, on_validation: told after each, for progress.
        on_checkpoint: told every ``config.checkpoint_every`` steps and at the end.
    """
    training = Training(model, config)
    if resume is not None:
        training.load_state_dict(resume)
    history = training.history
    for step in range(training.step + 1, config.steps + 1):
        parts = train_step(model, next(batches), training.optimizer, config, losses)
        history.loss.append(sum(parts.values()))
        for name, value in parts.items() if len(parts) > 1 else ():
            history.parts.setdefault(name, []).append(value)
        if isinstance(training.scheduler, LambdaLR):
            training.scheduler.step()
        on_step(step, history.loss[-1])
        if validation and (step % config.validate_every == 0 or step == config.steps):
            sdri_db = validate(model, validation)
            if isinstance(training.scheduler, ReduceLROnPlateau):
                training.scheduler.step(sdri_db)
            history.step.append(step)
            history.validation_sdri_db.append(sdri_db)
            history.learning_rate.append(training.optimizer.param_groups[0]["lr"])
            on_validation(step, sdri_db)
        if step % config.checkpoint_every == 0 or step == config.steps:
            on_checkpoint(training)
    return history


def train_step(
    model: nn.Module, batch: Any, optimizer: AdamW, config: TrainConfig, losses: Losses | None = None
) -> dict[str, float]:
    """One optimizer step down the sum of the losses of a batch; returns them, by objective.

    Gradients are summed objective by objective: one graph is in memory at a time, and ranks wait for each other once.
    A batch whose gradient is not finite changes nothing.
    """
    model.train()
    parts: Mapping[str, Loss] = {"supervised": lambda model: batch_loss(model, batch, config)}
    if losses is not None:
        parts = losses(batch)
    optimizer.zero_grad(set_to_none=True)
    values = []
    for number, loss_of in enumerate(parts.values(), start=1):
        with nullcontext() if number == len(parts) else _by_itself(model):
            loss = loss_of(model)
            loss.backward()
        values.append(loss.detach())
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
    if torch.isfinite(norm):
        optimizer.step()
    return dict(zip(parts, (over_ranks(torch.stack(values)) / ranks()).tolist(), strict=True))


def _by_itself(model: nn.Module) -> AbstractContextManager[None]:
    """Meanwhile, ranks do not share gradients; they do at the next backward pass after it."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()


def batch_loss(model: nn.Module, batch: Batch, config: TrainConfig) -> Tensor:
    """Mean loss (eq. 5) over all queries of all mixtures of a batch."""
    with torch.autocast(batch.mixtures.device.type, torch.bfloat16, enabled=config.bf16):
        estimates = model(batch.mixtures, batch.queries)
    mixtures = batch.mixtures.unsqueeze(1)
    return separation_loss(estimates.float(), batch.targets, mixture=mixtures, sdr_weight=config.sdr_weight).mean()


@torch.no_grad()
def validate(model: nn.Module, batches: Sequence[Batch]) -> float:
    """Mean SDRi (eq. 7) in dB over the audible targets of ``batches``; ranks share the batches, each is heard once."""
    model.eval()
    own = unwrapped(model)  # the wrapper would make ranks wait for each other at every batch
    device = next(own.parameters()).device
    total = torch.zeros(2, dtype=torch.float64, device=device)  # sum and number of improvements
    rank = dist.get_rank() if ranks() > 1 else 0
    for batch in batches[rank :: ranks()]:
        estimates = own(batch.mixtures, batch.queries)
        mixtures = batch.mixtures.unsqueeze(1).expand_as(batch.targets)
        gain = negative_sdr(mixtures, batch.targets) - negative_sdr(estimates, batch.targets)
        heard = gain[batch.targets.abs().amax(dim=-1) > 0].double()
        total += torch.stack([heard.sum(), heard.new_tensor(len(heard))])
    sum_db, count = over_ranks(total).tolist()
    return sum_db / count if count else float("nan")


def unwrapped(model: nn.Module) -> nn.Module:
    """The model without its wrapper for distributed training."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def ranks() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def over_ranks(value: Tensor) -> Tensor:
    """The sum of ``value`` over all ranks."""
    if ranks() > 1:
        dist.all_reduce(value)
    return value


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
