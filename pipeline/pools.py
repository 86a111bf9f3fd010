"""Where training samples come from in a round: single-source clips, and the tracks that the gate kept in shards.

Both are drawn at random in bounded memory: clips are decoded when drawn, with a small cache; shards are streamed for
ever into a buffer that drawing picks from. What cannot be read any more is left out and told to ``on_problem``.

Example::

    pool = ClipPool(workspace.training_clips(), sample_rate_hz=32_000)
    kept = ShardBuffer(workspace, round_number=1, lane=0, lanes=8, segment=0, seed=0)
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np

from data_specs.records import Clip, seed_of
from data_specs.shard_format import MIXTURE_PART
from pipeline.audio import AudioError, decode, decode_bytes
from pipeline.mixtures import crop
from pipeline.shards import EncodedSample, ShardError, iter_encoded
from pipeline.workspace import Workspace

CACHED_CLIPS = 256
BUFFERED_CLIPS = 512
"""Clips in the buffers of all lanes together."""

TRIES = 8
"""Draws before a label is given up for this once; its track is silence then, which the sampler leaves out."""

OnProblem = Callable[[str], None]


def ignore(problem: str) -> None:
    """The default for ``on_problem``."""


class ClipPool:
    """Single-source clips as a ``TrackPool``: every clip has exactly one label. Holds their paths, a few bytes each."""

    def __init__(self, clips: Iterable[Clip], sample_rate_hz: int, on_problem: OnProblem = ignore):
        self._by_label: dict[str, list[tuple[str, float, float]]] = {}
        for clip in clips:
            self._by_label.setdefault(clip.labels[0], []).append((clip.path, clip.start_s, clip.duration_s))
        self.labels = sorted(self._by_label)
        self._on_problem = on_problem
        self._decode = lru_cache(CACHED_CLIPS)(
            lambda path, start_s, duration_s: decode(
                path, start_s=start_s, duration_s=duration_s, sample_rate_hz=sample_rate_hz
            )
        )

    def draw(self, label: str, rng: np.random.Generator, length: int) -> np.ndarray:
        """A random crop of a random clip of this label, (length,) float32; silence when none can be decoded."""
        clips = self._by_label[label]
        for _ in range(TRIES):
            path, start_s, duration_s = clips[int(rng.integers(len(clips)))]
            try:
                return crop(self._decode(path, start_s, duration_s), rng, length)
            except AudioError as error:
                self._on_problem(f"{path}: {error}")
        return np.zeros(length, np.float32)


class ShardBuffer:
    """The kept tracks of a round, streamed from its shards for ever into a bounded buffer.

    Every draw lets one more clip of the stream replace a random one of the buffer, until all clips fit. Lanes read
    disjoint shards; with fewer shards than lanes, lanes share them. What a lane draws depends on nothing but the
    round's shards, the seed, the lane and the segment: every segment deals the shards out anew.

    Attributes:
        tracks: a ``TrackPool`` over the buffer, for ITT.
        natural: a ``NaturalPool`` over its clips with a mixture, for SST; None when the buffer has none.
    """

    def __init__(
        self,
        workspace: Workspace,
        round_number: int,
        *,
        lane: int,
        lanes: int,
        segment: int,
        seed: int,
        on_problem: OnProblem = ignore,
    ):
        shards = workspace.shards(round_number)
        dealt = np.random.default_rng(seed_of("deal shards", seed, round_number, segment)).permutation(shards).tolist()
        self._shards = dealt[lane::lanes] or dealt[lane % len(dealt) :][:1] if dealt else []
        self._workspace, self._round_number, self._on_problem = workspace, round_number, on_problem
        self._rng = np.random.default_rng(seed_of("shard-buffer", seed, round_number, segment, lane))
        room = max(1, BUFFERED_CLIPS // lanes)
        self._clips = list(islice(self._stream(), room))
        self._rest = self._endless() if len(self._clips) == room else None
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

    def decoded(self, clip: "BufferedClip", data: bytes) -> np.ndarray | None:
        """A member of a clip as a waveform (T,), or None when it is damaged."""
        try:
            return clip.decode(data)
        except AudioError as error:
            self._on_problem(f"{clip.shard}: {error}")
            return None

    def _stream(self) -> Iterator["BufferedClip"]:
        """Once through the shards, in a random order."""
        for name in self._rng.permutation(self._shards).tolist():
            try:
                with self._workspace.open_shard(self._round_number, name) as file:
                    for sample in iter_encoded(file, name=name):
                        yield BufferedClip.of(sample, name)
            except ShardError as error:
                self._on_problem(str(error))
            except FileNotFoundError:
                self._on_problem(f"{name}: missing")

    def _endless(self) -> Iterator["BufferedClip"]:
        while True:
            yield from self._stream()


@dataclass(frozen=True)
class BufferedClip:
    """A clip of a shard, still encoded: tracks by label, the mixture if it is fit for SST, and what undoes its gain.

    ``weights`` says by label how often a track is drawn, against others of its label (``track_weight``).
    """

    shard: str
    tracks: Mapping[str, bytes]
    mixture: bytes | None
    scale: float
    weights: Mapping[str, float]

    @classmethod
    def of(cls, sample: EncodedSample, shard: str) -> "BufferedClip":
        """Out of the shard of that name."""
        parts = {track.label: sample.audio.get(str(track.index)) for track in sample.meta.tracks}
        tracks = {label: data for label, data in parts.items() if data is not None}
        mixture = sample.audio.get(MIXTURE_PART) if len(tracks) == len(parts) else None
        weights = {track.label: track_weight(track.good_probability) for track in sample.meta.tracks}
        return cls(shard, tracks, mixture, 1 / sample.meta.gain, weights)

    @property
    def weight(self) -> float:
        """How often the clip as a whole is drawn, against others: as often as the worst of its tracks."""
        return min(self.weights.values())

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


def weighted_choice(weights: Sequence[float], rng: np.random.Generator) -> int:
    """A random index, drawn as often as its weight says."""
    return int(rng.choice(len(weights), p=np.array(weights) / np.sum(weights)))


class _BufferedTracks:
    def __init__(self, buffer: ShardBuffer):
        self._buffer = buffer

    @property
    def labels(self) -> Sequence[str]:
        return sorted({label for clip in self._buffer.clips for label in clip.tracks})

    def draw(self, label: str, rng: np.random.Generator, length: int) -> np.ndarray:
        having = [clip for clip in self._buffer.clips if label in clip.tracks]
        clip = having[weighted_choice([clip.weights[label] for clip in having], rng)]
        self._buffer.turn()
        track = self._buffer.decoded(clip, clip.tracks[label])
        return np.zeros(length, np.float32) if track is None else crop(track, rng, length)


class _BufferedMixtures:
    def __init__(self, buffer: ShardBuffer):
        self._buffer = buffer

    def draw(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        for _ in range(TRIES):
            having = [clip for clip in self._buffer.clips if clip.mixture is not None]
            if not having:  # the stream has turned them all out: use what is here
                having = list(self._buffer.clips)
            clip = having[weighted_choice([clip.weight for clip in having], rng)]
            self._buffer.turn()
            decoded = {label: self._buffer.decoded(clip, data) for label, data in clip.tracks.items()}
            tracks = {label: track for label, track in decoded.items() if track is not None}
            mixture = None if clip.mixture is None else self._buffer.decoded(clip, clip.mixture)
            if tracks and len(tracks) == len(decoded):
                return _window(
                    np.sum(list(tracks.values()), axis=0) if mixture is None else mixture, tracks, rng, length
                )
        raise AudioError(f"{TRIES} clips of the shards in a row cannot be decoded: verify the round's shards")


def _window(
    mixture: np.ndarray, tracks: Mapping[str, np.ndarray], rng: np.random.Generator, length: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The same random window of a mixture (T,) and its tracks, silence after their end."""
    start = int(rng.integers(max(1, len(mixture) - length + 1)))

    def window(waveform: np.ndarray) -> np.ndarray:
        part = waveform[start : start + length]
        return np.pad(part, (0, length - len(part)))

    return window(mixture), {label: window(track) for label, track in tracks.items()}
