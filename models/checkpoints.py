"""Checkpoints: safetensors beside the configuration that built the model. No code in a checkpoint is ever run.

A separator checkpoint is a folder with ``separator.safetensors`` and ``config.json``; a CLAP one holds
``clap.safetensors`` and ``clap.json``; one of the unconditional separator ``unconditional.safetensors`` and
``unconditional.json``. The name ``embedded`` stands for the folder that the package ships. What others published
becomes such a checkpoint by ``models.starting_point``.

Example::

    separator = load_separator("workspace/rounds/001/checkpoint")
"""

import hashlib
import os
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from data_specs.config import Architecture, ClapConfig
from data_specs.errors import UserError
from data_specs.section import Section
from data_specs.unconditional import TDCNConfig
from models.architectures import AnySeparator, build_separator
from models.clap import TinyClap
from models.tdcn import TDCN
from models.weight_files import mismatch

EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
SEPARATOR_FILES = ("separator.safetensors", "config.json")
CLAP_FILES = ("clap.safetensors", "clap.json")
UNCONDITIONAL_FILES = ("unconditional.safetensors", "unconditional.json")

ConfigT = TypeVar("ConfigT", bound=Section)
_ARCHITECTURE: TypeAdapter[Architecture] = TypeAdapter(Architecture)


def checkpoint_folder(name_or_folder: str) -> Path:
    """``embedded`` or a path as the folder it stands for."""
    return EMBEDDED_FOLDER if name_or_folder == EMBEDDED else Path(name_or_folder)


def save_separator(separator: AnySeparator, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a separator checkpoint; weights appear under their final name only when they are whole."""
    _save(separator, separator.config, folder, SEPARATOR_FILES, dtype)


def load_separator(name_or_folder: str) -> AnySeparator:
    """A separator in evaluation mode, with float32 weights.

    Raises:
        UserError: files missing, damaged, or of another architecture than their configuration says.
    """
    folder = checkpoint_folder(name_or_folder)
    separator = build_separator(_load_config(_ARCHITECTURE, folder / SEPARATOR_FILES[1]))
    _load_weights(separator, folder / SEPARATOR_FILES[0])
    return separator.eval()


def save_clap(clap: TinyClap, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a CLAP checkpoint."""
    _save(clap, clap.config, folder, CLAP_FILES, dtype)


def load_clap(name_or_folder: str) -> TinyClap:
    """The CLAP of a folder, in evaluation mode; raises like ``load_separator``."""
    folder = checkpoint_folder(name_or_folder)
    clap = TinyClap(_load_config(TypeAdapter(ClapConfig), folder / CLAP_FILES[1]))
    _load_weights(clap, folder / CLAP_FILES[0])
    return clap.eval()


def save_unconditional(model: TDCN, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a checkpoint of the unconditional separator."""
    _save(model, model.config, folder, UNCONDITIONAL_FILES, dtype)


def load_unconditional(name_or_folder: str) -> TDCN:
    """The unconditional separator of a folder, in evaluation mode; raises like ``load_separator``."""
    folder = checkpoint_folder(name_or_folder)
    model = TDCN(_load_config(TypeAdapter(TDCNConfig), folder / UNCONDITIONAL_FILES[1]))
    _load_weights(model, folder / UNCONDITIONAL_FILES[0])
    return model.eval()


def checkpoint_hash(name_or_folder: str, files: tuple[str, str] = SEPARATOR_FILES) -> str:
    """Hash of a checkpoint's weights and configuration, the lineage id of what it separates.

    Raises:
        UserError: when a file is missing.
    """
    digest = hashlib.sha256()
    for name in files:
        digest.update(_existing(checkpoint_folder(name_or_folder) / name).read_bytes())
    return digest.hexdigest()[:16]


def _save(model: nn.Module, config: Section, folder: Path, names: tuple[str, str], dtype: torch.dtype) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    temporary = folder / f".{names[0]}.tmp"
    save_file(weights, temporary)
    (folder / names[1]).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    temporary.chmod(0o644)  # safetensors makes files that only their owner reads
    os.replace(temporary, folder / names[0])


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"no checkpoint: {path} is missing; give a folder that holds it, or {EMBEDDED!r}")
    return path


def _load_config(kind: TypeAdapter[ConfigT], path: Path) -> ConfigT:
    try:
        return kind.validate_json(_existing(path).read_text("utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "not text"
        raise UserError(f"{path} does not describe a network that can be built: {what}") from None


def _load_weights(model: nn.Module, path: Path) -> None:
    try:
        weights = load_file(_existing(path))
    except SafetensorError as error:
        raise UserError(f"{path} is not a whole safetensors file: {error}") from None
    problem = mismatch(model.state_dict(), weights)
    if problem:
        raise UserError(f"{path} does not fit its configuration: {problem}")
    model.load_state_dict(weights)
