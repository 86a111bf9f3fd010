"""Ingest: corpus entries to clips, each with its checksum and what became of it.

First step of every night. Every recording is read once, in bounded blocks, and cut into windows of
``audio.clip_duration_s``; every window gives one ``Clip`` row, and an entry that gives no window gives one row that
says why: dropped (missing, silent, too short, unknown label, a duplicate) or failed (empty, not audio, ...). Recordings
are read in processes apart (``pipeline.apart``): one that crashes the decoder fails, and the others go on.
``pipeline.intake`` says which entries of the corpus are new.

Example::

    clips = ingest(read_corpus(config.corpus), config)
    StageCounts.of(clips)          # inputs == kept + dropped + failed
"""

import itertools
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from data_specs.config import AudioConfig, Config
from data_specs.labels import UnknownLabelError, label_table
from data_specs.records import TRUNCATED, Clip, CorpusEntry, Outcome, content_id, seed_of
from pipeline.apart import Apart, DiedError
from pipeline.audio import AudioError, AudioInfo, AudioReader, open_audio
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.window_stats import WindowStats

_CUT_ALREADY_TOLERANCE_S = 1.0  # codecs pad: a 10 s segment may be stored as 10.1 s
_EIGHT_BIT_SUBTYPES = frozenset({"PCM_U8", "PCM_S8", "DPCM_8", "ULAW", "ALAW"})
_PLACE_DIGITS, _LABEL_DIGITS = 15, 8

ReadEntry = Callable[[CorpusEntry, Config], list[Clip]]


class Listed(NamedTuple):
    """An entry as the corpus lists it.

    Attributes:
        name: recognises the entry on another night. Its first digits (``place``) are the recording, the segment and how
            often that was listed before; the others are labels, split and captions.
        trouble: why it is no input: it was listed before.
    """

    name: str
    entry: CorpusEntry
    trouble: str = ""

    @property
    def place(self) -> int:
        """Which recording and segment this is, whatever its labels."""
        return place_of(self.name)


def place_of(name: str) -> int:
    """``Listed.place`` of the entry with this name."""
    return int(name[:_PLACE_DIGITS], 16)


def listed(entries: Iterable[CorpusEntry]) -> Iterator[Listed]:
    """The entries of a corpus with their names; what stays in memory is two numbers per entry."""
    labels_of: dict[int, int] = {}
    repeats: dict[int, int] = {}
    for entry in entries:
        what = (entry.path, entry.start_s, str(entry.end_s))
        key, labels = seed_of(*what), seed_of(*sorted(entry.labels))
        repeat, trouble = 0, ""
        if key in labels_of:
            repeat = repeats[key] = repeats.get(key, 0) + 1
            trouble = "listed twice" + ("" if labels_of[key] == labels else " with other labels")
        else:
            labels_of[key] = labels
        place = content_id(*what, repeat, length=_PLACE_DIGITS)
        yield Listed(
            place + content_id(*entry.labels, "", entry.split, *entry.captions, length=_LABEL_DIGITS), entry, trouble
        )


def ingest(
    entries: Iterable[CorpusEntry], config: Config, progress: Progress = NO_PROGRESS, *, what: str = "clips"
) -> list[Clip]:
    """All clips of a corpus, in its order, with distinct ids. The first of every kind of trouble is said at once.

    ``what`` names the corpus on the progress bar.
    """
    return ingest_listed(list(listed(entries)), config, progress, what=what)


def ingest_listed(
    entries: Collection[Listed],
    config: Config,
    progress: Progress = NO_PROGRESS,
    *,
    what: str = "clips",
    taken: Iterable[str] = (),
) -> list[Clip]:
    """As ``ingest``; ``taken`` are ids of earlier clips."""
    clips: list[Clip] = []
    said: set[str] = set()
    with progress.task(f"ingest {what}", len(entries)) as task:
        for rows in iter_ingest(entries, config, taken=taken):
            for clip in rows:
                kind = clip.reason.partition(":")[0]
                if kind and kind not in said:
                    said.add(kind)
                    progress.say(f"{clip.outcome}: {clip.reason} ({clip.path!r})")
            clips += rows
            task.advance()
    return clips


def iter_ingest(
    entries: Iterable[Listed], config: Config, *, taken: Iterable[str] = (), read: ReadEntry | None = None
) -> Iterator[list[Clip]]:
    """The clips of one entry after the other; what stays in memory is a number per clip.

    An entry that was listed before is dropped, and so is a window that has the samples of an earlier one. ``read`` is
    ``ingest_entry`` unless another function is given, which processes have to be able to import.
    """
    seen = {int(clip_id, 16) for clip_id in taken}
    count = len(seen)
    for rows in _read_ahead(entries, config, read or ingest_entry):
        for index, clip in enumerate(rows):
            count += 1
            number = int(clip.clip_id, 16)
            if number in seen:
                rows[index] = _repeated(clip, count)
            seen.add(number)
        yield rows


