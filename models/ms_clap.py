"""MS-CLAP as a query encoder: text and audio to unit vectors, by the classes of the ``msclap`` package.

The package is not among the engine's own: ``pip install --no-deps msclap`` adds it, and nothing else of this project
needs it. Only its networks are used. What its import does (a hub's client, every warning of the process silenced) and
what its wrapper does (a random seven seconds of longer audio) is left out: equal audio has equal embeddings.

Source: Elizalde et al. 2023, https://arxiv.org/abs/2309.05767.

Example::

    encoder = MsClap.load(Path("CLAP_weights_2023.pth"), Path("gpt2/tokenizer.json"))
    encoder.embed_text(["Bark", "rain on a roof"])      # (2, 1024)
"""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchaudio.functional as AF
from tokenizers import Tokenizer
from torch import Tensor, nn

from data_specs.errors import UserError
from data_specs.labels import label_table
from models.clap_parts import by_frame, load_networks, read_tokenizer, rows, spread_windows
from models.ms_clap_files import MS_LABEL_PROMPT
from models.query_encoders import changing_output
from models.weight_files import fit, read_weights

WHAT = "an MS-CLAP checkpoint of 2023"
SAMPLE_RATE_HZ = 44_100
WINDOW_LENGTH = 7 * SAMPLE_RATE_HZ
END_OF_TEXT = " <|endoftext|>"

# configs/config_2023.yml of the package; the spectrogram's own figures are fixed in its HTSAT.
_AUDIO = {"audioenc_name": "HTSAT", "sample_rate": 44_100, "window_size": 1024, "hop_size": 320, "mel_bins": 64}
_AUDIO |= {"fmin": 50, "fmax": 8000, "classes_num": 527, "out_emb": 768}
_TEXT, _HEAD_DIM = "caption_encoder.base", 64
_STALE = re.compile(r"\.attn\.(masked_)?bias$")  # causal masks in old checkpoints; newer transformers make them
_PAD = (0, "!")  # the package finds the end of a text by this number
_BATCH_WINDOWS, _BATCH_TEXTS = 16, 64


