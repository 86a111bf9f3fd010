"""The train stage of a round: what there is to learn from, the training by ``pipeline.train_workers``, what it did.

A training that was cut off goes on from its last state; one that is done is not done again.

Example::

    result = train_round(workspace, config, round_number=1, progress=progress)
    result.skipped or result.validation_sdri_db
"""

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.records import Record
from pipeline.label_queries import round_encoder
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.round_material import material_counts, missing_material
from pipeline.train_rank import TrainTask
from pipeline.train_state import delete_state, load_result, training_key
from pipeline.train_workers import run_training
from pipeline.workspace import Workspace


class TrainResult(Record):
    """What the train stage did. ``skipped`` says why there is no new checkpoint; empty when there is one.

    ``problems`` are recordings and shards that could not be read any more, with how often they were drawn.
    ``matching_cosine`` and ``other_cosine`` are the modality gap (``models.modality_gap``), measured where sounds are
    queries.
    """

    skipped: str = ""
    steps: int = 0
    single_source_clips: int = 0
    itt_tracks: int = 0
    sst_clips: int = 0
    final_loss_db: float | None = None
    validation_sdri_db: float | None = None
    matching_cosine: float | None = None
    other_cosine: float | None = None
    problems: dict[str, int] = {}


def train_round(
    workspace: Workspace, config: Config, round_number: int, progress: Progress = NO_PROGRESS
) -> TrainResult:
    """Retrain the round's starting checkpoint by the objectives of ``config.train``.

    Writes ``checkpoint/`` of the round: the separator, and ``training.json`` with the curves.

    Raises:
        UserError: the batch cannot be shared by the workers, the query encoder does not serve an objective, or the
            workspace cannot be written.
        RuntimeError: workers failed more often than ``workers.train_retries``.
    """
    workers = config.workers
    if config.train.batch_size % workers.train_workers:
        raise UserError(
            f"train.batch_size ({config.train.batch_size}) must be a multiple of "
            f"workers.train_workers ({workers.train_workers})"
        )
    counts = material_counts(workspace, round_number)
    if config.train.steps == 0:
        return TrainResult(skipped="train.steps is 0", **counts)
    missing = missing_material(workspace, config.train, round_number, tracks=sum(counts.values()))
    if missing:
        return TrainResult(skipped=missing, **counts)

    key = training_key(workspace, config, round_number)
    done = load_result(workspace, round_number, key)
    if done is None:
        with progress.task("train", config.train.steps) as bar:
            task = TrainTask(workspace, config, round_number, key, round_encoder(workspace, config))
            run_training(task, bar.advance)
        done = load_result(workspace, round_number, key)
        if done is None:
            raise RuntimeError("training ended without a checkpoint")
    delete_state(workspace, round_number)
    problems: dict[str, int] = done["problems"]
    for problem in list(problems)[:3]:
        progress.say(f"training left out {problem}")
    gap: dict[str, float] = done["modality_gap"]
    if gap:
        progress.say(
            f"query encoder: a sound and its label have a mean cosine of {gap['matching_cosine']:.2f}, "
            f"a sound and another label {gap['other_cosine']:.2f} ({gap['sounds']:.0f} clips)"
        )
    loss = done["loss"][-10:]
    return TrainResult(
        steps=len(done["loss"]),
        final_loss_db=sum(loss) / len(loss),
        validation_sdri_db=done["validation_sdri_db"][-1] if done["validation_sdri_db"] else None,
        matching_cosine=gap.get("matching_cosine"),
        other_cosine=gap.get("other_cosine"),
        problems=problems,
        **counts,
    )
