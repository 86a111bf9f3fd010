"""Sound files in and out: any recording to mono float32 windows, waveforms to FLAC bytes.

Every stage that hears audio stands on this. Files are on a disk or in a bucket (``s3://``), and are read in blocks, so
that memory is bounded by the window that is asked for and not by the recording. What cannot be read raises
``AudioError`` with a short reason that can be counted; a bucket that does not answer is no property of a recording and
raises ``StorageError``.

Example::

    window = decode("night.flac", start_s=30.0, duration_s=10.0, sample_rate_hz=32_000)   # (320_000,)
    waveform, rate = decode_bytes(encode_flac(window, 32_000))
"""

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from data_specs.corpus import NOT_DECODED_SUFFIXES
from data_specs.filesystems import StorageError, is_uri, may_pass
from data_specs.remote_files import RemoteFile, open_remote

BLOCK_SAMPLES = 1 << 18
"""Samples of all channels that are in memory at once while a file is read."""

MIN_RATE_HZ = 1000
"""A lower sample rate in a header is damage, not sound."""

_STREAMED_BYTES = 0x7F00_0000  # writers to pipes put a size near 2^31 or 2^32 in the WAV header: no sign of truncation


class AudioError(Exception):
    """A recording cannot be used. The message is a short reason, the same for all recordings with the same trouble."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says. ``duration_s`` is a claim: a truncated file may hold less."""

    duration_s: float
    sample_rate_hz: int
    channels: int
    subtype: str
    truncated: bool


@dataclass(frozen=True)
class Block:
    """Some consecutive frames of a file: the channels (T, C) float32 and their mean (T,) float32."""

    channels: np.ndarray
    mono: np.ndarray


