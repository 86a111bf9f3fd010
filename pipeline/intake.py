"""Take the corpora of a workspace in: check them, render the built-in ones, ingest, and set a part aside.

Runs once per workspace, before its first round. What the user has to repair is found before any work. The held-out
part of the single-source clips is what promotion is decided on; no round trains on it.

Example::

    take_in(workspace_uri, config, progress)     # clips/natural.parquet, clips/single_source.parquet
"""

import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import PurePath

from data_specs.config import Config, CorpusConfig
from data_specs.corpus import iter_corpus, read_corpus
from data_specs.errors import UserError
from data_specs.labels import UnknownLabelError, label_table
from data_specs.records import Clip, CorpusEntry, StageCounts, seed_of
from pipeline.ingest import ingest
from pipeline.label_queries import prepare_queries
from pipeline.progress import Progress
from pipeline.start import make_start
from pipeline.workspace import BUILTIN_FOLDER, CALIBRATION, HELD_OUT, ClipSet, Workspace

CLIP_SETS: tuple[ClipSet, ...] = ("natural", "single_source")

_ESC_TAKE = re.compile(r"(\d+-\d+)-[A-Z](-\d+)?")  # ESC-50 names: fold, Freesound recording, take, class


def take_in(uri: str, config: Config, progress: Progress) -> Workspace:
    """Open the workspace at ``uri`` and ingest what it does not have yet; a second call finds the work done.

    Raises:
        UserError: a corpus or a model cannot be used, or the workspace not be opened; nothing was
            ingested.
    """
    found = Workspace(uri)
    missing = [clip_set for clip_set in CLIP_SETS if not found.has_clips(clip_set)]
    for clip_set in missing:
        check_corpus(clip_set, _corpus(clip_set, config))
    workspace = Workspace.open(uri, config)
    make_start(workspace, config, progress)
    prepare_queries(workspace, config, progress)
    for clip_set in missing:
        entries = _entries(workspace, clip_set, config, progress)
        clips = ingest(entries, config, progress, what=f"{clip_set.replace('_', '-')} clips")
        if clip_set == "single_source":
            clips = hold_out(one_label_only(clips), config.evaluate.held_out_share)
            if config.gate.preset == "calibrated":
                clips = hold_out(clips, config.gate.calibration_share, CALIBRATION)
        _check_clips(clip_set, clips, _name(_corpus(clip_set, config)))
        workspace.write_clips(clip_set, clips)
    return workspace


def check_corpus(clip_set: ClipSet, corpus: CorpusConfig) -> None:
    """Make sure, from lists alone, that the corpus can serve its purpose.

    Raises:
        UserError: it cannot be read; natural clips that all have labels, but never two; single-source clips without
            two unrelated labels.
    """
    if corpus.kind == "builtin":
        return
    if clip_set == "natural":
        # A clip without labels is the tagger's to decide, so the first such clip, or one with two labels, is enough.
        if not any(not entry.labels or len(_known_labels(entry)) > 1 for entry in iter_corpus(corpus)):
            raise UserError(
                f"no clip of {_name(corpus)} has two labels, so there is nothing to separate: "
                "give every label of a clip (a;b), or none to let the tagger decide"
            )
    else:
        labels = {own[0] for own in map(_known_labels, iter_corpus(corpus)) if len(own) == 1}
        if not _has_unrelated(labels):
            raise UserError(
                f"{_name(corpus)} has no two clips with one label each that are unrelated: "
                "training mixes single-source clips, set single_source in the configuration to a list that has them"
            )


def one_label_only(clips: Iterable[Clip]) -> list[Clip]:
    """The clips, those that have not exactly one mutually exclusive label dropped."""
    checked = []
    for clip in clips:
        labels = label_table().exclusive(clip.labels) if clip.outcome == "kept" else clip.labels
        if clip.outcome == "kept" and len(labels) != 1:
            reason = "several labels in a single-source clip" if labels else "no label on a single-source clip"
            clip = Clip(**{**clip.model_dump(), "outcome": "dropped", "reason": reason})
        checked.append(Clip(**{**clip.model_dump(), "labels": labels}))
    return checked


