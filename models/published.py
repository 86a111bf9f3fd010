"""Published checkpoints as ours: CLAPSep's separator, and LAION-CLAP's audio encoder under a new decoder.

The networks are the same; names differ, and CLAPSep keeps its adapters (LoRA by loralib) apart from the weights that
they change. They are merged here: a separator carries no adapters outside of training (``models.lora``).

Sources: Ma et al. 2024 (CLAPSep), https://arxiv.org/abs/2402.17455; Wu et al. 2023 (LAION-CLAP),
https://arxiv.org/abs/2211.06687.

Example::

    separator = clapsep(Path("best_model.ckpt"), load_config("full").model.architecture)
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from data_specs.config import SeparatorConfig
from data_specs.errors import UserError
from models.separator import Separator
from models.weight_files import mismatch, read_weights

OUR_ENCODER, THEIR_ENCODER = "encoder.", "audio_branch."

# Ours and theirs; the first prefix that fits counts.
RENAMED = (
    (OUR_ENCODER, THEIR_ENCODER),
    ("mask_net.spec_norm.", "decoder_model.spec_norm."),
    ("mask_net.first.", "decoder_model.mask_net.0."),
    ("mask_net.rest.0.", "decoder_model.mask_net.1."),
    ("mask_net.rest.1.", "decoder_model.mask_net.2."),
    ("mask_net.rest.2.", "decoder_model.mask_net.3."),
    ("decoder.", "decoder_model."),
)

# What published files hold besides: the query encoder, constants of signal processing and of window attention, and the
# classification head that LAION-CLAP's encoder has but embeddings do not pass through.
UNUSED = re.compile(
    r"clap_model\..*|(stft|istft|resampler)\..*"
    r"|audio_branch\.((spectrogram|logmel)_extractor\..*|(tscam_conv|head)\.(weight|bias))"
    r"|(audio_branch|decoder_model)\..*\.(relative_position_index|attn_mask)"
)
LORA_ALPHA = 1  # loralib's default, which CLAPSep leaves as it is


def clapsep(path: Path, config: SeparatorConfig, find_clap: Callable[[], Path | None] = lambda: None) -> Separator:
    """The separator of a CLAPSep checkpoint, in evaluation mode.

    Args:
        path: a file that holds the whole separator, or only what CLAPSep trains (adapters, biases and decoder).
        config: the size that is expected; ``lora_rank`` is what training will use, the file may have another one.
        find_clap: finds the LAION-CLAP checkpoint with the encoder weights, where ``path`` leaves them out.

    Raises:
        UserError: a file cannot be read, or is of another size or architecture.
    """
    theirs = read_weights(path, "a CLAPSep checkpoint")
    if not any(name.startswith("decoder_model.") for name in theirs):
        raise UserError(f"expected a CLAPSep checkpoint at {path}, with decoder_model.*, found {_some(theirs)}")
    if not _has_encoder(theirs):
        clap = find_clap()
        if clap is None:
            raise UserError(
                f"{path} holds no whole encoder, only what changed in training: "
                "name the LAION-CLAP checkpoint that it was trained on as model.clap"
            )
        theirs = _laion_encoder(clap) | theirs
    separator = Separator(config)
    weights = _renamed(separator.state_dict(), _merged_lora(theirs), path)
    separator.load_state_dict(weights)
    return separator.eval()


def untrained(clap: Path, config: SeparatorConfig, *, seed: int) -> Separator:
    """A separator with LAION-CLAP's audio encoder, everything else freshly drawn from ``seed``, in evaluation mode.

    Raises:
        UserError: the file cannot be read, or its audio encoder is of another size or architecture.
    """
    theirs = _laion_encoder(clap)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        separator = Separator(config)
    encoder = {OUR_ENCODER + name: tensor for name, tensor in separator.encoder.state_dict().items()}
    weights = _renamed(encoder, theirs, clap)
    separator.encoder.load_state_dict({name.removeprefix(OUR_ENCODER): tensor for name, tensor in weights.items()})
    return separator.eval()


def _laion_encoder(path: Path) -> dict[str, Tensor]:
    theirs = read_weights(path, "a LAION-CLAP checkpoint")
    if not _has_encoder(theirs):
        raise UserError(f"expected a LAION-CLAP checkpoint at {path}, with audio_branch.*, found {_some(theirs)}")
    return {name: tensor for name, tensor in theirs.items() if name.startswith(THEIR_ENCODER)}


def _has_encoder(theirs: Mapping[str, Tensor]) -> bool:
    return f"{THEIR_ENCODER}patch_embed.proj.weight" in theirs


def _merged_lora(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every weight W with adapters A (r, in) and B (out, r) as W + alpha / r * B A."""
    merged = dict(theirs)
    for name in theirs:
        layer = name.removesuffix(".lora_A")
        down_up = [f"{layer}.lora_A", f"{layer}.lora_B"]
        if layer == name or not {down_up[1], f"{layer}.weight"} <= theirs.keys():
            continue
        down, up = (merged.pop(key) for key in down_up)
        merged[f"{layer}.weight"] = theirs[f"{layer}.weight"] + LORA_ALPHA / len(down) * (up @ down)
    return merged


def _renamed(expected: Mapping[str, Tensor], theirs: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Their weights under the names of ``expected``; every one of both must be accounted for."""
    sources = {ours: _published_name(ours) for ours in expected}
    found = {name: tensor for name, tensor in theirs.items() if not UNUSED.fullmatch(name)}
    problem = mismatch({sources[ours]: tensor for ours, tensor in expected.items()}, found)
    if problem:
        raise UserError(f"{path} is of another size or architecture: {problem}")
    return {ours: found[source] for ours, source in sources.items()}


def _published_name(ours: str) -> str:
    return next((theirs + ours.removeprefix(prefix) for prefix, theirs in RENAMED if ours.startswith(prefix)), ours)


def _some(names: Iterable[str]) -> str:
    first = sorted({name.partition(".")[0] for name in names})[:4]
    return ", ".join(f"{name}.*" for name in first) if first else "none"
