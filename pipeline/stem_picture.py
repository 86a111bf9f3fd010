"""A picture of a separation: the recording, its tracks and the residual as spectrograms below one another.

Collected while the recording streams by, in as many columns as the picture has, so that memory does not depend on its
length.

Example::

    strip = Strip(frames=len(waveform), sample_rate_hz=rate)
    strip.add(waveform)
    draw([("recording", strip), ("Car, -6.2 dB", car), ("residual", rest)], title="street.ogg", path=Path("street.png"))
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torchaudio.functional import melscale_fbanks

BANDS = 80
COLUMNS_MAX = 1000
ANALYSIS_S = 0.05
RANGE_DB = 70.0
"""What lies further below the loudest bin of the recording is drawn black."""


class Strip:
    """A mel spectrogram (BANDS, columns) of a waveform that comes in pieces."""

    def __init__(self, frames: int, sample_rate_hz: int) -> None:
        self.frames, self.sample_rate_hz = max(1, frames), sample_rate_hz
        self._n_fft = 2 ** round(np.log2(ANALYSIS_S * sample_rate_hz))
        self._hop = self._n_fft // 4
        columns = min(COLUMNS_MAX, -(-self.frames // self._hop))
        self._power, self._count = np.zeros((BANDS, columns)), np.zeros(columns)
        self._seen, self._frames_done = 0, 0
        self._left = np.zeros(self._n_fft // 2, np.float32)  # what the next analysis frame begins with
        filters = melscale_fbanks(self._n_fft // 2 + 1, 0.0, sample_rate_hz / 2, BANDS, sample_rate_hz)
        self._filters = filters.numpy().T  # (BANDS, F)

    def add(self, waveform: np.ndarray) -> None:
        """The next samples (T,)."""
        self._seen += len(waveform)
        self._left = np.concatenate([self._left, waveform.astype(np.float32)])
        frames = max(0, (len(self._left) - self._n_fft) // self._hop + 1)
        if not frames:
            return
        spectrum = torch.stft(
            torch.from_numpy(self._left[: self._n_fft + (frames - 1) * self._hop].copy()),
            self._n_fft,
            self._hop,
            window=torch.hann_window(self._n_fft),
            center=False,
            return_complex=True,
        )
        power = self._filters @ spectrum.abs().square().numpy()  # (BANDS, N)
        at = (self._frames_done + np.arange(frames)) * self._hop * self._power.shape[1] // self.frames
        at = np.minimum(at, self._power.shape[1] - 1)
        np.add.at(self._power.T, at, power.T)
        np.add.at(self._count, at, 1)
        self._left = self._left[frames * self._hop :]
        self._frames_done += frames

    @property
    def duration_s(self) -> float:
        """Seconds that have come in."""
        return self._seen / self.sample_rate_hz

    @property
    def decibels(self) -> np.ndarray:
        """Mean power of every band and column in dB, (BANDS, columns), up to where the waveform has come."""
        columns = max(1, min(self._power.shape[1], -(-self._seen * self._power.shape[1] // self.frames)))
        return 10 * np.log10(self._power[:, :columns] / np.maximum(self._count[:columns], 1) + 1e-12)


def draw(rows: Sequence[tuple[str, Strip]], *, title: str, path: Path) -> None:
    """Write the strips below one another as a PNG; the first one sets the colours.

    Args:
        rows: a caption and a strip each, taken as plain text.
        title: above the picture.
    """
    loudest_db = float(rows[0][1].decibels.max())
    figure = Figure(figsize=(9.0, 0.5 + 1.25 * len(rows)), layout="constrained")
    figure.suptitle(title, parse_math=False, fontsize=10)
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (caption, strip) in zip(panels, rows, strict=True):
        axes.imshow(
            strip.decibels,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            extent=(0, strip.duration_s, 0, BANDS),
            cmap="magma",
            vmin=loudest_db - RANGE_DB,
            vmax=loudest_db,
        )
        ticks_hz = [hz for hz in (250, 1_000, 4_000, 16_000) if hz < strip.sample_rate_hz / 2]
        axes.set_yticks([_band(hz, strip.sample_rate_hz) for hz in ticks_hz], [f"{hz / 1000:g} kHz" for hz in ticks_hz])
        axes.tick_params(labelsize=7)
        axes.set_title(caption, parse_math=False, fontsize=8, loc="left", pad=2)
    panels[-1].set_xlabel("time (s)", fontsize=8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names in scripts that the font lacks stay boxes
        figure.savefig(path, format="png", dpi=110)


def _band(hz: float, sample_rate_hz: int) -> float:
    """Where a frequency lies on the mel axis, in bands."""

    def mel(f: float) -> float:
        return 2595.0 * float(np.log10(1.0 + f / 700.0))

    return BANDS * mel(hz) / mel(sample_rate_hz / 2)
