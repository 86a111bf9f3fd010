"""The separator that a configuration starts from, whoever made it.

``model.checkpoint`` is one of ours (``models.checkpoints``), or it is made from the files of others
(``models.published``): a CLAPSep checkpoint by path or by its name in the weight store, or ``untrained``, a new
network, which for the ClearSep separator has the audio encoder of ``model.clap`` under a new decoder. A workspace makes
such a separator once (``pipeline.start``).

Example::

    separator = starting_separator(ModelConfig(checkpoint="clapsep", clap="laion-clap", architecture=full_size))
"""

from pathlib import Path

from data_specs.config import ModelConfig, SeparatorConfig, load_config
from data_specs.errors import UserError
from data_specs.records import content_id
from models.architectures import AnySeparator, build_separator
from models.checkpoints import checkpoint_hash, load_separator
from models.laion_files import laion_checkpoint
from models.published import clapsep, untrained
from models.weights import OnDownload, WeightStore

UNTRAINED = "untrained"


def is_made_from_others(config: ModelConfig, store: WeightStore | None = None) -> bool:
    """Whether the separator of ``config`` has to be made from files that are no checkpoint of ours."""
    known = (store or WeightStore()).known
    return config.checkpoint == UNTRAINED or config.checkpoint in known or Path(config.checkpoint).is_file()


def starting_separator(
    config: ModelConfig,
    *,
    seed: int = 0,
    store: WeightStore | None = None,
    on_download: OnDownload = lambda name, done, total: None,
) -> AnySeparator:
    """The separator of ``config``, in evaluation mode.

    Args:
        seed: draws what is untrained.
        store: where known weight files are found or downloaded to.
        on_download: told about the progress of a download.

    Raises:
        UserError: a checkpoint is missing, damaged, or of another size or architecture.
    """
    store = store or WeightStore()
    if not is_made_from_others(config, store):
        return load_separator(config.checkpoint)
    if not isinstance(config.architecture, SeparatorConfig):
        if config.checkpoint != UNTRAINED:
            raise UserError(
                f"model.checkpoint {config.checkpoint} holds a ClearSep separator, but model.architecture describes a "
                f"{config.architecture.kind}: leave one of them out, or start {UNTRAINED!r}"
            )
        return build_separator(config.architecture, seed=seed)

    def find_clap() -> Path | None:
        file = laion_checkpoint(config.clap, store, on_download)
        return file.path if file else None

    if config.checkpoint != UNTRAINED:
        return clapsep(store.file(config.checkpoint, on_download).path, config.architecture, find_clap)
    clap = find_clap()
    if clap is None:
        raise UserError(f"model.checkpoint {UNTRAINED!r} needs a LAION-CLAP checkpoint as model.clap")
    return untrained(clap, config.architecture, seed=seed)


def starting_hash(config: ModelConfig, store: WeightStore | None = None) -> str:
    """Hash of what ``starting_separator`` is made from.

    Raises:
        UserError: a file is missing.
    """
    store = store or WeightStore()
    if not is_made_from_others(config, store):
        return checkpoint_hash(config.checkpoint)
    own = None if config.checkpoint == UNTRAINED else store.file(config.checkpoint)
    files = [file for file in (own, laion_checkpoint(config.clap, store)) if file]
    return content_id(config.architecture.model_dump_json(), *(file.sha256 for file in files))


def model_for(checkpoint: str, clap: str = "") -> ModelConfig:
    """The configuration of a checkpoint that is named without one: the paper's size for what is not a folder of ours.

    Args:
        checkpoint: as ``ModelConfig.checkpoint``.
        clap: as ``ModelConfig.clap``; empty takes the one that goes with the checkpoint.
    """
    alone = ModelConfig(checkpoint=checkpoint)
    config = load_config("full").model if is_made_from_others(alone) else alone
    return config.model_copy(update={"checkpoint": checkpoint, "clap": clap or config.clap})
