"""Mel spectrograms as small pictures, for looking at what one hears.

All waveforms of a clip are drawn on the same scale (paper, Table 7), so a faint track looks faint. Loud is dark on
white; the page inverts the pictures in dark mode.

Example::

    scale = MelPictures(sample_rate_hz=32_000)
    reference_db = scale.loudest_db(mixture)
    data = scale.webp(track, reference_db)          # track (T,)
"""

import io

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image

from models.spectral import LogMel

RANGE_DB = 60.0
MEL_BINS = 80
FRAMES_MAX = 640
"""Pictures are this wide at most; they are shown about as wide."""
HEIGHT = 96
_COLOURS = LinearSegmentedColormap.from_list(
    "loudness", ["#ffffff", "#dcebe6", "#8cc3b6", "#2f8a86", "#1c4c70", "#0e1738"]
)


def mel_range_hz(sample_rate_hz: int) -> tuple[float, float]:
    """The lowest and the highest frequency of the pictures."""
    return 50.0, min(14_000.0, sample_rate_hz / 2)


class MelPictures:
    """Draws waveforms of one sample rate."""

    def __init__(self, *, sample_rate_hz: int) -> None:
        lowest_hz, highest_hz = mel_range_hz(sample_rate_hz)
        self._mel = LogMel(
            sample_rate_hz=sample_rate_hz,
            n_fft=1024,
            hop_length=256,
            mel_bins=MEL_BINS,
            f_min_hz=lowest_hz,
            f_max_hz=highest_hz,
        )

    def loudest_db(self, waveform: np.ndarray) -> float:
        """The largest mel power of a waveform (T,): the dark end of a clip's scale."""
        return float(self._image(waveform).max())

    def webp(self, waveform: np.ndarray, reference_db: float) -> bytes:
        """A waveform (T,) as a WebP picture, from ``reference_db`` (darkest) to ``RANGE_DB`` below it (white)."""
        image = self._image(waveform)
        loudness = np.clip(1.0 + (image - reference_db) / RANGE_DB, 0.0, 1.0)  # (M, N)
        colours = (_COLOURS(loudness[::-1])[..., :3] * 255).astype(np.uint8)  # (M, N, 3), low frequencies below
        picture = Image.fromarray(colours)
        picture = picture.resize((min(picture.width, FRAMES_MAX), HEIGHT), Image.Resampling.BILINEAR)
        sink = io.BytesIO()
        picture.save(sink, format="WEBP", quality=70, method=2)
        return sink.getvalue()

    @torch.inference_mode()
    def _image(self, waveform: np.ndarray) -> np.ndarray:
        """Mel power in dB (M, N)."""
        padded = np.pad(waveform.astype(np.float32), (0, max(0, 1024 - len(waveform))))
        return self._mel(torch.from_numpy(padded).unsqueeze(0))[0].T.numpy()
