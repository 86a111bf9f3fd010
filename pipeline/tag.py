"""Tag: clips to their mutually exclusive labels, the ones given by the corpus or else a tagger's.

Second stage of a round, between ingest and separation. Only clips with two labels or more go on: one sound has nothing
to be separated from.

Example::

    tagged = tag_clips(clips, config, lambda: load_tagger(config))
    StageCounts.of(tagged)         # inputs == kept + dropped + failed
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from data_specs.config import Config, TagConfig
from data_specs.labels import label_table
from data_specs.records import Clip, TaggedClip, TagSource
from models.taggers import Tagger
from pipeline.audio import AudioError, decode
from pipeline.progress import NO_PROGRESS, Progress


def tag_clips(
    clips: Iterable[Clip],
    config: Config,
    tagger_loader: Callable[[], Tagger],
    progress: Progress = NO_PROGRESS,
) -> list[TaggedClip]:
    """One row per kept clip, in their order; clips that ingest did not keep are no inputs of this stage."""
    kept = [clip for clip in clips if clip.outcome == "kept"]
    tagged = []
    with progress.task("tag", len(kept)) as task:
        for row in iter_tags(kept, config, tagger_loader):
            tagged.append(row)
            task.advance()
    return tagged


def iter_tags(clips: Iterable[Clip], config: Config, tagger_loader: Callable[[], Tagger]) -> Iterator[TaggedClip]:
    """The labels of one clip after the other, kept where there are at least two.

    Labels that the corpus gave win, with score 1. The tagger is loaded at the first clip without any and scores one
    clip at a time, so that a clip's labels do not depend on its neighbours.
    """
    tagger: Tagger | None = None
    for clip in clips:
        if clip.labels:
            yield tags_of_corpus(clip)
            continue
        if tagger is None:
            tagger = tagger_loader()
        yield tags_of_tagger(clip, config, tagger)


def tags_of_corpus(clip: Clip) -> TaggedClip:
    """The given labels of a clip without those that contain another one (paper, A.2)."""
    labels = label_table().exclusive(clip.labels)
    return _row(clip, labels, (1.0,) * len(labels), "corpus")


def tags_of_tagger(clip: Clip, config: Config, tagger: Tagger) -> TaggedClip:
    """The labels that a tagger hears in a clip; a clip that cannot be decoded or scored gives a failed row.

    Raises:
        ValueError: a tagger that does not give one score per label.
    """
    rate = config.audio.sample_rate_hz
    try:
        waveform = decode(clip.path, start_s=clip.start_s, duration_s=clip.duration_s, sample_rate_hz=rate)
    except AudioError as error:
        return TaggedClip(clip_id=clip.clip_id, source=tagger.source, outcome="failed", reason=str(error))
    with torch.inference_mode():
        scores = tagger.scores(torch.from_numpy(waveform).unsqueeze(0))[0].float().cpu().numpy()  # (1, T) -> (527,)
    if not np.isfinite(scores).all():
        reason = "tagger gave no finite scores"
        return TaggedClip(clip_id=clip.clip_id, source=tagger.source, outcome="failed", reason=reason)
    table = label_table()
    labels = labels_above(scores, config.tag)
    return _row(clip, labels, tuple(float(scores[table.index(label)]) for label in labels), tagger.source)


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


def _row(clip: Clip, labels: tuple[str, ...], scores: tuple[float, ...], source: TagSource) -> TaggedClip:
    reason = {0: "no label above threshold", 1: "one label"}.get(len(labels), "")
    return TaggedClip(
        clip_id=clip.clip_id,
        labels=labels,
        scores=scores,
        source=source,
        outcome="dropped" if reason else "kept",
        reason=reason,
    )
