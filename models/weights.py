"""Weight files of others: which are known by name, where they are here, and getting them once.

A configuration names weights by a path, or by a name of ``assets/weights.yaml`` (``laion-clap``, ``panns``, ...). A
name is looked for in the folder that ``DATA_ENGINE_WEIGHTS`` names, then in the user's cache, and is downloaded into
the cache when it is in neither. Whatever is used is verified against its checksum.

Example::

    file = WeightStore().file("panns")              # WeightFile(path=..., sha256=...)
    WeightStore().file("/models/my-clap.pt").path
"""

import os
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import yaml

from data_specs.config import Section
from data_specs.errors import UserError
from models.checksums import Checksums
from models.download import download

FOLDER_VARIABLE = "DATA_ENGINE_WEIGHTS"
OFFLINE_VARIABLE = "HF_HUB_OFFLINE"

OnDownload = Callable[[str, int, int | None], None]
"""Told the name of the weights, how many bytes are there, and of how many."""


class PublicWeights(Section):
    """A public weight file. ``file`` is its path below a weights folder; no ``sha256``: the first download decides."""

    what: str
    file: str
    url: str
    size_bytes: int | None = None
    sha256: str = ""


class WeightFile(NamedTuple):
    """A weight file on this machine that is what it should be."""

    path: Path
    sha256: str


@cache
def public_weights() -> dict[str, PublicWeights]:
    """The known weights by name."""
    text = resources.files("models").joinpath("assets", "weights.yaml").read_text("utf-8")
    return {name: PublicWeights.model_validate(content) for name, content in yaml.safe_load(text).items()}


def user_cache() -> Path:
    """The engine's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "data-engine"


class WeightStore:
    """Finds, gets and verifies weight files.

    Args:
        known: weights by name; the table of this package by default.
        folders: where to look, in order; downloads go to the last one. By default the environment's, then the cache.
        record: JSON file of the checksums; in the cache by default.
    """

    def __init__(
        self,
        known: dict[str, PublicWeights] | None = None,
        *,
        folders: list[Path] | None = None,
        record: Path | None = None,
    ) -> None:
        self.known = public_weights() if known is None else known
        self.folders = folders or [*_environment_folder(), user_cache() / "weights"]
        self.checksums = Checksums(record or user_cache() / "checksums.json")

    def find(self, name: str) -> Path | None:
        """Where the file of known weights is on this machine, unverified; None when it is nowhere.

        Raises:
            KeyError: no such name.
        """
        places = (folder / self.known[name].file for folder in self.folders)
        return next((path for path in places if path.is_file()), None)

    def file(self, name_or_path: str, on_download: OnDownload = lambda name, done, total: None) -> WeightFile:
        """The file of a name or a path, downloaded when a name is not here yet, and verified.

        Raises:
            UserError: no such file or name, no download possible, or not the file that it should be.
        """
        if name_or_path not in self.known:
            path = Path(name_or_path).expanduser()
            if not path.is_file():
                names = ", ".join(self.known)
                raise UserError(f"no weights {name_or_path!r}: expected a file, found none; or one of {names}")
            return WeightFile(path, self.checksums.verify(path))
        weights = self.known[name_or_path]
        path = self.find(name_or_path) or self._get(name_or_path, on_download)
        size = path.stat().st_size
        if weights.size_bytes not in (None, size):
            raise UserError(
                f"{path} is not the published file: expected {weights.size_bytes} bytes, found {size}; delete it to "
                "get it again"
            )
        return WeightFile(path, self.checksums.verify(path, expected=weights.sha256))

    def _get(self, name: str, on_download: OnDownload) -> Path:
        weights, target = self.known[name], self.folders[-1] / self.known[name].file
        if os.environ.get(OFFLINE_VARIABLE, "").upper() in {"1", "TRUE", "YES", "ON"}:
            places = " or ".join(str(folder) for folder in self.folders)
            raise UserError(
                f"{name} is not on this machine and {OFFLINE_VARIABLE} forbids to download it: put {weights.file} from "
                f"{weights.url} into {places}"
            )
        download(weights.url, target, on_bytes=lambda done, total: on_download(name, done, total))
        return target


def _environment_folder() -> list[Path]:
    folder = os.environ.get(FOLDER_VARIABLE)
    return [Path(folder).expanduser()] if folder else []
