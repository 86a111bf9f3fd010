"""LAION-CLAP as a query encoder: text and audio to unit vectors, by the classes of the ``laion-clap`` package.

All weights are in the published checkpoint, the text encoder's too; only its tokenizer is a file of its own. What the
package does at its import, asking a hub for three tokenizers, is left out: nothing here opens a connection. Recordings
of any length are embedded window by window, where the package takes a random ten seconds, so equal audio has equal
embeddings.

Source: Wu et al. 2023, https://arxiv.org/abs/2211.06687.

Example::

    encoder = LaionClap.load(Path("music_audioset_epoch_15_esc_90.14.pt"), Path("roberta-base/tokenizer.json"))
    encoder.embed_text(["Bark", "rain on a roof"])      # (2, 512)
"""

import json
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
import torchaudio.functional as AF
from tokenizers import Tokenizer
from torch import Tensor, nn

from data_specs.errors import UserError
from data_specs.labels import label_table
from models.clap_parts import by_frame, load_networks, read_tokenizer, rows, spread_windows
from models.laion_files import LABEL_PROMPT
from models.query_encoders import changing_output
from models.weight_files import fit, read_weights

WHAT = "a LAION-CLAP checkpoint"
SAMPLE_RATE_HZ = 48_000
WINDOW_LENGTH = 480_000

_AUDIO_MODELS = {96: "HTSAT-tiny", 128: "HTSAT-base", 256: "HTSAT-large"}  # by the width of the patch embedding
_WIDTH = "audio_branch.patch_embed.proj.weight"
_FUSION = "audio_branch.patch_embed.mel_conv2d.weight"
_STALE = "text_branch.embeddings.position_ids"  # in old checkpoints; newer transformers make it themselves
_HEAD_DIM, _PAD = 64, (1, "<pad>")  # of RoBERTa, whatever its size
_EMBEDDINGS, _LAYER = "text_branch.embeddings", "text_branch.encoder.layer"
_BATCH_WINDOWS, _BATCH_TEXTS = 16, 64


