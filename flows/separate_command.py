"""``data-engine separate``: files, folders and patterns into tracks, one recording after the other.

A recording that fails does not stop the others; it is one line at the end, and the exit status.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data_specs.errors import UserError
from data_specs.labels import UnknownLabelError, label_table
from flows.chosen_model import Checkpoint, ModelOf, chosen_model, load_chosen
from flows.completion import complete_label
from flows.console import terminal_progress
from flows.folders import check_folder
from flows.output import mode, note, result

if TYPE_CHECKING:
    from pipeline.recordings import Recording
    from pipeline.stems import Stems

FAULT = 1
USER_ERROR = 2


def separate(
    audio: Annotated[
        list[str],
        typer.Argument(
            metavar="AUDIO", help="Files, folders (searched recursively) or quoted patterns such as '*.wav'."
        ),
    ],
    label: Annotated[
        list[str],
        typer.Option(
            metavar="LABEL",
            help="What to separate: an AudioSet class or free text; repeatable.",
            autocompletion=complete_label,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results; folders below it are kept.")],
    checkpoint: Checkpoint = None,
    config: ModelOf = None,
    picture: Annotated[bool, typer.Option("--picture/--no-picture", help="Draw the spectrograms.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave out recordings that are done.")] = False,
) -> None:
    """Separate recordings into one WAV file per label and the residual; together they sum to the recording.

    Any format, length, sample rate and number of channels. Says of every label how much of the recording its track
    holds, and when the label is probably not in it.

    Examples::

        data-engine separate street.ogg --label Car --out tracks
        data-engine separate street.ogg --label Car --label "a dog" --out tracks
        data-engine separate field/ 'takes/*.wav' --label Rain --out tracks
        data-engine separate field/ --label Rain --out tracks --checkpoint workspace
    """
    from pipeline.recordings import find_recordings

    recordings = find_recordings(audio, out)
    labels = [_named(text) for text in label]
    from pipeline.stem_files import StemNames  # draws: slow to import, and no error of the user waits for it

    names = [StemNames.of(labels, out / recording.name, picture=picture) for recording in recordings]
    left = [
        recording
        for recording, own in zip(recordings, names, strict=True)
        if overwrite or not _is_done(own.all, skip_existing=skip_existing)
    ]
    check_folder(out)
    progress = terminal_progress()
    separator = load_chosen(chosen_model(checkpoint=checkpoint, config=config), progress)
    from pipeline.stems import separate_recording

    outcomes: list[dict[str, Any]] = []
    with progress.task("recordings", len(left)) if len(left) > 1 else nullcontext() as task:
        for recording in left:
            mode().after_interruption = (
                f"{len(outcomes)} of {len(left)} recordings are done; --skip-existing goes on with the others"
            )
            try:
                stems = separate_recording(
                    recording.path, labels, separator, out=out / recording.name, picture=picture, progress=progress
                )
            except Exception as error:  # the one place where what is wrong with a recording becomes its outcome
                if len(recordings) == 1:
                    raise
                outcomes.append(_failed(recording, error))
                progress.say(f"failed: {outcomes[-1]['reason']}")
            else:
                outcomes.append(_separated(stems))
            if task:
                task.advance()
    _show(outcomes, skipped=[str(recording.path) for recording in recordings if recording not in left])


def _show(outcomes: list[dict[str, Any]], skipped: list[str]) -> None:
    """Print the result; a recording that failed is the exit status.

    Raises:
        typer.Exit: 2 when users can repair all of what failed, 1 otherwise.
    """
    from flows.tables import print_separation

    outcomes = [*outcomes, *({"recording": path, "outcome": "skipped", "reason": "done before"} for path in skipped)]
    files = [
        track["file"] for one in outcomes for track in (*one.get("tracks", ()), *filter(None, [one.get("residual")]))
    ]
    result({"recordings": outcomes}, text=lambda: print_separation(outcomes), brief="\n".join(files))
    failed = [one for one in outcomes if one["outcome"] == "failed"]
    if failed:
        raise typer.Exit(FAULT if any(one["fault"] for one in failed) else USER_ERROR)


def _named(text: str) -> str:
    """An AudioSet class by its display name; anything else as it is, which is said."""
    if not text.strip():
        raise UserError("a label needs letters or digits")
    try:
        return label_table().resolve(text)
    except UnknownLabelError as error:
        near = f" ({error.suggestion})" if error.suggestion else ""
        note(f"{text!r} is no AudioSet class: taken as free text{near}")
        return text


def _is_done(files: Sequence[Path], *, skip_existing: bool) -> bool:
    """Whether a recording has all of its files.

    Raises:
        UserError: some files are there, and nobody said what to do with them.
    """
    there = [file for file in files if file.exists()]
    if there and not (skip_existing and len(there) == len(files)):
        also = "" if skip_existing else ", or --skip-existing to leave out what is done"
        raise UserError(f"{there[0]} exists: give another --out, or --overwrite to replace it{also}")
    return bool(there)


def _separated(stems: "Stems") -> dict[str, Any]:
    tracks = [
        {
            "label": track.label,
            "free_text": track.label not in label_table(),
            "file": str(file),
            "energy_share_db": _finite(track.energy_share_db),
            "fit": {name: round(value, 2) for name, value in asdict(track.fit).items()},
            "heard": track.heard,
        }
        for track, file in zip(stems.tracks, stems.names.tracks, strict=True)
    ]
    return {
        "recording": str(stems.recording),
        "outcome": "separated",
        "reason": "",
        "duration_s": round(stems.duration_s, 3),
        "remarks": _remarks(stems),
        "tracks": tracks,
        "residual": {"file": str(stems.names.residual), "energy_share_db": _finite(stems.residual_share_db)},
        "picture": str(stems.names.picture) if stems.names.picture else None,
    }


def _remarks(stems: "Stems") -> list[str]:
    """What somebody who only wants the files should know all the same."""
    shares_db = [stems.residual_share_db, *(track.energy_share_db for track in stems.tracks)]
    if not any(math.isfinite(share_db) for share_db in shares_db):
        return ["the recording is silent, and so are its tracks"]
    remarks = [
        f"{track.label} is probably not in it: the track holds what leaks from other sounds"
        for track in stems.tracks
        if track.heard == "no"
    ]
    if stems.truncated:
        remarks.append(f"breaks off after {stems.duration_s:.1f} s, what is there was separated")
    return remarks


def _failed(recording: "Recording", error: Exception) -> dict[str, Any]:
    fault = not isinstance(error, UserError)
    reason = f"{recording.path}: {type(error).__name__}: {error}" if fault else str(error)
    return {"recording": str(recording.path), "outcome": "failed", "reason": " ".join(reason.split()), "fault": fault}


def _finite(decibels: float) -> float | None:
    return round(decibels, 2) if math.isfinite(decibels) else None
