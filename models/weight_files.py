"""Weights by name, from the files of others: read as data only, and compared with what a network expects.

Two formats: safetensors, and PyTorch's own (``models.safe_load``).

Example::

    weights = read_weights(Path("best_model.ckpt"), "a CLAPSep checkpoint")     # {"audio_branch.bn0.bias": tensor, ...}
    problem = mismatch(model.state_dict(), weights)                             # "" when names and shapes agree
"""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from data_specs.errors import UserError, few
from models.safe_load import load_weights


def read_weights(path: Path, what: str) -> dict[str, Tensor]:
    """Tensors by name, on the CPU; ``what`` was expected, for the message.

    Raises:
        UserError: no such file, damaged, of another format, or a pickle that holds more than data.
    """
    if path.is_file() and _begins_like_safetensors(path):
        try:
            return load_file(path)
        except SafetensorError as error:
            raise UserError(f"expected {what} at {path}, found a damaged safetensors file: {error}") from None
    return load_weights(path, what)


def fit(model: nn.Module, weights: Mapping[str, Tensor], *, source: Path, what: str) -> None:
    """Load ``weights`` into ``model``, every one and no other.

    Raises:
        UserError: a weight is missing, left over or of another size; the message names them.
    """
    problem = mismatch(model.state_dict(), weights)
    if problem:
        raise UserError(f"expected {what} at {source}, found another size or architecture: {problem}")
    model.load_state_dict(dict(weights))


def _begins_like_safetensors(path: Path) -> bool:
    """Eight bytes of length, then JSON."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


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
    return "; ".join(f"{kind}: {few(names, 8)}" for kind, names in differences.items() if names)
