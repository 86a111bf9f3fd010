"""What is left to do in a workspace, and what ``status`` and the end of a run say about it.

Reads only the workspace's state files: no Ray, no Prefect, no models, so a finished workspace answers at once.

Example::

    rounds_to_run(Workspace("./demo"), config, rounds=2)    # [] when both rounds are finished
    summary(Workspace("./demo"))["rounds"][0]["tiers"]      # {"sst": 31, "itt": 80, "rejected": 129}
"""

import os
from collections.abc import Collection
from itertools import count, islice
from pathlib import Path
from typing import Any

from data_specs.config import Config, preset_names
from data_specs.errors import UserError
from data_specs.records import StageCounts
from pipeline.claim import holder_of
from pipeline.workspace import ClipSet, RoundState, Workspace

CLIP_SETS: tuple[ClipSet, ...] = ("natural", "single_source")


def overrides_of(clips: str | None) -> dict[str, Any]:
    """What ``--clips LIST`` changes in the configuration."""
    return {"corpus": {"kind": "clip_list", "path": clips, "audio_root": "", "split": ""}} if clips else {}


def absolute(path_or_uri: str) -> str:
    """A path that means the same from every folder; URIs stay as they are.

    A workspace knows its configuration by its content, paths included, so they must not depend on where a command ran.

    Raises:
        UserError: it is empty, as a variable of the shell is that was never set.
    """
    if not path_or_uri.strip():
        raise UserError("an empty path or address was given: is a variable of the shell not set?")
    return path_or_uri if "://" in path_or_uri else os.path.abspath(Path(path_or_uri).expanduser())


def absolute_config(name_or_path: str) -> str:
    """The name of a preset as it is, a file as an absolute path."""
    return absolute(name_or_path) if name_or_path not in preset_names() else name_or_path


def rounds_to_run(
    workspace: Workspace, config: Config, *, rounds: int | None = None, add_rounds: int | None = None
) -> list[int]:
    """Numbers of the rounds to run, up to the wanted number of finished rounds; those set aside are passed over.

    Args:
        rounds: how many the workspace shall have; ``config.rounds`` when None.
        add_rounds: instead, so many beyond the finished ones; a round that was cut off counts as one of them.
    """
    begun = workspace.round_numbers()
    finished = {number for number in begun if workspace.round_state(number).state == "finished"}
    missing = add_rounds if add_rounds is not None else (rounds or config.rounds) - len(finished)
    closed = finished | workspace.set_aside(config)
    candidates = (number for number in count(1) if number not in closed)
    return list(islice(candidates, max(0, missing)))


def summary(workspace: Workspace, *, rounds: int | None = None) -> dict[str, Any]:
    """The state of a workspace as plain data: clips, every round with its counts, and what a resume would do.

    Args:
        rounds: how many rounds the workspace shall have; the configured number when None.

    Raises:
        UserError: there is no workspace.
    """
    config = workspace.config
    states = [workspace.round_state(number) for number in workspace.round_numbers()]
    aside = workspace.set_aside(config)
    return {
        "workspace": workspace.uri,
        "config_hash": config.digest(),
        "clips": {name: _clip_counts(workspace, name) for name in CLIP_SETS},
        "rounds": [_round_summary(workspace, state, aside) for state in states],
        "in_use_by": holder_of(workspace.storage),
        "resume": _resume(workspace, config, rounds),
    }


def where_it_stopped(workspace: Workspace, rounds: int | None = None) -> str:
    """What is said of a run that was cut off: where the workspace is, and how to go on."""
    try:
        at = _resume(workspace, workspace.config, rounds) if workspace.exists() else None
    except Exception:  # it may have been cut off by whoever took its storage away
        at = None
    if at is None:
        return "the same command continues where it stopped"
    return f"round {at['round']} stopped at {stage_in_words(at)}; the same command continues there"


def stage_in_words(at: dict[str, Any]) -> str:
    """The stage of a resume, and how far it is: ``stage separate (2 work units are done)``."""
    return f"stage {at['stage']}" + (f" ({at['units_done']} work units are done)" if at["stage"] == "separate" else "")


def sdri_db(metrics: dict[str, Any], which: str) -> float | None:
    """Mean SDRi (eq. 7) with positive and negative query of the ``current`` or ``candidate`` separator, if known."""
    return metrics.get(which, {}).get("pos_neg", {}).get("sdri_db", {}).get("mean")


def _clip_counts(workspace: Workspace, name: ClipSet) -> dict[str, Any] | None:
    if not workspace.has_clips(name):
        return None
    counts = StageCounts.of(workspace.iter_clips(name)).model_dump()
    return {**counts, "truncated": workspace.truncated_recordings(name)}


def _round_summary(workspace: Workspace, state: RoundState, aside: Collection[int]) -> dict[str, Any]:
    content = state.model_dump(mode="json", exclude={"config", "training", "metrics"})
    return {
        "round": content.pop("number"),
        "state": "set aside" if state.number in aside else state.state,
        "next_stage": state.next_stage,
        "units": len(workspace.committed_units(state.number)),
        "shards": len(workspace.shards(state.number)),
        "sdri_db": {which: sdri_db(state.metrics, which) for which in ("current", "candidate")},
        **content,
    }


def _resume(workspace: Workspace, config: Config, rounds: int | None) -> dict[str, Any] | None:
    """The round and stage that the next run begins with; None when all wanted rounds are finished."""
    if not workspace.has_clips("natural") or not workspace.has_clips("single_source"):
        return {"round": 1, "stage": "ingest", "units_done": 0}
    left = rounds_to_run(workspace, config, rounds=rounds)
    if not left:
        return None
    stage = workspace.round_state(left[0]).next_stage
    return {"round": left[0], "stage": stage, "units_done": len(workspace.committed_units(left[0]))}
