"""Where training samples come from in a round: single-source clips, and the tracks that the gate kept in shards.

Both are drawn at random in bounded memory: clips are decoded when drawn, with a small cache; shards are streamed for
ever into a buffer that drawing picks from.

Example::

    pool = ClipPool(workspace.kept_clips("single_source"), sample_rate_hz=32_000)
    kept = ShardBuffer(workspace, round_number=1, rank=0, world_size=1, seed=0)
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
from webdataset.tariterators import group_by_keys, tar_file_expander

from data_specs.records import Clip, seed_of
from data_specs.shard_format import ShardClip
from pipeline.audio import decode, decode_bytes
from pipeline.mixtures import crop
from pipeline.workspace import Workspace

CACHED_CLIPS = 256
BUFFERED_CLIPS = 512


class ClipPool:
    """Single-source clips as a ``TrackPool``: every clip has exactly one label."""

    def __init__(self, clips: Sequence[Clip], sample_rate_hz: int):
        self._by_label: dict[str, list[Clip]] = {}
        for clip in clips:
            self._by_label.setdefault(clip.labels[0], []).append(clip)
        self.labels = sorted(self._by_label)
        self._decode = lru_cache(CACHED_CLIPS)(
            lambda clip: decode(
                clip.path, start_s=clip.start_s, duration_s=clip.duration_s, sample_rate_hz=sample_rate_hz
            )
        )

    def draw(self, label: str, rng: np.random.Generator, length: int) -> np.ndarray:
        """A random crop of a random clip of this label, (length,) float32.

        Raises:
            AudioError: when the file vanished since it was ingested.
        """
        clips = self._by_label[label]
        return crop(self._decode(clips[int(rng.integers(len(clips)))]), rng, length)


class ShardBuffer:
    """The kept tracks of a round, streamed from its shards for ever into a bounded buffer.

    Every draw lets one more clip of the stream replace a random one of the buffer, until all clips fit. A worker reads
    every ``world_size``-th shard; with fewer shards than workers, workers share them.

    Attributes:
        tracks: a ``TrackPool`` over the buffer, for ITT.
        natural: a ``NaturalPool`` over its clips with a mixture, for SST; None when the buffer has none.
    """

    def __init__(self, workspace: Workspace, round_number: int, *, rank: int, world_size: int, seed: int):
        shards = workspace.shards(round_number)
        self._shards = shards[rank::world_size] or shards
        self._workspace, self._round_number = workspace, round_number
        self._rng = np.random.default_rng(seed_of("shard-buffer", seed, round_number, rank))
        self._clips = list(islice(self._stream(), BUFFERED_CLIPS))
        self._rest = self._endless() if len(self._clips) == BUFFERED_CLIPS else None
        self.tracks = _BufferedTracks(self)
        self.natural = _BufferedMixtures(self) if any(clip.mixture is not None for clip in self._clips) else None

    @property
    def clips(self) -> Sequence["BufferedClip"]:
        """What can be drawn from now."""
        return self._clips

    def turn(self) -> None:
        """Let the next clip of the stream replace a random one; nothing to do when all clips fit."""
        if self._rest is not None:
            self._clips[int(self._rng.integers(len(self._clips)))] = next(self._rest)

    def _stream(self) -> Iterator["BufferedClip"]:
        """Once through the shards, in a random order."""
        order = self._rng.permutation(self._shards).tolist()
        opened = ({"url": name, "stream": self._workspace.open_shard(self._round_number, name)} for name in order)
        for sample in group_by_keys(tar_file_expander(opened)):
            meta = ShardClip.model_validate_json(sample["json"])
            tracks = {track.label: sample[f"{track.index}.flac"] for track in meta.tracks}
            trust = {track.label: track_weight(track.good_probability) for track in meta.tracks}
            yield BufferedClip(tracks, sample.get("mix.flac"), 1 / meta.gain, trust)

    def _endless(self) -> Iterator["BufferedClip"]:
        while True:
            yield from self._stream()


@dataclass(frozen=True)
class BufferedClip:
    """A clip of a shard, still encoded: tracks by label, the mixture if it is fit for SST, and what undoes its gain.

    ``weights`` says by label how often a track is drawn, against others of its label (``track_weight``).
    """

    tracks: Mapping[str, bytes]
    mixture: bytes | None
    scale: float
    weights: Mapping[str, float]

    def decode(self, data: bytes) -> np.ndarray:
        """One of its members as a waveform (T,)."""
        return decode_bytes(data)[0] * np.float32(self.scale)


def track_weight(good_probability: float | None) -> float:
    """How often a kept track is drawn for training, relative to others: the odds that it is good, at most 19 to 1.

    The error that wrong tracks bring in falls faster than with the probability itself. Tracks of a gate that predicts
    nothing all count the same.
    """
    probability = 0.5 if good_probability is None else min(max(good_probability, 0.05), 0.95)
    return probability / (1 - probability)


class _BufferedTracks:
    def __init__(self, buffer: ShardBuffer):
        self._buffer = buffer

    @property
    def labels(self) -> Sequence[str]:
        return sorted({label for clip in self._buffer.clips for label in clip.tracks})

    def draw(self, label: str, rng: np.random.Generator, length: int) -> np.ndarray:
        having = [clip for clip in self._buffer.clips if label in clip.tracks]
        weights = np.array([clip.weights[label] for clip in having])
        clip = having[int(rng.choice(len(having), p=weights / weights.sum()))]
        self._buffer.turn()
        return crop(clip.decode(clip.tracks[label]), rng, length)


class _BufferedMixtures:
    def __init__(self, buffer: ShardBuffer):
        self._buffer = buffer

    def draw(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        having = [clip for clip in self._buffer.clips if clip.mixture is not None]
        if not having:  # the stream has turned them all out: use what is here
            having = list(self._buffer.clips)
        clip = having[int(rng.integers(len(having)))]
        self._buffer.turn()
        tracks = {label: clip.decode(data) for label, data in clip.tracks.items()}
        mixture = np.sum(list(tracks.values()), axis=0) if clip.mixture is None else clip.decode(clip.mixture)
        start = int(rng.integers(max(1, len(mixture) - length + 1)))

        def window(waveform: np.ndarray) -> np.ndarray:
            part = waveform[start : start + length]
            return np.pad(part, (0, length - len(part)))

        return window(mixture), {label: window(track) for label, track in tracks.items()}