class AudioReader:
    """An open recording that is read once, front to back, in bounded blocks."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._file, self._remote = _open(path)
        file = self._file
        self.info = AudioInfo(
            duration_s=file.frames / file.samplerate,
            sample_rate_hz=file.samplerate,
            channels=file.channels,
            subtype=file.subtype,
            truncated=self._is_truncated(),
        )
        self.truncated = self.info.truncated
        self._ended = False

    def skip(self, frames: int, *, seek: bool = True) -> None:
        """Go to frame ``frames`` of the file: by seeking or, where that fails or is not wanted, by reading up to it.

        Raises:
            AudioError: the file ends before.
        """
        try:
            if seek and self._file.seek(frames) == frames:
                return
        except soundfile.LibsndfileError:
            pass
        self._check_store()
        self.close()
        self._file, self._remote = _open(self._path)  # a failed seek leaves the decoder in an undefined state
        self._ended = False
        if sum(len(block.mono) for block in self.blocks(frames)) < frames:
            raise AudioError("starts after the end of the file")

    def blocks(self, frames: int) -> Iterator[Block]:
        """The next ``frames`` frames, fewer at the end of the file; ``truncated`` is set where it ends too early."""
        size = max(1, BLOCK_SAMPLES // self._file.channels)
        while frames > 0 and not self._ended:  # behind a break the decoder may go on anywhere
            wanted = min(size, frames)
            buffer = np.full((wanted, self._file.channels), np.nan, dtype=np.float32)
            before = self._file.tell()
            try:
                got = len(self._file.read(wanted, dtype="float32", always_2d=True, out=buffer))
                broken = got < wanted and before + got < self._file.frames
            except soundfile.LibsndfileError:
                # The decoder lost the stream within this block or just behind it; what it wrote until then is sound.
                unwritten = np.isnan(buffer[:, 0])
                got, broken = int(unwritten.argmax()) if unwritten.any() else wanted, True
            self._check_store()
            if got:
                yield Block(buffer[:got], buffer[:got].mean(axis=1, dtype=np.float32))
            self.truncated = self.truncated or broken
            self._ended = broken or got < wanted
            frames -= got

    def close(self) -> None:
        """Release the file."""
        self._file.close()
        if self._remote is not None:
            self._remote.buffered.close()

    def _check_store(self) -> None:
        """Tell a bucket that failed from a file that ends."""
        if self._remote is not None and self._remote.error is not None:
            raise self._remote.error

    def _is_truncated(self) -> bool:
        """Whether the container promises more than the file holds; FLAC and MP3 only show it while they are read."""
        if self._file.format == "OGG":
            return _ogg_ends_early(_tail(self._path))
        promised = re.search(r"data : (\d+) \(should be (\d+)\)", self._file.extra_info)
        if promised:
            return int(promised[2]) < int(promised[1]) < _STREAMED_BYTES
        return "not equal to frame count" in self._file.extra_info  # AIFF: COMM and SSND chunks disagree


@contextmanager
def open_audio(path: str | Path) -> Iterator[AudioReader]:
    """Open a recording for one pass.

    Raises:
        AudioError: missing file, not a file, empty file, not audio, unsupported format, not readable.
        StorageError: a bucket does not answer; reading may raise it too.
    """
    with closing(AudioReader(path)) as reader:
        yield reader


def probe(path: str | Path) -> AudioInfo:
    """What the header of a recording says, without decoding it.

    Raises:
        AudioError: as ``open_audio``.
    """
    with open_audio(path) as reader:
        return reader.info


def decode(
    path: str | Path, *, start_s: float = 0.0, duration_s: float | None = None, sample_rate_hz: int
) -> np.ndarray:
    """A window of a recording as mono float32 (T,), channels averaged, resampled to ``sample_rate_hz``.

    The window ends with the file where the file is shorter. Float recordings may exceed full scale, which FLAC cannot
    store: such a window is scaled down to a peak of 1.

    Raises:
        AudioError: as ``open_audio``, no samples there, or samples that are NaN or infinite.
    """
    with open_audio(path) as reader:
        rate = reader.info.sample_rate_hz
        first = round(start_s * rate)
        last = np.iinfo(np.int64).max if duration_s is None else round((start_s + duration_s) * rate)
        blocks = _read(reader, first, last - first, seek=True)
        if reader.truncated and sum(map(len, blocks)) < last - first:
            # Seeking in a damaged file may miss samples that reading from the front finds, as ingest does.
            blocks = _read(reader, first, last - first, seek=False)
    if not blocks:
        raise AudioError("no samples")
    waveform = resample(np.concatenate(blocks), rate, sample_rate_hz)
    if not np.isfinite(waveform).all():
        raise AudioError("NaN or infinite samples")
    peak = float(np.abs(waveform).max())
    return waveform if peak <= 1.0 else (waveform / peak).astype(np.float32)


def resample(waveform: np.ndarray, rate_hz: int, target_rate_hz: int) -> np.ndarray:
    """A waveform (T,) at another rate, round(T · target / rate) samples; band-limited, any pair of rates."""
    if rate_hz == target_rate_hz:
        return np.asarray(waveform, dtype=np.float32)
    length = max(1, round(len(waveform) * target_rate_hz / rate_hz))
    resampled = soxr.resample(np.asarray(waveform, dtype=np.float32), rate_hz, target_rate_hz, quality="HQ")[:length]
    return np.pad(resampled, (0, length - len(resampled)))


def encode_flac(waveform: np.ndarray, sample_rate_hz: int, *, bits: int = 16) -> bytes:
    """A mono waveform (T,) as a FLAC file of 16 or 24 bits; equal input gives equal bytes.

    Raises:
        ValueError: not mono, empty, or samples that are NaN or infinite. Samples beyond ±1 are clipped.
    """
    if waveform.ndim != 1 or not len(waveform) or not np.isfinite(waveform).all():
        raise ValueError(f"cannot write a waveform of shape {waveform.shape}: it must be mono, finite and not empty")
    target = io.BytesIO()
    clipped = np.clip(waveform.astype(np.float32), -1.0, 1.0)
    soundfile.write(target, clipped, sample_rate_hz, format="FLAC", subtype={16: "PCM_16", 24: "PCM_24"}[bits])
    return target.getvalue()


def decode_bytes(data: bytes) -> tuple[np.ndarray, int]:
    """A sound file in memory as mono float32 (T,) and its sample rate in Hz.

    Raises:
        AudioError: not audio.
    """
    try:
        waveform, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        raise AudioError("not audio") from None
    return waveform.mean(axis=1, dtype=np.float32), rate


def _read(reader: AudioReader, first: int, frames: int, *, seek: bool) -> list[np.ndarray]:
    if first or not seek:
        reader.skip(first, seek=seek)
    return [block.mono for block in reader.blocks(frames)]


def _open(path: str | Path) -> tuple[soundfile.SoundFile, RemoteFile | None]:
    """The decoder of a recording, and the file of a bucket that it reads from, if it is one."""
    remote = _open_remote(path) if is_uri(path) else None
    if remote is None:
        _check_local(Path(path))
    try:
        file = soundfile.SoundFile(path if remote is None else remote.buffered)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: headerless formats such as .raw
        if remote is not None:
            remote.buffered.close()
            if remote.error is not None:
                raise remote.error from None
        suffix = Path(path).suffix.lower()
        reason = f"unsupported format {suffix}, convert to FLAC" if suffix in NOT_DECODED_SUFFIXES else "not audio"
        raise AudioError(reason) from None
    if file.samplerate < MIN_RATE_HZ:
        file.close()
        raise AudioError(f"sample rate below {MIN_RATE_HZ} Hz")
    return file, remote


def _check_local(path: Path) -> None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise AudioError("missing file") from None
    except (OSError, ValueError) as error:  # a name too long, one with a null character, a loop of links
        raise AudioError(f"not readable: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise AudioError("not a file")  # also keeps a pipe from blocking for ever
    if status.st_size == 0:
        raise AudioError("empty file")
    if not os.access(path, os.R_OK):
        raise AudioError("not readable: permission denied")


def _open_remote(path: str | Path) -> RemoteFile:
    try:
        remote = open_remote(path, raising=False)
    except FileNotFoundError:
        raise AudioError("missing file") from None
    except StorageError as error:
        if may_pass(error):
            raise
        raise AudioError("not readable: the bucket refuses") from None
    if remote.size == 0:
        remote.buffered.close()
        raise AudioError("empty file")
    return remote


def _tail(path: str | Path) -> bytes:
    """The last bytes of a file, enough for two pages of Ogg."""
    remote = open_remote(path) if is_uri(path) else None
    with open(path, "rb") if remote is None else remote.buffered as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - (1 << 17)))
        return stream.read()


def _ogg_ends_early(tail: bytes) -> bool:
    """A whole Ogg file ends with a page that is complete and carries the end-of-stream flag (RFC 3533, section 6)."""
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return True
    size = 27 + page[26] + sum(page[27 : 27 + page[26]])
    return len(page) < size or not page[5] & 0x04
