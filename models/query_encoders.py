"""Query encoders: text or audio to the unit vectors that condition the separator.

Example::

    encoder = load_query_encoder("embedded")
    encoder.embed_text(["Bark", "rain on a roof"])     # (2, D)
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from data_specs.records import content_id
from models.checkpoints import CLAP_FILES, checkpoint_folder, load_clap
from models.checksums import file_sha256
from models.clap import TinyClap
from models.laion_files import LABEL_PROMPT
from models.ms_clap_files import MS_LABEL_PROMPT, MsClapFiles, public_clap_files

QUERY_RATE_HZ = 32_000
"""Sample rate of the waveforms that query encoders embed."""


class QueryEncoder(Protocol):
    """What conditions a separator: text or audio to unit vectors of ``dim``."""

    dim: int

    def embed_text(self, texts: list[str]) -> Tensor:
        """Texts to unit vectors (N, D)."""

    def embed_audio(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, T) at ``QUERY_RATE_HZ`` to unit vectors (N, D)."""


@runtime_checkable
class TokenEncoder(Protocol):
    """A query encoder that can also say what every token of a text means, for separators that attend to them."""

    def embed_tokens(self, texts: list[str]) -> Tensor:
        """Texts to one vector per token, (N, L, dim); rows of zeros after a text's end."""


@runtime_checkable
class GradientEncoder(Protocol):
    """A query encoder that can judge estimates in training: frozen itself, but its input gets a gradient."""

    sample_rate_hz: int
    logit_scale: float

    def embed_audio_with_gradient(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, T) at ``sample_rate_hz`` to unit vectors (N, dim), differentiable."""


@runtime_checkable
class SpectrogramEncoder(Protocol):
    """A query encoder whose spectrograms can be augmented on their way through its audio tower."""

    def changing_spectrograms(self, change: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
        """Meanwhile ``change`` is done to every normalised mel spectrogram (N, frames, bins)."""


@contextmanager
def changing_output(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Meanwhile ``change`` is done to what the module gives."""
    hook = module.register_forward_hook(lambda own, arguments, output: change(output))
    try:
        yield
    finally:
        hook.remove()


class TinyClapEncoder:
    """Query encoder on the embedded CLAP; remembers texts, since a corpus asks for the same labels all the time."""

    def __init__(self, clap: TinyClap):
        self.clap = clap.eval().requires_grad_(False)
        self.dim = clap.config.embedding_dim
        self.sample_rate_hz = clap.sample_rate_hz
        self.logit_scale = float(clap.log_scale.exp())
        self._texts: dict[str, Tensor] = {}

    @torch.inference_mode()
    def embed_text(self, texts: list[str]) -> Tensor:
        """Texts to unit vectors (N, D).

        Raises:
            ValueError: when a text holds no word.
        """
        missing = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if missing:
            self._texts.update(zip(missing, self.clap.embed_text(missing), strict=True))
        return torch.stack([self._texts[text] for text in texts])

    @torch.inference_mode()
    def embed_tokens(self, texts: list[str]) -> Tensor:
        """Texts to one vector per word, (N, L, D); raises like ``embed_text``."""
        return self.clap.embed_tokens(texts)

    @torch.inference_mode()
    def embed_audio(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, T) to unit vectors (N, D)."""
        return self.clap.embed_audio(waveforms.to(self.clap.bias.device))

    def embed_audio_with_gradient(self, waveforms: Tensor) -> Tensor:
        """The same, differentiable."""
        return self.clap.embed_audio(waveforms)

    def changing_spectrograms(self, change: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
        """Meanwhile ``change`` is done to every normalised mel spectrogram (N, frames, bins)."""
        return changing_output(self.clap.audio.spectrogram, change)


def load_query_encoder(clap: str) -> QueryEncoder:
    """The query encoder of ``config.model.clap``, on torch's default device.

    Raises:
        UserError: no such checkpoint, or one that cannot be used.
    """
    files = public_clap_files(clap)
    if files is None:
        return TinyClapEncoder(load_clap(clap))
    if isinstance(files, MsClapFiles):
        from models.ms_clap import MsClap

        return MsClap.load(files.checkpoint.path, files.tokenizer.path)
    from models.laion import LaionClap  # takes seconds to import

    return LaionClap.load(files.checkpoint.path, files.tokenizer.path)


def query_encoder_id(clap: str) -> str:
    """Id of what the vectors of ``config.model.clap`` depend on: its files and how it is told a label.

    Raises:
        UserError: no such checkpoint.
    """
    files = public_clap_files(clap)
    if files:
        prompt = MS_LABEL_PROMPT if isinstance(files, MsClapFiles) else LABEL_PROMPT
        return content_id(files.checkpoint.sha256, files.tokenizer.sha256, prompt)
    folder = checkpoint_folder(clap)
    return content_id(*(file_sha256(folder / name) for name in CLAP_FILES))
