"""Separate one recording into files for listening: ``data-engine separate``, outside of the rounds.

The recording keeps its sample rate, its channels (each is separated by itself, at the separator's rate) and any length:
windows of ``WINDOW_S`` overlap by ``OVERLAP_S`` and are cross-faded, so memory does not grow with the file. The
residual is the recording minus its stems, so all files together sum to the recording.

Example::

    paths = separate_recording(Path("street.ogg"), ["Car", "Speech"], separator, Path("stems"))
    # stems/street.car.wav, stems/street.speech.wav, stems/street.residual.wav
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile
import torch
from torchaudio.functional import resample

from data_specs.errors import UserError
from models.label_separator import LabelSeparator
from pipeline.progress import NO_PROGRESS, Progress

WINDOW_S = 10.0
OVERLAP_S = 1.0


def separate_recording(
    path: Path,
    labels: Sequence[str],
    separator: LabelSeparator,
    out: Path,
    *,
    progress: Progress = NO_PROGRESS,
) -> list[Path]:
    """Write ``<stem>.<label>.wav`` for every label and ``<stem>.residual.wav``, as 32-bit float WAV.

    Args:
        path: any file that libsndfile reads.
        labels: AudioSet names or free text; each is a negative query for the others.
        separator: the loaded separator.
        out: folder, made when it is not there.

    Raises:
        UserError: not audio, empty, not finite, or labels that cannot be told apart.
    """
    names = [*_slugs(labels), "residual"]
    targets = [out / f"{path.stem}.{name}.wav" for name in names]
    partial = [target.with_name(target.name + ".partial") for target in targets]
    with ExitStack() as files:
        files.callback(_remove, partial)
        try:
            recording = files.enter_context(soundfile.SoundFile(path))
        except (soundfile.LibsndfileError, OSError) as error:
            raise UserError(f"cannot read {path} as audio: {error}") from None
        if recording.frames == 0:
            raise UserError(f"{path} is empty")
        out.mkdir(parents=True, exist_ok=True)
        rate, channels = recording.samplerate, recording.channels
        outputs = [
            files.enter_context(soundfile.SoundFile(name, "w", rate, channels, "FLOAT", format="WAV"))
            for name in partial
        ]
        starts = _window_starts(recording.frames, round(WINDOW_S * rate), round(OVERLAP_S * rate))
        task = files.enter_context(progress.task(f"separate {path.name}", total=len(starts)))
        for mixture, tracks in _separated_spans(recording, starts, labels, separator):
            for output, track in zip(outputs, [*tracks, mixture - tracks.sum(0)], strict=True):
                output.write(track)
            task.advance()
        for output, source, target in zip(outputs, partial, targets, strict=True):
            output.close()
            source.replace(target)
    return targets


def _remove(paths: Sequence[Path]) -> None:
    """Leave no half files behind."""
    for path in paths:
        path.unlink(missing_ok=True)


def _separated_spans(
    recording: soundfile.SoundFile, starts: Sequence[int], labels: Sequence[str], separator: LabelSeparator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Consecutive spans of the recording, each a mixture (N, C) and its tracks (Q, N, C)."""
    window = round(WINDOW_S * recording.samplerate)
    channels = recording.channels
    pending = np.zeros((len(labels), 0, channels), np.float32)
    for start, following in zip(starts, [*starts[1:], recording.frames], strict=True):
        mixture = _read(recording, start, window)
        tracks = _separate_window(mixture, recording.samplerate, labels, separator)
        shared = min(pending.shape[1], len(mixture))
        fade = np.linspace(0.0, 1.0, shared, dtype=np.float32)[None, :, None]
        tracks[:, :shared] = pending[:, :shared] * (1 - fade) + tracks[:, :shared] * fade
        pending = tracks[:, following - start :]
        yield mixture[: following - start], tracks[:, : following - start]


def _read(recording: soundfile.SoundFile, start: int, frames: int) -> np.ndarray:
    """``frames`` samples (N, C) from ``start``; fewer at the end.

    Raises:
        UserError: the file breaks off, or holds NaN or infinity.
    """
    try:
        recording.seek(start)
        block = recording.read(frames, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{recording.name} breaks off after {start / recording.samplerate:.1f} s: {error}") from None
    if len(block) == 0 or not np.isfinite(block).all():
        what = "breaks off" if len(block) == 0 else "holds samples that are not numbers"
        raise UserError(f"{recording.name} {what} after {start / recording.samplerate:.1f} s")
    return block


@torch.inference_mode()
def _separate_window(mixture: np.ndarray, rate_hz: int, labels: Sequence[str], separator: LabelSeparator) -> np.ndarray:
    """Tracks (Q, N, C) of one window (N, C)."""
    at_model_rate = resample(torch.from_numpy(mixture.T.copy()), rate_hz, separator.sample_rate_hz)  # (C, T)
    tracks = torch.stack(separator.separate_batch(at_model_rate, [list(labels)] * len(at_model_rate)))  # (C, Q, T)
    tracks = resample(tracks, separator.sample_rate_hz, rate_hz)[..., : len(mixture)]
    tracks = torch.nn.functional.pad(tracks, (0, len(mixture) - tracks.shape[-1]))  # (C, Q, N)
    return tracks.permute(1, 2, 0).numpy().copy()


def _window_starts(frames: int, window: int, overlap: int) -> list[int]:
    """Where windows begin; the last one is moved back so that it is a whole one."""
    last = max(0, frames - window)
    return [*range(0, last, window - overlap), last]


def _slugs(labels: Sequence[str]) -> list[str]:
    """File-name parts of the labels.

    Raises:
        UserError: a label without letters or digits, or two labels with the same name.
    """
    slugs = [re.sub(r"[\W_]+", "-", label.lower()).strip("-") for label in labels]
    if not all(slugs):
        raise UserError("a label needs letters or digits")
    if len({*slugs, "residual"}) <= len(slugs):
        raise UserError(f"labels must differ from one another and from 'residual': {', '.join(labels)}")
    return slugs
