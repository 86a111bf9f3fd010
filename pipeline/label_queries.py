"""What a round asks separators with: the vectors of all labels, made before any work and kept in the workspace.

Example::

    prepare_queries(workspace, config, progress)          # once; files that others published are fetched on the way
    encoder = round_encoder(workspace, config)
    LabelSeparator.load(config.model, encoder)            # here or in a worker, without a text encoder
"""

from data_specs.config import Config
from models.label_embeddings import LabelEmbeddings, label_embeddings
from models.ms_clap_files import public_clap_files
from models.weights import WeightStore
from pipeline.progress import Progress, showing_downloads
from pipeline.workspace import Workspace

FOLDER = "label_embeddings"


def prepare_queries(workspace: Workspace, config: Config, progress: Progress) -> None:
    """Get the files of the query encoder and of the tagger, and make the vectors of the labels.

    Raises:
        UserError: a file is missing, cannot be downloaded, is damaged, or is of another architecture.
    """
    with showing_downloads(progress) as on_download:
        public_clap_files(config.model.clap, on_download=on_download)
        if config.tag.tagger == "panns":
            WeightStore().file(config.model.panns, on_download)
    round_encoder(workspace, config)


def round_encoder(workspace: Workspace, config: Config) -> LabelEmbeddings:
    """The query encoder of a round, with the vectors of the labels from the workspace.

    Raises:
        UserError: the query encoder cannot be used.
    """
    return label_embeddings(config.model.clap, workspace.storage.child(FOLDER))
