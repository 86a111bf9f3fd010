"""What the adapters of published CLAP packages share: their networks without their imports, tokenizers, windows.

``import laion_clap`` and ``import msclap`` open connections to a hub and change settings of the whole process; only the
modules with the networks are loaded here.

Example::

    networks = load_networks("msclap", "models", name="msclap_networks")
    tokenizer = read_tokenizer(Path("gpt2/tokenizer.json"), "GPT-2's tokenizer.json", tokens=50_257, pad=(0, "!"))
"""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import torch
from tokenizers import Tokenizer
from torch import Tensor

from data_specs.errors import UserError

TOKENS_MAX = 77


def load_networks(package: str, folder: str, *, name: str, missing: str) -> ModuleType:
    """The package in ``folder`` of an installed package, as the module ``name``.

    Raises:
        UserError: the package is not installed; ``missing`` says what to do.
    """
    if name not in sys.modules:
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise UserError(missing)
        path = Path(found.origin).parent / folder
        spec = importlib.util.spec_from_file_location(
            name, path / "__init__.py", submodule_search_locations=[str(path)]
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def read_tokenizer(path: Path, what: str, *, tokens: int, pad: tuple[int, str]) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``, cutting at ``TOKENS_MAX``.

    Args:
        tokens: how many tokens the text encoder knows; the tokenizer has to know as many.
        pad: number and text of the token that fills up shorter texts.

    Raises:
        UserError: there is another file, or none.
    """
    if not path.is_file():
        raise UserError(f"expected {what} at {path}, found no file")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more specific
        raise UserError(f"expected {what} at {path}, found another file: {error}") from None
    if tokenizer.get_vocab_size() != tokens:
        raise UserError(f"expected {what} with {tokens} tokens at {path}, found one with {tokenizer.get_vocab_size()}")
    tokenizer.enable_truncation(TOKENS_MAX)
    tokenizer.enable_padding(pad_id=pad[0], pad_token=pad[1])
    return tokenizer


def rows(weights: Mapping[str, Tensor], name: str) -> int:
    """Rows of a weight; 1 when there is no such weight."""
    return len(weights[name]) if name in weights else 1


def spread_windows(waveform: Tensor, length: int) -> Tensor:
    """Waveform (N, T), T at least ``length``, to windows (N, W, length), evenly from the start to the end."""
    count = -(-waveform.shape[1] // length)
    starts = [round(index * (waveform.shape[1] - length) / max(1, count - 1)) for index in range(count)]
    return torch.stack([waveform[:, start : start + length] for start in starts], dim=1)


def by_frame(spectrogram: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """``change`` of spectrograms (N, frames, bins) done to (N, bins, frames, 1), as HTSAT's batch norm has them."""
    return change(spectrogram.squeeze(3).transpose(1, 2)).transpose(1, 2).unsqueeze(3)
