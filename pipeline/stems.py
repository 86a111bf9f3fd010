"""Separate one recording into files for listening: ``data-engine separate``, outside of the rounds.

The recording keeps its sample rate, its channels (one mask for all of them, see ``pipeline.stereo``) and any length: it
streams through windows of the separator's length that overlap by ``OVERLAP_S`` and are cross-faded, so memory does not
grow with the file. The residual is the recording minus its tracks, so all files together sum to the recording.

Example::

    stems = separate_recording(Path("street.ogg"), ["Car", "Speech"], separator, out=Path("tracks/street"))
    stems.names.all       # tracks/street.car.wav, tracks/street.speech.wav, tracks/street.png, ...residual.wav
    stems.tracks[0].energy_share_db, stems.tracks[0].heard       # -6.2, "yes"
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchaudio.functional import resample

from data_specs.errors import UserError
from data_specs.labels import UnknownLabelError, label_table
from models.label_separator import LabelSeparator
from pipeline.audio import AudioError, AudioReader, open_audio
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.stem_files import StemNames, StemWriter
from pipeline.stem_hearing import Fit, LoudestSpans, Verdict, evidence_db, verdict
from pipeline.stereo import share_mask

OVERLAP_S = 1.0


@dataclass(frozen=True)
class StemTrack:
    """One label's track: ``energy_share_db`` is its energy over the recording's, ``fit`` how the label suits it."""

    label: str
    energy_share_db: float
    fit: Fit

    @property
    def evidence_db(self) -> float:
        """How much speaks for it that the track holds its label."""
        return evidence_db(energy_share_db=self.energy_share_db, fit=self.fit)

    @property
    def heard(self) -> Verdict:
        """Whether the track holds its label, and not leakage of other sounds alone."""
        return verdict(self.evidence_db)


@dataclass(frozen=True)
class Stems:
    """What was made of a recording. ``truncated``: it ends before its header says."""

    recording: Path
    names: StemNames
    duration_s: float
    truncated: bool
    tracks: tuple[StemTrack, ...]
    residual_share_db: float


def separate_recording(
    path: Path,
    labels: Sequence[str],
    separator: LabelSeparator,
    *,
    out: Path,
    picture: bool = True,
    progress: Progress = NO_PROGRESS,
) -> Stems:
    """Write a track for every label, the residual (32-bit float WAV) and a picture of the spectrograms.

    Args:
        path: any file that libsndfile reads.
        labels: AudioSet names or free text; each is a negative query for those that are not related to it.
        separator: the loaded separator.
        out: what the names of the files begin with; its folder is made when it is not there.
        picture: whether to draw the picture.

    Raises:
        UserError: not audio, empty, not finite, or labels that cannot be told apart.
    """
    names = StemNames.of(labels, out, picture=picture)
    try:
        with open_audio(path) as reader, StemWriter(names, reader.info) as writer:
            rate = reader.info.sample_rate_hz
            size = int(separator.window_s * rate)  # no sample more than one window of the separator
            hop = size - min(round(OVERLAP_S * rate), size // 2)
            claimed = round(reader.info.duration_s * rate)
            loudest = LoudestSpans(len(labels))
            with progress.task(f"separate {path.name}", total=max(1, -(-(claimed - size) // hop) + 1)) as task:
                for mixture, tracks in _spans(_windows(reader, size=size, hop=hop), rate, labels, separator):
                    writer.write(mixture, tracks)
                    loudest.add(mixture, tracks)
                    task.advance()
            if not writer.frames:
                raise AudioError("empty file")
            *shares_db, residual_share_db = writer.energy_shares_db
            fits = loudest.fits(labels, separator.encoder, sample_rate_hz=rate)
            found = tuple(StemTrack(*one) for one in zip(labels, shares_db, fits, strict=True))
            captions = [f"{one.label}: {_share(one.energy_share_db)}, heard: {one.heard}" for one in found]
            writer.publish(title=path.name, captions=["recording", *captions, f"residual: {_share(residual_share_db)}"])
            return Stems(
                recording=path,
                names=names,
                duration_s=writer.frames / rate,
                truncated=reader.truncated,
                tracks=found,
                residual_share_db=residual_share_db,
            )
    except AudioError as error:
        raise UserError(f"{path}: {error}") from None


def _share(share_db: float) -> str:
    return f"{share_db:.1f} dB" if math.isfinite(share_db) else "silent"


def negatives_of(labels: Sequence[str]) -> list[list[str]]:
    """For every label the others that are no kin of it: ``Dog`` is not told to leave out ``Bark``."""
    return [[other for other in labels if not _related(own, other)] for own in labels]


def _related(own: str, other: str) -> bool:
    try:
        return own == other or label_table().related(own, other)
    except UnknownLabelError:  # free text has no place in the ontology
        return False


def _windows(reader: AudioReader, *, size: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Where a window begins, and its frames (N, C); every window has ``size`` frames, of a short recording all.

    Raises:
        AudioError: samples that are not numbers.
    """
    window = _read(reader, size)
    end = len(window)
    if end:
        yield 0, window
    while end >= size and len(fresh := _read(reader, hop)):
        window = np.concatenate([window, fresh])[-size:]
        end += len(fresh)
        yield end - len(window), window


def _read(reader: AudioReader, frames: int) -> np.ndarray:
    blocks = [block.channels for block in reader.blocks(frames)]
    if not blocks:
        return np.zeros((0, reader.info.channels), np.float32)
    if not all(np.isfinite(block).all() for block in blocks):
        raise AudioError("holds samples that are not numbers")
    return np.concatenate(blocks)


def _spans(
    windows: Iterator[tuple[int, np.ndarray]], rate_hz: int, labels: Sequence[str], separator: LabelSeparator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Consecutive spans of the recording, each a mixture (N, C) and its tracks (Q, N, C)."""
    begin, mixture, tracks = 0, np.zeros((0, 0), np.float32), np.zeros((0, 0, 0), np.float32)
    for start, window in windows:
        following = _separate_window(window, rate_hz, labels, separator)
        cut = start - begin
        if len(mixture):
            shared = len(mixture) - cut
            fade = np.linspace(0.0, 1.0, shared, dtype=np.float32)[None, :, None]
            following[:, :shared] = tracks[:, cut:] * (1 - fade) + following[:, :shared] * fade
            yield mixture[:cut], tracks[:, :cut]
        begin, mixture, tracks = start, window, following
    if len(mixture):
        yield mixture, tracks


@torch.inference_mode()
def _separate_window(mixture: np.ndarray, rate_hz: int, labels: Sequence[str], separator: LabelSeparator) -> np.ndarray:
    """Tracks (Q, N, C) of one window (N, C)."""
    at_model_rate = resample(torch.from_numpy(mixture.T.copy()), rate_hz, separator.sample_rate_hz)  # (C, T)
    channels = len(at_model_rate)
    estimates = separator.separate_batch(
        at_model_rate, [list(labels)] * channels, negatives=[negatives_of(labels)] * channels
    )
    tracks = share_mask(at_model_rate, torch.stack(estimates))  # (C, Q, T)
    tracks = resample(tracks, separator.sample_rate_hz, rate_hz)[..., : len(mixture)]
    tracks = torch.nn.functional.pad(tracks, (0, len(mixture) - tracks.shape[-1]))  # (C, Q, N)
    return tracks.permute(1, 2, 0).numpy().copy()