def hold_out(clips: Sequence[Clip], share: float, split: str = HELD_OUT) -> list[Clip]:
    """The clips, about ``share`` of each label's recordings marked ``split``; the choice depends on content alone.

    All clips of a recording are on the same side, and a label with two recordings or more is on both. What is marked
    for another purpose already does not count. Where the corpus has this split of its own, that is taken as it is.
    """
    kept = [clip for clip in clips if clip.outcome == "kept" and clip.split not in {HELD_OUT, CALIBRATION} - {split}]
    if any(clip.split == split for clip in kept):
        return list(clips)
    recordings: dict[str, list[Clip]] = {}
    for clip in kept:
        recordings.setdefault(recording_of(clip.path), []).append(clip)
    by_label: dict[str, list[tuple[int, str]]] = {}
    for recording, own in recordings.items():
        first = min(own, key=lambda clip: clip.clip_id)
        by_label.setdefault(first.labels[0], []).append((seed_of(split, first.clip_id), recording))
    chosen: set[str] = set()
    for ranked in by_label.values():
        count = min(max(1, round(share * len(ranked))), len(ranked) - 1)
        chosen.update(recording for _, recording in sorted(ranked)[:count])
    return [
        Clip(**{**clip.model_dump(), "split": split})
        if clip.outcome == "kept" and recording_of(clip.path) in chosen
        else clip
        for clip in clips
    ]


def recording_of(path: str) -> str:
    """What tells recordings apart: the path; without the take for ESC-50, which has several takes of a recording."""
    name = PurePath(path)
    take = _ESC_TAKE.fullmatch(name.stem)
    return str(name.with_name(take[1])) if take else path


def _entries(workspace: Workspace, clip_set: ClipSet, config: Config, progress: Progress) -> list[CorpusEntry]:
    corpus = _corpus(clip_set, config)
    return read_corpus(_rendered(workspace, clip_set, config, progress) if corpus.kind == "builtin" else corpus)


def _rendered(workspace: Workspace, clip_set: ClipSet, config: Config, progress: Progress) -> CorpusConfig:
    """The built-in corpus as a clip list in the workspace: scenes as natural clips, events as single-source ones."""
    # The scene renderer needs scipy's signal processing, a second of imports that no other corpus uses.
    from data_specs.soundscapes import BuiltinSource
    from pipeline.scenes import write_events, write_scenes

    if workspace.storage.local_path is None:
        raise UserError("built-in soundscapes need a workspace on a local disk: give a folder, or a corpus of your own")
    out = workspace.storage.local_path / BUILTIN_FOLDER / clip_set
    count, duration_s = _corpus(clip_set, config).count, config.audio.clip_duration_s
    seed = seed_of(clip_set, config.seed)
    if clip_set == "natural":
        path = write_scenes(
            BuiltinSource(), count=count, out=out, config=config, seed=seed, duration_s=duration_s, progress=progress
        )
    else:
        rate = config.audio.sample_rate_hz
        path = write_events(
            count=count, out=out, duration_s=duration_s, sample_rate_hz=rate, seed=seed, progress=progress
        )
    return CorpusConfig(kind="clip_list", path=str(path))


def _check_clips(clip_set: ClipSet, clips: Sequence[Clip], name: str) -> None:
    kept = [clip for clip in clips if clip.outcome == "kept"]
    if not kept:
        reasons = StageCounts.of(clips).reasons
        most = max(reasons, key=lambda reason: reasons[reason]) if reasons else "it is empty"
        raise UserError(f"none of the {len(clips)} clips of {name} can be used; most often: {most}")
    if clip_set == "single_source":
        for side, own in (
            ("held out", {clip.labels[0] for clip in kept if clip.split == HELD_OUT}),
            ("left to train on", {clip.labels[0] for clip in kept if clip.split not in (HELD_OUT, CALIBRATION)}),
        ):
            if not _has_unrelated(own):
                raise UserError(
                    f"{name} has too few usable clips: no two unrelated labels are {side}; "
                    "give two recordings or more of several labels"
                )


def _corpus(clip_set: ClipSet, config: Config) -> CorpusConfig:
    return config.corpus if clip_set == "natural" else config.single_source


def _name(corpus: CorpusConfig) -> str:
    return corpus.path or "the built-in corpus"


def _known_labels(entry: CorpusEntry) -> tuple[str, ...]:
    """Mutually exclusive labels of an entry; () when AudioSet does not know one, which ingest counts."""
    try:
        return label_table().exclusive(label_table().resolve_all(entry.labels))
    except UnknownLabelError:
        return ()


def _has_unrelated(labels: Iterable[str]) -> bool:
    return any(not label_table().related(a, b) for a, b in combinations(sorted(labels), 2))
