"""Tiny CLAP: an audio and a text tower whose unit vectors meet where sound and text mean the same.

It is the embedded stand-in for LAION-CLAP, with the same HTSAT class at a smaller size. A learned scale and bias turn a
cosine into the probability that the text is heard in the audio, so several texts can be right for one clip.

Sources: Wu et al. 2023 (LAION-CLAP), https://arxiv.org/abs/2211.06687; Zhai et al. 2023 (sigmoid loss),
https://arxiv.org/abs/2303.15343.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_specs.config import ClapConfig
from models.htsat import HTSAT
from models.text import TextEncoder


class TinyClap(nn.Module):
    """Audio (B, T) and texts to unit vectors (B, D) in one space.

    Args:
        config: architecture.
        sample_rate_hz: rate of the waveforms given to ``embed_audio``.
    """

    def __init__(self, config: ClapConfig, sample_rate_hz: int = 32_000):
        super().__init__()
        self.config = config
        self.sample_rate_hz = sample_rate_hz
        self.audio = HTSAT(config.audio, input_rate_hz=sample_rate_hz)
        features = self.audio.feature_dims[-1]
        self.audio_projection = nn.Sequential(
            nn.Linear(features, features), nn.GELU(), nn.Linear(features, config.embedding_dim)
        )
        self.text = TextEncoder(config.text, config.embedding_dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-5.0))
        self.window_length = round(config.audio.window_s * sample_rate_hz)

    def embed_windows(self, waveform: Tensor) -> Tensor:
        """Waveform (B, T) to one unit vector per window, (B, W, D); each window is brought to unit RMS.

        What is shorter than a window is repeated, as LAION-CLAP does it: half a window of silence is no sound that it
        learned from. The last of several windows is filled up with silence.
        """
        if 0 < waveform.shape[1] < self.window_length:
            waveform = waveform.repeat(1, -(-self.window_length // waveform.shape[1]))[:, : self.window_length]
        count = max(1, -(-waveform.shape[1] // self.window_length))
        padded = F.pad(waveform, (0, count * self.window_length - waveform.shape[1]))
        windows = padded.view(-1, self.window_length)
        windows = windows / windows.square().mean(dim=1, keepdim=True).clamp(min=1e-10).sqrt()  # silence has a gradient
        embedding = self.audio_projection(self.audio.pool(self.audio(windows)))
        return F.normalize(embedding, dim=-1).view(len(waveform), count, -1)

    def embed_audio(self, waveform: Tensor) -> Tensor:
        """Waveform (B, T) of any length to unit vectors (B, D): the mean over windows."""
        return F.normalize(self.embed_windows(waveform).mean(dim=1), dim=-1)

    def embed_text(self, texts: list[str]) -> Tensor:
        """Texts to unit vectors (B, D)."""
        return F.normalize(self.text(texts), dim=-1)

    def embed_tokens(self, texts: list[str]) -> Tensor:
        """Texts to one vector per word, (B, W, D), zeros after a text's end; their mean has the text's direction."""
        return self.text.words(texts)

    def logits(self, audio: Tensor, text: Tensor) -> Tensor:
        """Unit vectors (..., D) and (N, D) to logits (..., N) that the text is heard in the audio."""
        return self.log_scale.exp() * audio @ text.T + self.bias
