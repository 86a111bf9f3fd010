"""What a round's objectives have to learn from besides clean tracks, and whether it is enough.

Stands between the workspace and ``pipeline.objectives``: tagged natural clips for weak supervision, every recording of
the workspace for audio-only queries.

Example::

    material = Material(labelled=tagged_clips(workspace, 1, 32_000), recordings=recordings(workspace, 32_000))
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from data_specs.captions import sources_of
from data_specs.config import TrainConfig
from data_specs.records import Clip, TaggedClip
from models.architectures import AnySeparator
from pipeline.pools import OnProblem, ignore
from pipeline.sound_pools import RecordingPool, TaggedPool
from pipeline.units import clips_with_tags
from pipeline.workspace import Workspace

LEAST_RECORDINGS = 3


def material_counts(workspace: Workspace, round_number: int) -> dict[str, int]:
    """How many clean tracks there are to train on: single-source clips, tracks for ITT, and clips for SST."""
    tiers: Counter[str] = Counter()
    natural, last = 0, ""
    for track in workspace.iter_tracks(round_number):
        tiers[track.tier] += 1
        if track.tier == "sst" and track.clip_id != last:  # a clip's tracks follow one another
            natural, last = natural + 1, track.clip_id
    return {
        "single_source_clips": sum(1 for _ in workspace.iter_training_clips()),
        "itt_tracks": tiers["itt"] + tiers["sst"],
        "sst_clips": natural,
    }


def missing_material(workspace: Workspace, config: TrainConfig, round_number: int, *, tracks: int) -> str:
    """Which objective has nothing to learn from, in words; empty when all have something.

    Args:
        tracks: clean tracks, single-source clips and kept ones together.
    """
    if "supervised" in config.objectives and tracks == 0:
        return "no single-source clip and no kept track to train on"
    if "weak" in config.objectives:
        found = _up_to(config.weak.mixtures, _tagged(workspace, round_number))
        if found < config.weak.mixtures:
            needed = f"{config.weak.mixtures} natural clips with labels or captions"
            return f"weak supervision needs {needed}, there are {found}"
    if "audio_query" in config.objectives:
        found = _up_to(LEAST_RECORDINGS, _heard(workspace, workspace.iter_training_clips()))
        if found < LEAST_RECORDINGS:
            return f"audio queries need {LEAST_RECORDINGS} recordings, there are {found}"
    return ""


def tagged_clips(
    workspace: Workspace, round_number: int, sample_rate_hz: int, on_problem: OnProblem = ignore
) -> TaggedPool:
    """The natural clips with their captions or the labels of the round's tag stage, those with one label too."""
    tagged = ((clip, tag.labels) for clip, tag in _tagged(workspace, round_number))
    return TaggedPool(tagged, sample_rate_hz, on_problem)


def recordings(
    workspace: Workspace, single_source: Iterable[Clip], sample_rate_hz: int, on_problem: OnProblem = ignore
) -> RecordingPool:
    """Everything that a round may hear: natural clips, tagged or not, and the single-source clips to train on."""
    return RecordingPool(_heard(workspace, single_source), sample_rate_hz, on_problem)


def with_projection(separator: AnySeparator, config: TrainConfig) -> None:
    """Let the separator's queries go through PCA from now on, where training asks for that."""
    kind = config.audio_query.kind
    if "audio_query" in config.objectives and kind in ("pca", "pca_inverse"):
        separator.config = separator.config.model_copy(update={"query_projection": kind})


def _tagged(workspace: Workspace, round_number: int) -> Iterator[tuple[Clip, TaggedClip]]:
    pairs = clips_with_tags(workspace, round_number)
    return (
        (clip, tag) for clip, tag in pairs if (tag.labels or sources_of(*clip.captions)) and tag.outcome != "failed"
    )


def _heard(workspace: Workspace, single_source: Iterable[Clip]) -> Iterator[Clip]:
    return chain((clip for clip in workspace.iter_clips("natural") if clip.outcome == "kept"), single_source)


def _up_to(most: int, found: Iterable[object]) -> int:
    return sum(1 for _ in islice(found, most))
