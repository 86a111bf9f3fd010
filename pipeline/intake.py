"""Take the corpora of a workspace in: check them, render the built-in ones, ingest, and set a part aside.

Runs before every round. The first time, what the user has to repair is found before any work. From then on the clips
follow the corpora: what is newly listed is ingested, a recording that could not be read (it was missing, or damaged) is
tried again, one whose labels were corrected is read anew, one that is listed no more is dropped. Rows keep their place
in the clip table, new ones come at its end, so that work units of earlier clips stay the same. A round that was cut off
goes on with the clips that it began with.

The held-out part of the single-source clips is what promotion is decided on; no round trains on it. A recording stays
on its side for ever.

Example::

    take_in(workspace_uri, config, progress)     # clips/natural.parquet, clips/single_source.parquet
"""

import re
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations, islice
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from data_specs.config import Config, CorpusConfig
from data_specs.corpus import iter_corpus
from data_specs.errors import UserError, few
from data_specs.filesystems import join
from data_specs.labels import UnknownLabelError, label_table
from data_specs.list_files import list_rows
from data_specs.records import Clip, CorpusEntry, StageCounts, seed_of
from pipeline.ingest import Listed, ingest_listed, listed, place_of
from pipeline.progress import Progress
from pipeline.start import check_start, make_start
from pipeline.takedown import WITHDRAWN
from pipeline.workspace import BUILTIN_FOLDER, CALIBRATION, HELD_OUT, ClipSet, Workspace

CLIP_SETS: tuple[ClipSet, ...] = ("natural", "single_source")
GONE = "no longer in the corpus"

_BATCH_ENTRIES = 4096
_BATCH_SHARE = 0.05
"""A long ingest is committed in batches, so that a run that is cut off continues; the clip table is written with each,
so batches grow with it."""

_ESC_TAKE = re.compile(r"(\d+-\d+)-[A-Z](-\d+)?")  # ESC-50 names: fold, Freesound recording, take, class


def take_in(uri: str, config: Config, progress: Progress) -> Workspace:
    """Open the workspace at ``uri`` and bring its clips up to date with the corpora; a second call finds the work done.

    Raises:
        UserError: a corpus or a model cannot be used, or the workspace not be opened; nothing was ingested.
    """
    found = Workspace(uri)
    missing = [clip_set for clip_set in CLIP_SETS if not found.has_clips(clip_set)]
    for clip_set in missing:
        check_corpus(clip_set, _corpus(clip_set, config))
    workspace = Workspace.open(uri, config)
    if missing:
        # Brings torch, which a workspace that has its clips does without.
        from pipeline.label_queries import prepare_queries

        make_start(workspace, config, progress)
        prepare_queries(workspace, config, progress)
    round_number = _round_to_begin(workspace, config)
    for clip_set in CLIP_SETS if round_number else missing:
        corpus = _corpus(clip_set, config)
        if corpus.kind == "builtin":
            if clip_set not in missing:
                continue
            corpus = _rendered(workspace, clip_set, config, progress)
        _follow(workspace, clip_set, corpus, config, max(1, round_number), progress)
        _check_clips(clip_set, workspace.clips(clip_set), _name(_corpus(clip_set, config)))
    return workspace


def _round_to_begin(workspace: Workspace, config: Config) -> int:
    """The number of the round that comes next; 0 when one was cut off and goes on."""
    numbers = workspace.round_numbers()
    closed = workspace.set_aside(config)
    if any(workspace.round_state(number).state != "finished" for number in numbers if number not in closed):
        return 0
    return max(numbers, default=0) + 1


