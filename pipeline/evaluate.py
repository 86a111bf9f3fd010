"""Evaluation of a round: the current checkpoint and the round's candidate on the same held-out mixtures.

Stands between training and promotion. ``evaluate_pairs``, for lists of pairs outside of a round, is here too, so that
callers find both in one place.

BSS-eval SDR is slow: a round computes it on its first ``BSS_MIXTURES`` mixtures (``n`` in the statistic says how many
sources that is), ``data-engine evaluate`` on all pairs.

Example::

    metrics = evaluate_round(workspace, config, 1)
    metrics["candidate"]["pos_neg"]["sdri_db"]["mean"]
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from data_specs.config import Config
from data_specs.records import content_id
from models.checkpoints import SEPARATOR_FILES, checkpoint_hash
from models.label_separator import LabelSeparator
from pipeline.audio import AudioError
from pipeline.held_out import MixturePlan, mix, plan_mixtures
from pipeline.label_queries import round_encoder
from pipeline.pairs import evaluate_pairs
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.scoring import EvalMixture, EvalTarget, evaluate_mixtures
from pipeline.workspace import Workspace

__all__ = ["EvalMixture", "EvalTarget", "evaluate_mixtures", "evaluate_pairs", "evaluate_round"]

BSS_MIXTURES = 4


def evaluate_round(
    workspace: Workspace, config: Config, round_number: int, progress: Progress = NO_PROGRESS
) -> dict[str, Any]:
    """Evaluate both checkpoints of a round and write ``metrics.json`` beside the candidate.

    The metrics of a checkpoint are kept in the workspace by its hash and that of the mixtures, so a candidate that was
    promoted is not evaluated again as the next round's current checkpoint.

    Returns:
        ``{"current": metrics, "candidate": metrics}``, each as ``evaluate_mixtures`` gives them; the candidate's are
        empty when training made none.

    Raises:
        UserError: the held-out clips give no mixture.
    """
    plans = plan_mixtures(workspace.held_out_clips(), config)
    starting = workspace.current_checkpoint(round_number)
    current = _evaluated(workspace, config, starting, plans, progress, "current checkpoint")
    checkpoint = workspace.round_storage(round_number).child("checkpoint")
    if not checkpoint.is_file(SEPARATOR_FILES[0]):
        return {"current": current, "candidate": {}}
    folder = str(workspace.local_folder(round_number, "checkpoint"))
    candidate = _evaluated(workspace, config, folder, plans, progress, "new checkpoint")
    checkpoint.write_bytes("metrics.json", _json(candidate))
    return {"current": current, "candidate": candidate}


def _evaluated(
    workspace: Workspace, config: Config, checkpoint: str, plans: Sequence[MixturePlan], progress: Progress, what: str
) -> dict[str, Any]:
    """Metrics of a checkpoint, from the workspace when they are there already."""
    encoder = round_encoder(workspace, config)
    digest = content_id(checkpoint_hash(checkpoint), encoder.key, BSS_MIXTURES, *(p.mixture_id for p in plans))
    name = f"evaluations/{digest}.json"
    if workspace.storage.is_file(name):
        return json.loads(workspace.storage.read_bytes(name))
    separator = LabelSeparator.load(config.model.model_copy(update={"checkpoint": checkpoint}), encoder)
    metrics = evaluate_mixtures(
        separator,
        _mixtures(plans, config, progress),
        bss_mixtures=BSS_MIXTURES,
        total=len(plans),
        progress=progress,
        what=what,
    )
    workspace.storage.write_bytes(name, _json(metrics))
    return metrics


def _mixtures(plans: Sequence[MixturePlan], config: Config, progress: Progress) -> Iterator[EvalMixture]:
    """The mixtures of the plans; those with a clip that cannot be read any more are left out and counted."""
    problems: Counter[str] = Counter()
    for plan in plans:
        try:
            yield mix(plan, config)
        except AudioError as error:
            problems[str(error)] += 1
    for reason, count in problems.items():
        progress.say(f"{count} of {len(plans)} held-out mixtures left out: {reason}")


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
