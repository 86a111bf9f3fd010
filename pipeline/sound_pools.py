"""Natural recordings as training material: any clips as sounds, and clips with the texts of their sounds.

Stands beside ``pipeline.pools``, whose clips hold one sound each. Columns are kept as arrays, so that a corpus of
millions of clips takes some hundred megabytes. What cannot be read any more is silence and told to ``on_problem``.

Example::

    pool = RecordingPool(workspace.kept_clips("natural"), sample_rate_hz=32_000)
    sound = pool.draw(0, rng, length=163_840)
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from data_specs.captions import sources_of
from data_specs.labels import label_table
from data_specs.records import Clip
from pipeline.audio import AudioError, decode
from pipeline.mixtures import crop
from pipeline.pools import OnProblem, ignore
from pipeline.record_files import chunks

_CHUNK = 10_000


class RecordingPool:
    """Clips as sounds, whatever is known of them; the ``SoundPool`` of audio-only queries."""

    def __init__(self, clips: Iterable[Clip], sample_rate_hz: int, on_problem: OnProblem = ignore):
        self._starts_s, self._durations_s = array("d"), array("d")
        paths = [pa.array(self._paths_of(rows), pa.string()) for rows in chunks(clips, _CHUNK)]
        self._paths = pa.chunked_array(paths, pa.string())
        self._sample_rate_hz = sample_rate_hz
        self._on_problem = on_problem

    def _paths_of(self, rows: Iterable[Clip]) -> list[str]:
        paths = []
        for clip in rows:
            paths.append(clip.path)
            self._starts_s.append(clip.start_s)
            self._durations_s.append(clip.duration_s)
        return paths

    def __len__(self) -> int:
        return len(self._paths)

    def draw(self, index: int, rng: np.random.Generator, length: int) -> np.ndarray:
        """A random crop of a clip, (length,) float32; silence when it cannot be decoded."""
        path = self._paths[index].as_py()
        start_s, duration_s = self._starts_s[index], self._durations_s[index]
        needed_s = length / self._sample_rate_hz
        if duration_s > needed_s:  # decode no more than the crop
            start_s, duration_s = start_s + float(rng.uniform(0, duration_s - needed_s)), needed_s
        try:
            sound = decode(path, start_s=start_s, duration_s=duration_s, sample_rate_hz=self._sample_rate_hz)
        except AudioError as error:
            self._on_problem(f"{path}: {error}")
            return np.zeros(length, np.float32)
        return crop(sound, rng, length)


class TaggedPool(RecordingPool):
    """Clips with what they are said to hold; the ``LabelledPool`` of weak supervision.

    A clip's captions say it, or else its labels; clips with neither are left out.
    """

    def __init__(
        self,
        tagged: Iterable[tuple[Clip, Sequence[str]]],
        sample_rate_hz: int,
        on_problem: OnProblem = ignore,
    ):
        self._labels, self._ends = array("h"), array("q", [0])
        self._said, self._said_ends = bytearray(), array("q", [0])  # sounds of captions, one per line
        super().__init__(self._noting(tagged), sample_rate_hz, on_problem)

    def _noting(self, tagged: Iterable[tuple[Clip, Sequence[str]]]) -> Iterator[Clip]:
        for clip, labels in tagged:
            said = sources_of(*clip.captions)
            if said or labels:
                self._labels.extend(() if said else (label_table().index(label) for label in labels))
                self._ends.append(len(self._labels))
                self._said.extend("\n".join(said).encode())
                self._said_ends.append(len(self._said))
                yield clip

    def texts(self, index: int) -> tuple[str, ...]:
        """The sounds that the captions of a clip tell of, or its labels."""
        if said := self._said[self._said_ends[index] : self._said_ends[index + 1]]:
            return tuple(said.decode().split("\n"))
        names = label_table().names
        return tuple(names[number] for number in self._labels[self._ends[index] : self._ends[index + 1]])
