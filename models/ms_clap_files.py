"""The files of MS-CLAP: its checkpoint of 2023, and the tokenizer of GPT-2, which is a file of its own.

``model.clap`` names the checkpoint: ``ms-clap``, a file whose name begins as the published one does
(``CLAP_weights_2023.pth``), or a folder that holds it. The tokenizer is taken from beside the checkpoint where it is
there, and from the weight store otherwise.

Example::

    public_clap_files("ms-clap")        # MsClapFiles(checkpoint=WeightFile(...), tokenizer=WeightFile(...))
    public_clap_files("laion-clap")     # LaionFiles(...)
    public_clap_files("embedded")       # None: a CLAP of this project
"""

from pathlib import Path
from typing import NamedTuple

from data_specs.errors import UserError
from models.laion_files import LaionFiles, laion_files
from models.weights import OnDownload, WeightFile, WeightStore

NAME, TOKENIZER = "ms-clap", "gpt2"
BEGINNING = "CLAP_weights_"
MS_LABEL_PROMPT = "this is the sound of {}"
"""How a label is said to MS-CLAP, as its authors do for zero-shot classification; other text is taken as it is."""

BESIDE = ("gpt2/tokenizer.json", "tokenizer.json")


class MsClapFiles(NamedTuple):
    """Both files, verified."""

    checkpoint: WeightFile
    tokenizer: WeightFile


def public_clap_files(
    clap: str, store: WeightStore | None = None, on_download: OnDownload = lambda name, done, total: None
) -> MsClapFiles | LaionFiles | None:
    """What ``model.clap`` stands for among the published encoders; None when it is a CLAP of this project.

    Raises:
        UserError: a file is not on this machine and cannot be downloaded, or is not what it should be.
    """
    checkpoint = _checkpoint(clap)
    if checkpoint is None:
        return laion_files(clap, store, on_download)
    store = store or WeightStore()
    file = store.file(checkpoint, on_download)
    beside = (file.path.parent / place for place in BESIDE)
    tokenizer = next((str(path) for path in beside if path.is_file()), TOKENIZER)
    return MsClapFiles(file, store.file(tokenizer, on_download))


def _checkpoint(clap: str) -> str | None:
    """Name or path of the checkpoint; None when ``clap`` is no MS-CLAP."""
    path = Path(clap).expanduser()
    if clap == NAME or (path.is_file() and path.name.startswith(BEGINNING)):
        return clap
    found = sorted(path.glob(f"{BEGINNING}*.pth")) if path.is_dir() else []
    if len(found) > 1:
        raise UserError(f"expected one {BEGINNING}*.pth in {path}, found {len(found)}: name the file")
    return str(found[0]) if found else None
