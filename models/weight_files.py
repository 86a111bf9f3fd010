"""Reading weight files that others made, without running anything that is in them.

Two formats: safetensors, and PyTorch's own, a pickle, read by ``torch.load(weights_only=True)``, which builds tensors
and plain containers and refuses everything else. Training frameworks wrap the weights (``state_dict``) and prefix their
names (``module.``); both are taken off.

Example::

    weights = read_weights(Path("best_model.ckpt"))       # {"audio_branch.bn0.bias": tensor, ...}
    problem = mismatch(model.state_dict(), weights)       # "" when names and shapes agree
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from data_specs.errors import UserError

# What the optimizer and metric states of published checkpoints hold besides tensors.
_numpy_scalar = np.float64(0).__reduce__()[0]
_NUMPY_SCALARS: list[Any] = [
    (_numpy_scalar, "numpy.core.multiarray.scalar"),
    (_numpy_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")},
]
_LEGACY_MAGIC = (
    b"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # how torch.save began before it wrote zip files
)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU.

    Raises:
        UserError: no such file, damaged, of another format, or a pickle that holds more than weights.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint: {path} is not a file")
    with path.open("rb") as file:
        start = file.read(len(_LEGACY_MAGIC))
    zipped = start[:4] == b"PK\x03\x04"
    if zipped or start == _LEGACY_MAGIC:
        return _named_tensors(_read_pickled(path, zipped=zipped), path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(
            f"{path} is no whole checkpoint: expected safetensors or what torch.save writes, found {_one_line(error)}"
        ) from None


def _read_pickled(path: Path, *, zipped: bool) -> Any:
    if zipped and not zipfile.is_zipfile(path):
        raise UserError(f"{path} is no whole checkpoint: expected the end of a zip archive, found a truncated file")
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        found = f"the code {code[1]}" if code else _one_line(error)
        raise UserError(f"{path} is refused: expected weights, found {found}; nothing in it was run") from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {_one_line(error)}") from None


def _named_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path} is no checkpoint: expected tensors by name, found {type(content).__name__}")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def mismatch(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """How ``found`` differs from ``expected`` in names and shapes: one line that names the keys, "" if it does not."""
    differences = {
        "of another size": [
            f"{name} (expected {tuple(tensor.shape)}, found {tuple(found[name].shape)})"
            for name, tensor in expected.items()
            if name in found and found[name].shape != tensor.shape
        ],
        "missing": [name for name in expected if name not in found],
        "left over": [name for name in found if name not in expected],
    }
    return "; ".join(f"{kind}: {_listed(names)}" for kind, names in differences.items() if names)


def _listed(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _one_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