def _read_ahead(entries: Iterable[Listed], config: Config, read: ReadEntry) -> Iterator[list[Clip]]:
    """The rows of every entry, in their order; some recordings are read at the same time."""
    threads = config.workers.ingest_threads
    with Apart(read, config.workers) as apart, ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[Clip]]] = deque()
        for one in entries:
            waiting.append(pool.submit(_rows_of, one, config, apart))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _rows_of(one: Listed, config: Config, read: ReadEntry) -> list[Clip]:
    try:
        rows = [_without_samples(one.entry, "dropped", one.trouble)] if one.trouble else read(one.entry, config)
    except DiedError as error:
        rows = [_without_samples(one.entry, "failed", str(error))]
    return [clip.model_copy(update={"entry": one.name}) for clip in rows]


def ingest_entry(entry: CorpusEntry, config: Config) -> list[Clip]:
    """The clips of one recording: a row per window, or one row that says why there is none.

    Depends on nothing but the entry, the file and ``config.audio``. The id of a window comes from its samples before
    resampling, that of a row without samples from the file's name.
    """
    try:
        with open_audio(entry.path) as reader:
            labels = label_table().resolve_all(entry.labels)
            first, last = _segment(entry, reader.info)
            if first:
                reader.skip(first)
            clips = list(_windows(entry, config.audio, reader, first, last))
    except AudioError as error:
        return [_without_samples(entry, "dropped" if str(error) == "missing file" else "failed", str(error))]
    except UnknownLabelError as error:
        return [_without_samples(entry, "dropped", str(error))]
    if not clips and reader.truncated:
        return [_without_samples(entry, "failed", "truncated before the first sample")]
    if not clips:
        return [_without_samples(entry, "dropped", "no samples")]
    notes = _notes(reader, config.audio)
    return [clip.model_copy(update={"labels": labels, "problems": (*notes, *clip.problems)}) for clip in clips]


def _segment(entry: CorpusEntry, info: AudioInfo) -> tuple[int, int]:
    """First and last frame (exclusive) of what the entry means.

    A file about as long as the segment is the segment, cut out already: AudioSet is passed on in both ways.
    """
    if entry.end_s is None:
        return round(entry.start_s * info.sample_rate_hz), sys.maxsize
    length_s = entry.end_s - entry.start_s
    start_s = 0.0 if info.duration_s <= length_s + _CUT_ALREADY_TOLERANCE_S else entry.start_s
    return round(start_s * info.sample_rate_hz), round((start_s + length_s) * info.sample_rate_hz)


def _windows(entry: CorpusEntry, audio: AudioConfig, reader: AudioReader, first: int, last: int) -> Iterator[Clip]:
    """A clip per window from frame ``first`` to ``last`` or the end of the file; the reader stands at ``first``."""
    rate = reader.info.sample_rate_hz
    shortest = audio.min_duration_s * rate
    clip: Clip | None = None
    for number in itertools.count():
        start = first + round(number * audio.clip_duration_s * rate)
        end = min(last, first + round((number + 1) * audio.clip_duration_s * rate))
        stats = WindowStats.of(reader.blocks(end - start), rate)
        if clip is not None and 0 < stats.frames < shortest:
            note = f"rest shorter than {audio.min_duration_s:g} s left out"
            yield clip.model_copy(update={"problems": (*clip.problems, note)})
            return
        if clip is not None:
            yield clip
        if stats.frames == 0:
            return
        reason = stats.trouble(min_duration_s=audio.min_duration_s, silence_db=audio.silence_db)
        clip = Clip(
            clip_id=content_id(stats.sha256),
            path=entry.path,
            captions=entry.captions,
            split=entry.split,
            start_s=start / rate,
            duration_s=stats.frames / rate,
            source_rate_hz=rate,
            sha256=stats.sha256,
            problems=("peak above full scale",) if stats.peak > 1 else (),
            outcome="dropped" if reason else "kept",
            reason=reason,
        )


def _notes(reader: AudioReader, audio: AudioConfig) -> tuple[str, ...]:
    """What is unusual about a recording, but does not cost it."""
    info = reader.info
    notes = {
        TRUNCATED: reader.truncated,
        "8-bit samples": info.subtype in _EIGHT_BIT_SUBTYPES,
        f"downmixed from {info.channels} channels": info.channels > 1,
        f"upsampled from {info.sample_rate_hz} Hz": info.sample_rate_hz < audio.sample_rate_hz,
    }
    return tuple(note for note, holds in notes.items() if holds)


def _without_samples(entry: CorpusEntry, outcome: Outcome, reason: str) -> Clip:
    name = Path(entry.path).name
    return Clip(
        clip_id=content_id("no samples", name, entry.start_s),
        path=entry.path,
        labels=entry.labels,
        captions=entry.captions,
        split=entry.split,
        start_s=entry.start_s,
        outcome=outcome,
        reason=reason,
    )


def _repeated(clip: Clip, number: int) -> Clip:
    """A row whose id is taken gets one of its own; where it was kept, it is the same audio again and is dropped."""
    update: dict[str, object] = {"clip_id": content_id(clip.clip_id, number)}
    if clip.outcome == "kept":
        update |= {"outcome": "dropped", "reason": "same audio as an earlier clip"}
    return clip.model_copy(update=update)
