"""Confirm a promotion: the checkpoint that the next round would start from is read back and separates something.

Promotion only writes a decision into ``round.json``; from then on everything starts from the new checkpoint. So the
decision and this check belong together: ``flows.data_engine`` runs both in one transaction, and withdraws the decision
when the check fails.

Example::

    confirm_promotion(workspace, config, 3)
"""

import torch

from data_specs.config import Config
from data_specs.errors import UserError
from pipeline.promote import decide
from pipeline.workspace import Workspace

LABELS = ("Rain", "Bark")


class UnusableCheckpointError(Exception):
    """A promoted checkpoint is not what training wrote, or does not separate: no attempt will change that."""


def confirm_promotion(workspace: Workspace, config: Config, round_number: int) -> None:
    """Make sure that a promoted checkpoint can be used; a round that promoted none passes.

    Raises:
        UnusableCheckpointError: it cannot.
    """
    state = workspace.round_state(round_number)
    if not state.promoted:
        return
    from models.checkpoints import checkpoint_hash
    from models.label_separator import LabelSeparator

    checkpoint = workspace.current_checkpoint(before_round=round_number + 1)
    try:
        if checkpoint_hash(checkpoint) != state.checkpoint_out_hash:
            raise UnusableCheckpointError(f"{checkpoint} is not what round {round_number} trained")
        separator = LabelSeparator.load(config.model.model_copy(update={"checkpoint": checkpoint}))
    except UserError as error:
        raise UnusableCheckpointError(str(error)) from None
    noise = torch.randn(separator.sample_rate_hz, generator=torch.Generator().manual_seed(0)) * 0.1  # (T,)
    tracks = separator.separate(noise, list(LABELS))  # (Q, T)
    if tracks.shape != (len(LABELS), len(noise)) or not bool(torch.isfinite(tracks).all()):
        raise UnusableCheckpointError(f"{checkpoint} does not separate: its tracks are not finite")


def withdraw_promotion(workspace: Workspace, round_number: int) -> None:
    """Take a decision back: the round goes on with ``promote``, and the checkpoint before it stays in use."""
    state = workspace.round_state(round_number)
    finished = tuple(stage for stage in state.finished if stage != "promote")
    workspace.write_round_state(state.having(finished=finished, promotion=None))


def refuse_promotion(workspace: Workspace, config: Config, round_number: int, reason: str) -> None:
    """Decide for good that the round's checkpoint is not promoted."""
    state = workspace.round_state(round_number)
    decision = decide(state.metrics["current"], state.metrics["candidate"], config)
    refused = decision.model_copy(update={"promoted": False, "reason": f"rolled back: {reason}"})
    seconds = state.timings_s.get("promote", 0.0)
    workspace.write_round_state(state.with_stage("promote", seconds=seconds, promotion=refused.model_dump(mode="json")))
