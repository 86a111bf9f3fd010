"""The files of LAION-CLAP: its checkpoint, and the tokenizer of its text encoder, which is a file of its own.

``model.clap`` names the checkpoint: a file, a folder that holds it, or a name that the weight store knows. The
tokenizer is taken from beside the checkpoint where it is there, and from the weight store otherwise.

Example::

    laion_files("laion-clap")        # LaionFiles(checkpoint=WeightFile(...), tokenizer=WeightFile(...))
    laion_files("embedded")          # None: a CLAP of this project
"""

from pathlib import Path
from typing import NamedTuple

from data_specs.errors import UserError
from models.checkpoints import CLAP_FILES, EMBEDDED
from models.weights import OnDownload, WeightFile, WeightStore

TOKENIZER = "roberta-base"
LABEL_PROMPT = "The sound of {}"
"""How a label is said to LAION-CLAP, as in CLAPSep's lists; any other text is taken as it is."""

BESIDE = ("roberta-base/tokenizer.json", "tokenizer.json")


class LaionFiles(NamedTuple):
    """Both files, verified."""

    checkpoint: WeightFile
    tokenizer: WeightFile


def is_ours(clap: str) -> bool:
    """Whether ``model.clap`` is a CLAP of this project: the embedded one, or a folder with its two files."""
    return clap == EMBEDDED or (Path(clap).expanduser() / CLAP_FILES[0]).is_file()


def laion_checkpoint(
    clap: str, store: WeightStore | None = None, on_download: OnDownload = lambda name, done, total: None
) -> WeightFile | None:
    """The LAION-CLAP checkpoint that ``model.clap`` stands for; None when it stands for a CLAP of this project.

    Raises:
        UserError: it is not on this machine and cannot be downloaded, or is not what it should be.
    """
    if is_ours(clap):
        return None
    store, folder = store or WeightStore(), Path(clap).expanduser()
    if clap not in store.known and not folder.exists():
        names = ", ".join((EMBEDDED, *store.known))
        raise UserError(f"no query encoder {clap!r}: expected a file, a folder or one of {names}; found none")
    if folder.is_dir():
        found = sorted(folder.glob("*.pt"))
        if len(found) != 1:
            raise UserError(f"expected {CLAP_FILES[0]} or one .pt file in {folder}, found {len(found) or 'neither'}")
        clap = str(found[0])
    return store.file(clap, on_download)


def laion_files(
    clap: str, store: WeightStore | None = None, on_download: OnDownload = lambda name, done, total: None
) -> LaionFiles | None:
    """Both files that ``model.clap`` stands for; None when it stands for a CLAP of this project.

    Raises:
        UserError: one is not on this machine and cannot be downloaded, or is not what it should be.
    """
    checkpoint = laion_checkpoint(clap, store, on_download)
    if checkpoint is None:
        return None
    beside = (checkpoint.path.parent / place for place in BESIDE)
    tokenizer = next((str(path) for path in beside if path.is_file()), TOKENIZER)
    return LaionFiles(checkpoint, (store or WeightStore()).file(tokenizer, on_download))