def check_inputs(workspace: Workspace, config: Config) -> None:
    """Find what the user has to repair before a run can begin, from the lists alone and in seconds.

    Raises:
        UserError: another configuration, a corpus or a checkpoint that cannot be used, or a takedown list that cannot
            be read.
    """
    if workspace.exists():
        workspace.check_config(config)
    else:
        check_start(config)
    for clip_set in CLIP_SETS:
        if not workspace.has_clips(clip_set):
            check_corpus(clip_set, _corpus(clip_set, config))
    if config.takedown:
        next(list_rows(config.takedown, required=("path",)), None)


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
        unknown: list[str] = []
        labels = {own[0] for entry in iter_corpus(corpus) if len(own := _known_labels(entry, unknown)) == 1}
        if not _has_unrelated(labels):
            also = f" ({len(unknown)} clips have labels that AudioSet has not: {few(unknown)})" if unknown else ""
            raise UserError(
                f"{_name(corpus)} has no two clips with one label each that are unrelated{also}: "
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


def hold_out(
    clips: Sequence[Clip], share: float, split: str = HELD_OUT, sides: Mapping[str, str] | None = None
) -> list[Clip]:
    """The clips, about ``share`` of each label's recordings marked ``split``; the choice depends on content alone.

    All clips of a recording are on the same side, and a label with two recordings or more is on both. What is marked
    for another purpose is not chosen, and what is held out is no part of what calibration has a share of. Where the
    corpus has this split of its own, that is taken as it is.

    Args:
        sides: recordings whose side is settled, with their split; they stay there.
    """
    kept = [clip for clip in clips if clip.outcome == "kept" and (split, clip.split) != (CALIBRATION, HELD_OUT)]
    taken = {recording_of(clip.path) for clip in kept if clip.split in {HELD_OUT, CALIBRATION} - {split}}
    sides = sides or {}
    if any(clip.split == split for clip in kept if recording_of(clip.path) not in sides):
        return list(clips)
    recordings: dict[str, list[Clip]] = {}
    for clip in kept:
        recordings.setdefault(recording_of(clip.path), []).append(clip)
    by_label: dict[str, list[tuple[int, str]]] = {}
    for recording, own in recordings.items():
        first = min(own, key=lambda clip: clip.clip_id)
        by_label.setdefault(first.labels[0], []).append((seed_of(split, first.clip_id), recording))
    chosen = {recording for recording, side in sides.items() if side == split}
    for ranked in by_label.values():
        others = sum(recording in taken for _, recording in ranked)
        count = min(max(1, round(share * len(ranked))), len(ranked) - others - 1)
        free = [recording for _, recording in sorted(ranked) if recording not in taken.union(sides)]
        chosen.update(free[: max(0, count - sum(recording in chosen for _, recording in ranked))])
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


def _follow(
    workspace: Workspace, clip_set: ClipSet, corpus: CorpusConfig, config: Config, round_number: int, progress: Progress
) -> None:
    """Bring one clip table up to date with its corpus."""
    names, own_splits = _names(corpus)
    settled = _settled(workspace.clips(clip_set), names)
    unsettled = (one for one in listed(iter_corpus(corpus)) if one.place not in settled)
    is_whole = False
    while not is_whole:
        old = workspace.clips(clip_set)
        size = max(_BATCH_ENTRIES, int(len(old) * _BATCH_SHARE)) if clip_set == "natural" else None
        batch = list(islice(unsettled, size))
        is_whole = len(batch) != size
        rows = _ingested(batch, old, config, progress, f"{clip_set.replace('_', '-')} recordings")
        clips = _merged(old, [clip.model_copy(update={"since_round": round_number}) for clip in rows], names)
        if clip_set == "single_source":
            clips = _set_apart(one_label_only(clips), own_splits, _sides(old), config)
        if not old:
            _check_clips(clip_set, clips, _name(corpus))
        if clips != old:
            workspace.write_clips(clip_set, clips)


def _names(corpus: CorpusConfig) -> tuple[dict[int, str], set[str]]:
    """Names of all entries by their places, and the splits that the corpus has."""
    names: dict[int, str] = {}
    splits: set[str] = set()
    for one in listed(iter_corpus(corpus)):
        names[one.place] = one.name
        splits.add(one.entry.split)
    return names, splits


def _settled(clips: Iterable[Clip], names: Mapping[int, str]) -> set[int]:
    """Places of the entries that were read, and are listed as they were then."""
    settled = set()
    for clip in clips:
        place = place_of(clip.entry)
        if clip.duration_s > 0 and clip.reason != GONE and names.get(place) == clip.entry:
            settled.add(place)
    return settled


def _ingested(
    batch: Sequence[Listed], old: Sequence[Clip], config: Config, progress: Progress, what: str
) -> list[Clip]:
    if not batch:
        return []
    places = {one.place for one in batch}
    taken = (clip.clip_id for clip in old if place_of(clip.entry) not in places)
    return ingest_listed(batch, config, progress, what=what, taken=taken)


def _merged(old: Sequence[Clip], rows: Sequence[Clip], names: Mapping[int, str]) -> list[Clip]:
    """The clip table with new rows for its entries: in their old place if they have one, else at the end."""
    fresh: dict[int, deque[Clip]] = {}
    for clip in rows:
        fresh.setdefault(place_of(clip.entry), deque()).append(clip)
    merged = []
    for clip in old:
        place = place_of(clip.entry)
        if fresh.get(place):
            new = fresh[place].popleft()
            is_first_time = clip.duration_s == 0 < new.duration_s
            merged.append(new if is_first_time else new.model_copy(update={"since_round": clip.since_round}))
        elif clip.reason != WITHDRAWN and (place in fresh or place not in names):
            merged.append(clip.model_copy(update={"outcome": "dropped", "reason": GONE}))
        else:
            merged.append(clip)
    return merged + [clip for left in fresh.values() for clip in left]


def _set_apart(
    clips: Sequence[Clip], own_splits: Collection[str], sides: Mapping[str, str], config: Config
) -> list[Clip]:
    """Single-source clips with those marked that no round trains on, unless the corpus does it itself."""
    shares = {HELD_OUT: config.evaluate.held_out_share}
    if config.gate.preset == "calibrated":
        shares[CALIBRATION] = config.gate.calibration_share
    for split, share in shares.items():
        if split not in own_splits:
            clips = hold_out(clips, share, split, sides if split in sides.values() else None)
    return list(clips)


def _sides(clips: Iterable[Clip]) -> dict[str, str]:
    """What recordings are for already: their split where it says that they are set apart."""
    return {
        recording_of(clip.path): clip.split if clip.split in (HELD_OUT, CALIBRATION) else ""
        for clip in clips
        if clip.duration_s > 0
    }


def _rendered(workspace: Workspace, clip_set: ClipSet, config: Config, progress: Progress) -> CorpusConfig:
    """The built-in corpus as a clip list in the workspace: scenes as natural clips, events as single-source ones."""
    # The scene renderer needs scipy's signal processing, a second of imports that no other corpus uses.
    from data_specs.soundscapes import BuiltinSource
    from pipeline.scenes import write_events, write_scenes

    count, duration_s = _corpus(clip_set, config).count, config.audio.clip_duration_s
    seed = seed_of(clip_set, config.seed)
    folder = workspace.storage.child(BUILTIN_FOLDER).child(clip_set)
    with TemporaryDirectory(prefix="sound-data-engine-") as temporary:
        out = folder.local_path or Path(temporary)
        if clip_set == "natural":
            path = write_scenes(
                BuiltinSource(),
                count=count,
                out=out,
                config=config,
                seed=seed,
                duration_s=duration_s,
                progress=progress,
            )
        else:
            rate = config.audio.sample_rate_hz
            path = write_events(
                count=count, out=out, duration_s=duration_s, sample_rate_hz=rate, seed=seed, progress=progress
            )
        if folder.local_path is None:
            for file in sorted(file for file in out.rglob("*") if file.is_file()):
                folder.upload(file, file.relative_to(out).as_posix())
        return CorpusConfig(kind="clip_list", path=join(folder.uri, path.relative_to(out).as_posix()))


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


def _known_labels(entry: CorpusEntry, unknown: list[str] | None = None) -> tuple[str, ...]:
    """Mutually exclusive labels of an entry; () when AudioSet does not know one, which ``unknown`` is told."""
    try:
        return label_table().exclusive(label_table().resolve_all(entry.labels))
    except UnknownLabelError as error:
        if unknown is not None:
            unknown.append(str(error).removeprefix("unknown label: "))
        return ()


def _has_unrelated(labels: Iterable[str]) -> bool:
    return any(not label_table().related(a, b) for a, b in combinations(sorted(labels), 2))