class LaionClap:
    """Query encoder on LAION-CLAP; remembers texts, since a corpus asks for the same labels all the time.

    Args:
        clap: the package's ``CLAP``.
        tokenizer: RoBERTa's.
        sample_rate_hz: rate of the waveforms given to ``embed_audio``.
    """

    def __init__(self, clap: Any, tokenizer: Tokenizer, sample_rate_hz: int = 32_000):
        self.clap = clap.eval().requires_grad_(False)
        self.dim = int(self.clap.joint_embed_shape)
        self.sample_rate_hz = sample_rate_hz
        self.logit_scale = float(self.clap.logit_scale_a.exp())
        self._tokenizer = tokenizer
        self._texts: dict[str, Tensor] = {}

    @classmethod
    def load(cls, checkpoint: Path, tokenizer: Path) -> "LaionClap":
        """From files in their published format, onto torch's default device.

        Raises:
            UserError: a file is missing, damaged, of another architecture, or the two do not belong together.
        """
        weights = read_weights(checkpoint, WHAT)
        weights.pop(_STALE, None)
        known = rows(weights, f"{_EMBEDDINGS}.word_embeddings.weight")
        words = read_tokenizer(tokenizer, "RoBERTa's tokenizer.json", tokens=known, pad=_PAD)
        clap = _build(weights, checkpoint)
        fit(clap, weights, source=checkpoint, what=WHAT)
        return cls(clap.to(torch.get_default_device()), words)

    @torch.inference_mode()
    def embed_text(self, texts: list[str]) -> Tensor:
        """Texts to unit vectors (N, D).

        Raises:
            ValueError: an empty text.
        """
        missing = [text for text in dict.fromkeys(texts) if text not in self._texts]
        for start in range(0, len(missing), _BATCH_TEXTS):
            batch = missing[start : start + _BATCH_TEXTS]
            self._texts.update(zip(batch, self._embed(batch), strict=True))
        return torch.stack([self._texts[text] for text in texts])

    def _embed(self, texts: list[str]) -> Tensor:
        if empty := [text for text in texts if not text.strip()]:
            raise ValueError(f"the query {empty[0]!r} holds no word: describe a sound, such as 'dog barking'")
        said = self._tokenizer.encode_batch(
            [LABEL_PROMPT.format(text) if text in label_table() else text for text in texts]
        )
        ids = torch.tensor([one.ids for one in said], device="cpu")  # (N, tokens), padded to the longest
        return self.clap.get_text_embedding(
            {"input_ids": ids, "attention_mask": torch.tensor([one.attention_mask for one in said], device="cpu")}
        )

    def embed_audio(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, T) of any length to unit vectors (N, D): the mean over windows."""
        return F.normalize(self.embed_windows(waveforms).mean(dim=1), dim=-1)

    def embed_audio_with_gradient(self, waveforms: Tensor) -> Tensor:
        """The same, differentiable."""
        return F.normalize(self._embed_windows(waveforms).mean(dim=1), dim=-1)

    @torch.inference_mode()
    def embed_windows(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, T) to one unit vector per window of ten seconds, (N, W, D).

        Windows are spread evenly from the start to the end; shorter audio is repeated, as in the package.
        """
        return self._embed_windows(waveforms)

    def changing_spectrograms(self, change: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
        """Meanwhile ``change`` is done to every normalised mel spectrogram (N, frames, bins)."""
        return changing_output(self.clap.audio_branch.bn0, lambda output: by_frame(output, change))

    def _embed_windows(self, waveforms: Tensor) -> Tensor:
        device = next(self.clap.parameters()).device
        resampled = AF.resample(waveforms.to(device), self.sample_rate_hz, SAMPLE_RATE_HZ)
        windows = _windows(_quantised(resampled))  # (N, W, 480 000)
        vectors = [
            self.clap.get_audio_embedding([{"waveform": window} for window in batch])
            for batch in windows.flatten(0, 1).split(_BATCH_WINDOWS)
        ]
        return torch.cat(vectors).view(*windows.shape[:2], -1)


def _quantised(waveform: Tensor) -> Tensor:
    """What 16 bits leave of a waveform: the checkpoints were trained on that. The gradient passes unrounded."""
    clipped = waveform.clamp(-1, 1)
    return clipped + ((clipped * 32767.0).to(torch.int16) / 32767.0 - clipped).detach()


def _windows(waveform: Tensor) -> Tensor:
    """Waveform (N, T) at 48 kHz to windows (N, W, 480 000)."""
    length = waveform.shape[1]
    if length <= WINDOW_LENGTH:
        repeated = waveform.repeat(1, WINDOW_LENGTH // max(1, length))
        return F.pad(repeated, (0, WINDOW_LENGTH - repeated.shape[1])).unsqueeze(1)
    return spread_windows(waveform, WINDOW_LENGTH)


def laion_package() -> ModuleType:
    """``clap_module``, the part of the ``laion-clap`` package with the networks, under the name that it has there.

    ``import laion_clap`` would first ask a hub for tokenizers, and wait a minute where there is none.
    """
    missing = "the package laion-clap is not installed: run sh infra/setup.sh"
    return load_networks("laion_clap", "clap_module", name="clap_module", missing=missing)


def _build(weights: Mapping[str, Tensor], source: Path) -> nn.Module:
    """The package's CLAP in the size of the weights."""
    width = len(weights[_WIDTH]) if _WIDTH in weights else None
    if width not in _AUDIO_MODELS or _FUSION in weights:
        first = ", ".join(list(weights)[:3])
        found = "one for fused features" if width in _AUDIO_MODELS else f"other weights ({first})"
        sizes = ", ".join(_AUDIO_MODELS.values())
        raise UserError(f"expected {WHAT} without fusion ({sizes}) at {source}, found {found}")
    package = laion_package()
    configuration = Path(str(package.__file__)).parent / "model_configs" / f"{_AUDIO_MODELS[width]}.json"
    sizes = json.loads(configuration.read_text("utf-8"))
    sizes["text_cfg"]["model_type"] = "roberta"
    model: Any = sys.modules["clap_module.model"]
    with torch.device("cpu"), _roberta_of(weights, model), warnings.catch_warnings(action="ignore"):
        return model.CLAP(**sizes)


@contextmanager
def _roberta_of(weights: Mapping[str, Tensor], model: Any) -> Iterator[None]:
    """Meanwhile, the package's CLAP gets a text encoder in the size of the weights when it asks for ``roberta-base``.

    It would download one otherwise, only to have every weight of it replaced by the checkpoint's.
    """
    from transformers import RobertaConfig, RobertaModel

    hidden = rows(weights, f"{_EMBEDDINGS}.LayerNorm.weight")
    config = RobertaConfig(
        vocab_size=rows(weights, f"{_EMBEDDINGS}.word_embeddings.weight"),
        hidden_size=hidden,
        num_hidden_layers=len({match[1] for name in weights if (match := re.match(rf"{_LAYER}\.(\d+)\.", name))}),
        num_attention_heads=max(1, hidden // _HEAD_DIM),
        intermediate_size=rows(weights, f"{_LAYER}.0.intermediate.dense.weight"),
        max_position_embeddings=rows(weights, f"{_EMBEDDINGS}.position_embeddings.weight"),
        type_vocab_size=rows(weights, f"{_EMBEDDINGS}.token_type_embeddings.weight"),
        layer_norm_eps=1e-5,
    )

    class Roberta:
        @staticmethod
        def from_pretrained(name: str) -> nn.Module:
            return RobertaModel(config)

    asked = model.RobertaModel
    model.RobertaModel = Roberta
    try:
        yield
    finally:
        model.RobertaModel = asked
