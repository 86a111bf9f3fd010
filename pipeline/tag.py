"""Tag: clips to their mutually exclusive labels, the ones given by the corpus or else a tagger's.

Second stage of a round, between ingest and separation. Only clips with two labels or more go on: one sound has nothing
to be separated from. Where clips are separated without labels (``separate.source``), all go on, and with ``label_free``
none is heard before it is separated. Plain functions over the clips of a work unit; ``pipeline.workers`` calls them in
parallel.

Shapes: B clips of a batch, T samples, 527 labels of AudioSet.

Example::

    tagged = tag_clips(unit.clips, config, lambda: load_tagger(config))
    StageCounts.of(tagged)         # inputs == kept + dropped + failed
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from data_specs.config import Config, TagConfig
from data_specs.labels import label_table
from data_specs.records import Clip, TaggedClip, TagSource
from models.taggers import TAGGER_RATE_HZ, Tagger
from pipeline.audio import AudioError, decode
from pipeline.memory import is_out_of_memory
from pipeline.record_files import chunks


def tag_clips(
    clips: Sequence[Clip],
    config: Config,
    tagger_loader: Callable[[], Tagger],
    *,
    given_up: Mapping[str, str] | None = None,
    turn: AbstractContextManager[object] | None = None,
) -> list[TaggedClip]:
    """One row per kept clip, in their order; clips that ingest did not keep are no inputs of this stage.

    Labels that the corpus gave win, with score 1. The tagger is loaded when a clip has none that are needed. It scores
    clips of equal length together.

    Args:
        given_up: clips that are not to be touched again, with the reason that their failed rows get.
        turn: held while the network runs, for threads that share one.

    Raises:
        ValueError: a tagger that does not give one score per label.
    """
    kept = [clip for clip in clips if clip.outcome == "kept"]
    rows = {clip.clip_id: tags for clip in kept if (tags := known_tags(clip, config)) is not None}
    unknown = [clip for clip in kept if clip.clip_id not in rows]
    if unknown:
        rows |= _heard(unknown, config, tagger_loader(), given_up or {}, turn or nullcontext())
    return [rows[clip.clip_id] for clip in kept]


def _heard(
    clips: Sequence[Clip],
    config: Config,
    tagger: Tagger,
    given_up: Mapping[str, str],
    turn: AbstractContextManager[object],
) -> dict[str, TaggedClip]:
    """What a tagger hears in the clips, by their ids; one that cannot be decoded or scored gives a failed row."""
    rows: dict[str, TaggedClip] = {}
    by_length: dict[int, list[tuple[Clip, np.ndarray]]] = {}
    for clip in clips:
        try:
            if clip.clip_id in given_up:
                raise AudioError(given_up[clip.clip_id])
            waveform = _decode(clip)
        except AudioError as error:
            rows[clip.clip_id] = _failed(clip, str(error), tagger.source)
        else:
            by_length.setdefault(len(waveform), []).append((clip, waveform))
    for batch in (batch for same in by_length.values() for batch in chunks(same, _batch_size(same, config.tag))):
        with turn:
            scores = _scores(tagger, [waveform for _, waveform in batch])
        for (clip, _), own in zip(batch, scores, strict=True):
            rows[clip.clip_id] = tags_of_scores(clip, own, config, tagger.source)
    return rows


def known_tags(clip: Clip, config: Config) -> TaggedClip | None:
    """The tags of a clip that nobody has to hear, None for one that a tagger has to.

    They are the given labels without those that contain another one (paper, A.2), or none where none are asked for.
    """
    if not clip.labels and config.separate.source != "label_free":
        return None
    labels = label_table().exclusive(clip.labels)
    return _row(clip, labels, (1.0,) * len(labels), "corpus", config)


def tags_of_scores(clip: Clip, scores: np.ndarray, config: Config, source: TagSource) -> TaggedClip:
    """The labels that a tagger hears in a clip, from its scores (527,); a failed row when they are not finite.

    Raises:
        ValueError: not one score per label.
    """
    if not np.isfinite(scores).all():
        return _failed(clip, "tagger gave no finite scores", source)
    table = label_table()
    labels = labels_above(scores, config.tag)
    return _row(clip, labels, tuple(float(scores[table.index(label)]) for label in labels), source, config)


def too_few(labels: Sequence[str]) -> str:
    """Why there is nothing to separate; empty for two labels and more."""
    return {0: "no label above threshold", 1: "one label"}.get(len(labels), "")


def labels_above(scores: np.ndarray, config: TagConfig) -> tuple[str, ...]:
    """Mutually exclusive labels from scores (527,): above the threshold, best first, at most ``labels_max``.

    Raises:
        ValueError: not one score per label.
    """
    names = label_table().names
    if scores.shape != (len(names),):
        raise ValueError(f"a tagger must give {len(names)} scores for a clip, got shape {scores.shape}")
    best_first = np.argsort(-scores, kind="stable")
    heard = [names[index] for index in best_first if scores[index] >= config.threshold]
    return label_table().exclusive(heard)[: config.labels_max]


def _decode(clip: Clip) -> np.ndarray:
    return decode(clip.path, start_s=clip.start_s, duration_s=clip.duration_s, sample_rate_hz=TAGGER_RATE_HZ)


def _batch_size(same: Sequence[tuple[Clip, np.ndarray]], config: TagConfig) -> int:
    """How many of some clips of equal length ``batch_clips`` and ``batch_s`` allow at once; at least one."""
    clip_s = len(same[0][1]) / TAGGER_RATE_HZ
    return max(1, min(config.batch_clips, int(config.batch_s / clip_s)))


@torch.inference_mode()
def _scores(tagger: Tagger, waveforms: Sequence[np.ndarray]) -> np.ndarray:
    """Scores (B, 527) of waveforms (T,) of equal length, on torch's default device; by halves where memory is short."""
    try:
        batch = torch.from_numpy(np.stack(waveforms)).to(torch.get_default_device())  # (B, T)
        return tagger.scores(batch).float().cpu().numpy()
    except (RuntimeError, MemoryError) as error:
        if len(waveforms) == 1 or not is_out_of_memory(error):
            raise
    half = len(waveforms) // 2
    return np.concatenate([_scores(tagger, waveforms[:half]), _scores(tagger, waveforms[half:])])


def _failed(clip: Clip, reason: str, source: TagSource) -> TaggedClip:
    return TaggedClip(clip_id=clip.clip_id, source=source, outcome="failed", reason=reason)


def _row(
    clip: Clip, labels: tuple[str, ...], scores: tuple[float, ...], source: TagSource, config: Config
) -> TaggedClip:
    reason = too_few(labels) if config.separate.source == "labels" else ""
    return TaggedClip(
        clip_id=clip.clip_id,
        labels=labels,
        scores=scores,
        source=source,
        outcome="dropped" if reason else "kept",
        reason=reason,
    )
