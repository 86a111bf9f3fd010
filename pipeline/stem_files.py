"""The files that one separated recording becomes, from the first sample to the moment they get their names.

All of them are written under temporary names while the recording streams by, and are published together at the end, so
that a separation that was cut off leaves nothing that looks finished.

Example::

    names = StemNames.of(["Car"], Path("tracks/street"), picture=True)
    names.tracks, names.residual        # [tracks/street.car.wav], tracks/street.residual.wav
    with StemWriter(names, info) as writer:
        writer.write(mixture, tracks)   # (N, C) and (Q, N, C), any number of times
        writer.publish(title="street.ogg", captions=["recording", "Car", "residual"])
"""

import math
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from data_specs.errors import UserError
from pipeline.audio import AudioInfo
from pipeline.stem_picture import Strip, draw

RESIDUAL = "residual"
WAV_BYTES_MAX = 2**32 - 2**16
"""A longer recording becomes RF64, which is WAV with 64-bit sizes."""


@dataclass(frozen=True)
class StemNames:
    """Where the tracks, the residual and the picture (or none) of a recording go."""

    tracks: tuple[Path, ...]
    residual: Path
    picture: Path | None

    @classmethod
    def of(cls, labels: Sequence[str], out: Path, *, picture: bool) -> "StemNames":
        """``<out>.<label>.wav`` for every label, ``<out>.residual.wav``, ``<out>.png``.

        Raises:
            UserError: a label without letters or digits, or two labels with the same name.
        """
        slugs = [re.sub(r"[\W_]+", "-", label.lower()).strip("-") for label in labels]
        if not all(slugs):
            raise UserError("a label needs letters or digits")
        if len({*slugs, RESIDUAL}) <= len(slugs):
            raise UserError(f"labels must differ from one another and from '{RESIDUAL}': {', '.join(labels)}")
        return cls(
            tracks=tuple(out.with_name(f"{out.name}.{slug}.wav") for slug in slugs),
            residual=out.with_name(f"{out.name}.{RESIDUAL}.wav"),
            picture=out.with_name(f"{out.name}.png") if picture else None,
        )

    @property
    def audio(self) -> list[Path]:
        """The tracks and the residual."""
        return [*self.tracks, self.residual]

    @property
    def all(self) -> list[Path]:
        """Every file, in the order in which they are published; the residual comes last and marks the set as whole."""
        return [*self.tracks, *([self.picture] if self.picture else []), self.residual]


class StemWriter:
    """Takes a recording and its tracks piece by piece; see the module's docstring."""

    def __init__(self, names: StemNames, info: AudioInfo) -> None:
        self.names, self.info = names, info
        self.frames = 0
        self._energies = np.zeros(1 + len(names.audio))  # of the recording, the tracks and the residual
        self._strips: list[Strip] = []
        self._outputs: list[soundfile.SoundFile] = []
        self._files = ExitStack()

    def __enter__(self) -> "StemWriter":
        claimed = round(self.info.duration_s * self.info.sample_rate_hz)
        kind = "RF64" if claimed * self.info.channels * 4 > WAV_BYTES_MAX else "WAV"
        self.names.residual.parent.mkdir(parents=True, exist_ok=True)
        self._files.callback(_remove, [_partial(name) for name in self.names.all])
        self._outputs = [
            self._files.enter_context(
                soundfile.SoundFile(
                    _partial(name), "w", self.info.sample_rate_hz, self.info.channels, "FLOAT", format=kind
                )
            )
            for name in self.names.audio
        ]
        if self.names.picture:
            self._strips = [Strip(claimed, self.info.sample_rate_hz) for _ in self._energies]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def write(self, mixture: np.ndarray, tracks: np.ndarray) -> None:
        """The next piece of the recording (N, C) and of its tracks (Q, N, C); the residual is what they leave."""
        waveforms = [mixture, *tracks, mixture - tracks.sum(0)]
        for output, waveform in zip(self._outputs, waveforms[1:], strict=True):
            output.write(waveform)
        if self._strips:
            for strip, waveform in zip(self._strips, waveforms, strict=True):
                strip.add(waveform.mean(axis=1))
        self._energies += [float(np.square(waveform, dtype=np.float64).sum()) for waveform in waveforms]
        self.frames += len(mixture)

    @property
    def energy_shares_db(self) -> list[float]:
        """Energy of every track and of the residual over that of the recording; -inf for silence."""
        mixture = self._energies[0]
        return [10 * math.log10(one / mixture) if one > 0 and mixture > 0 else -math.inf for one in self._energies[1:]]

    def publish(self, *, title: str, captions: Sequence[str]) -> None:
        """Draw the picture, and give all files their names."""
        for output in self._outputs:
            output.close()
        if self.names.picture:
            draw(list(zip(captions, self._strips, strict=True)), title=title, path=_partial(self.names.picture))
        for name in self.names.all:
            _partial(name).replace(name)


def _partial(name: Path) -> Path:
    return name.with_name(f"{name.name}.partial")


def _remove(paths: Sequence[Path]) -> None:
    """Leave no half files behind."""
    for path in paths:
        path.unlink(missing_ok=True)
