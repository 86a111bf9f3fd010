"""Weights out of other people's PyTorch checkpoints, without running anything that such a file may hold.

A checkpoint is a pickle, and a pickle may hold code. Only tensors and plain data are taken. NumPy scalars and arrays,
which trainers leave beside the weights, are passed over. Whatever is wrong with a file becomes one line that says what
was expected and what was found.

Example::

    weights = load_weights(Path("Cnn14_mAP=0.431.pth"), "a PANNs Cnn14 checkpoint")
"""

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_specs.errors import UserError

NESTS = ("state_dict", "model")
"""Keys below which trainers put the weights: LAION-CLAP and Lightning the first, PANNs the second."""


class _LeftOut:
    """Stands where a trainer's NumPy scalar or array was: what is not needed is not built either."""

    def __init__(self, *state: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


_LEFT_OUT: list[Any] = [
    (_LeftOut, f"numpy.{name}")
    for name in (
        "ndarray",
        "dtype",
        # before NumPy 2, and since
        *(f"{core}.multiarray.{function}" for core in ("core", "_core") for function in ("scalar", "_reconstruct")),
    )
]
_DAMAGE = (
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
)
"""What unpickling damaged bytes raises, in PyTorch's formats of today and of before 1.6."""


def load_weights(path: Path, what: str) -> dict[str, Tensor]:
    """The weights of a checkpoint by name, without a ``module.`` that data-parallel training put before the names.

    Args:
        path: ``.pt``, ``.pth`` or ``.ckpt`` file.
        what: what was expected, for the message: "a LAION-CLAP checkpoint".

    Raises:
        UserError: no such file, damaged, no weights in it, or something in it that is no data.
    """
    if not path.is_file():
        raise UserError(f"expected {what} at {path}, found no file")
    try:
        with torch.serialization.safe_globals(_LEFT_OUT), warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError as error:
        raise UserError(f"expected {what} at {path}, found a file that cannot be read: {error.strerror}") from None
    except _DAMAGE as error:
        raise UserError(f"expected {what} at {path}, found {_damage(path, error)}") from None
    weights = _weights_in(content)
    if not weights:
        raise UserError(f"expected {what} at {path}, found {_outline(content)}")
    return {name.removeprefix("module."): value for name, value in weights.items()}


def _weights_in(content: Any) -> dict[str, Tensor]:
    """The mapping of names to tensors in a checkpoint; empty when there is none."""
    if not isinstance(content, Mapping):
        return {}
    for nest in NESTS:
        if isinstance(content.get(nest), Mapping):
            return _weights_in(content[nest])
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    return tensors if len(tensors) == len(content) and all(isinstance(name, str) for name in tensors) else {}


def _outline(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"no weights but {', '.join(map(str, list(content)[:4])) or 'nothing'}"
    return f"no weights but {type(content).__name__}"


def _damage(path: Path, error: Exception) -> str:
    """What a file is that could not be loaded, in a few words."""
    text = str(error)
    code = re.search(r"GLOBAL (\S+) (?:was not|whose module)", text)
    if code:
        return f"a pickle that would run {code[1]}: nothing of it was run"
    return f"a file of {path.stat().st_size} bytes that is damaged, unfinished or no PyTorch checkpoint"