class MsClap:
    """Query encoder on MS-CLAP; remembers texts, since a corpus asks for the same labels all the time.

    Args:
        clap: the package's ``CLAP``.
        tokenizer: GPT-2's.
        sample_rate_hz: rate of the waveforms given to ``embed_audio``.
    """

    def __init__(self, clap: Any, tokenizer: Tokenizer, sample_rate_hz: int = 32_000):
        self.clap = clap.eval().requires_grad_(False)
        self.dim = int(self.clap.caption_encoder.projection.linear2.out_features)
        self.sample_rate_hz = sample_rate_hz
        self.logit_scale = float(self.clap.logit_scale.exp())
        self._tokenizer = tokenizer
        self._texts: dict[str, Tensor] = {}

    @classmethod
    def load(cls, checkpoint: Path, tokenizer: Path) -> "MsClap":
        """From files in their published format, onto torch's default device.

        Raises:
            UserError: the package or a file is missing, damaged, of another architecture, or the two do not belong
                together.
        """
        weights = {name: tensor for name, tensor in read_weights(checkpoint, WHAT).items() if not _STALE.search(name)}
        known = rows(weights, f"{_TEXT}.wte.weight")
        words = read_tokenizer(tokenizer, "GPT-2's tokenizer.json", tokens=known, pad=_PAD)
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
            [(MS_LABEL_PROMPT.format(text) if text in label_table() else text) + END_OF_TEXT for text in texts]
        )
        device = self.clap.logit_scale.device
        ids = torch.tensor([one.ids for one in said], device=device)  # (N, tokens), padded to the longest
        mask = torch.tensor([one.attention_mask for one in said], device=device)
        return F.normalize(self.clap.caption_encoder({"input_ids": ids, "attention_mask": mask}), dim=-1)

    def embed_audio(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, T) of any length to unit vectors (N, D): the mean over windows."""
        return F.normalize(self.embed_windows(waveforms).mean(dim=1), dim=-1)

    def embed_audio_with_gradient(self, waveforms: Tensor) -> Tensor:
        """The same, differentiable."""
        return F.normalize(self._embed_windows(waveforms).mean(dim=1), dim=-1)

    @torch.inference_mode()
    def embed_windows(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, T) to one unit vector per window of seven seconds, (N, W, D).

        Windows are spread evenly from the start to the end; shorter audio is repeated, as in the package.
        """
        return self._embed_windows(waveforms)

    def changing_spectrograms(self, change: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
        """Meanwhile ``change`` is done to every normalised mel spectrogram (N, frames, bins)."""
        norm = self.clap.audio_encoder.base.htsat.bn0
        return changing_output(norm, lambda output: by_frame(output, change))

    def _embed_windows(self, waveforms: Tensor) -> Tensor:
        waveforms = waveforms.to(self.clap.logit_scale.device)
        windows = spread_windows(_repeated(AF.resample(waveforms, self.sample_rate_hz, SAMPLE_RATE_HZ)), WINDOW_LENGTH)
        vectors = [self.clap.audio_encoder(batch)[0] for batch in windows.flatten(0, 1).split(_BATCH_WINDOWS)]
        return F.normalize(torch.cat(vectors), dim=-1).view(*windows.shape[:2], -1)


def _repeated(waveform: Tensor) -> Tensor:
    """Waveform (N, T) at 44.1 kHz, from its start again and again until it fills a window."""
    times = -(-WINDOW_LENGTH // max(1, waveform.shape[1]))
    return waveform.repeat(1, times)[:, :WINDOW_LENGTH] if times > 1 else waveform


def ms_networks() -> Any:
    """The module of the ``msclap`` package that holds its CLAP, without the import of the package itself."""
    missing = "MS-CLAP needs the package msclap: run .venv/bin/python -m pip install --no-deps msclap"
    return load_networks("msclap", "models", name="msclap_networks", missing=missing).clap


def _build(weights: Mapping[str, Tensor], source: Path) -> nn.Module:
    """The package's CLAP with a text encoder in the size of the weights."""
    projection = weights.get("caption_encoder.projection.linear1.weight")
    if projection is None or f"{_TEXT}.wte.weight" not in weights:
        raise UserError(f"expected {WHAT} at {source}, found other weights ({', '.join(list(weights)[:3])})")
    package = ms_networks()
    out, width = projection.shape
    with torch.device("cpu"), _gpt2_of(weights, package), warnings.catch_warnings(action="ignore"):
        return package.CLAP(**_AUDIO, text_model="gpt2", transformer_embed_dim=width, d_proj=out)


@contextmanager
def _gpt2_of(weights: Mapping[str, Tensor], package: Any) -> Iterator[None]:
    """Meanwhile, the package's CLAP gets a text encoder in the size of the weights when it asks for ``gpt2``.

    It would download one otherwise, only to have every weight of it replaced by the checkpoint's.
    """
    from transformers import GPT2Config, GPT2Model

    hidden = weights[f"{_TEXT}.wte.weight"].shape[1]
    layers = {match[1] for name in weights if (match := re.match(rf"{re.escape(_TEXT)}\.h\.(\d+)\.", name))}
    config = GPT2Config(
        vocab_size=rows(weights, f"{_TEXT}.wte.weight"),
        n_positions=rows(weights, f"{_TEXT}.wpe.weight"),
        n_embd=hidden,
        n_layer=len(layers),
        n_head=max(1, hidden // _HEAD_DIM),
        n_inner=rows(weights, f"{_TEXT}.h.0.mlp.c_fc.bias"),
    )

    class Gpt2:
        @staticmethod
        def from_pretrained(name: str) -> nn.Module:
            return GPT2Model(config)

    asked = package.AutoModel
    package.AutoModel = Gpt2
    try:
        yield
    finally:
        package.AutoModel = asked
