"""What an experiment works on: clips by split, scenes that play natural clips, and scenes to test on.

A clip list with single-source recordings is divided by its ``split`` column: some splits are single-source training
data (a part of it held back for calibration), some are mixed into "natural" clips, some into test scenes. No recording
serves two purposes.

Example::

    material = read_material("esc10/clips.csv", single=["fold1"], natural=["fold2"], test=["fold3"], seed=0, size=SMALL)
    material.natural[0].mixture, material.natural[0].truth
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from data_specs.config import Config, CorpusConfig
from data_specs.corpus import read_corpus
from data_specs.errors import UserError
from data_specs.records import Clip, seed_of
from pipeline.calibration_scenes import ClipEvents, KnownScene, scenes_of
from pipeline.ingest import ingest
from pipeline.intake import one_label_only, recording_of
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.scoring import EvalMixture, EvalTarget, draw_absent_label


@dataclass(frozen=True)
class Size:
    """How much of everything: optimizer steps of the start and of a round, and numbers of scenes.

    ``partition_scenes`` of the natural ones are also divided in wrong and right ways, to see what the gates accept.
    """

    start_steps: int
    round_steps: int
    natural_scenes: int
    calibration_scenes: int
    test_scenes: int
    partition_scenes: int
    batch_size: int = 8


DEFAULT = Size(
    start_steps=400, round_steps=120, natural_scenes=240, calibration_scenes=150, test_scenes=120, partition_scenes=24
)
SMALL = Size(  # for tests
    start_steps=2,
    round_steps=2,
    natural_scenes=6,
    calibration_scenes=12,
    test_scenes=4,
    partition_scenes=2,
    batch_size=2,
)


@dataclass(frozen=True)
class Material:
    """Everything that the arms of an experiment share."""

    training: list[Clip]
    calibration: list[Clip]
    natural: list[KnownScene]
    test: list[EvalMixture]


def read_material(
    sources: str,
    *,
    single: Sequence[str],
    natural: Sequence[str],
    test: Sequence[str],
    config: Config,
    size: Size,
    seed: int,
    progress: Progress = NO_PROGRESS,
) -> Material:
    """Read the clip list, and make the scenes of a seed.

    Raises:
        UserError: a split is empty or used twice, or its clips have no two unrelated labels.
    """
    named = [*single, *natural, *test]
    if len(set(named)) < len(named):
        raise UserError("a split can serve one purpose only: name different ones for single, natural and test")
    training, calibration = _held_back(
        clips_of(sources, single, config, progress), config.gate.calibration_share, seed=seed
    )
    natural_clips, test_clips = (clips_of(sources, splits, config, progress) for splits in (natural, test))
    vocabulary = sorted({clip.labels[0] for clip in [*training, *natural_clips]})
    return Material(
        training,
        calibration,
        _scenes(natural_clips, config, size.natural_scenes, seed_of("natural", seed)),
        [
            eval_mixture(number, scene, vocabulary)
            # Every seed is tested on the same scenes, so that seeds differ by what was learned.
            for number, scene in enumerate(_scenes(test_clips, config, size.test_scenes, seed_of("test")))
        ],
    )


def clips_of(sources: str, splits: Sequence[str], config: Config, progress: Progress) -> list[Clip]:
    """The usable clips with one label of some splits of a list.

    Raises:
        UserError: there are none.
    """
    clips: list[Clip] = []
    for split in splits:
        corpus = CorpusConfig(kind="clip_list", path=sources, split=split)
        found = one_label_only(ingest(list(read_corpus(corpus)), config, progress, what=f"{split} clips"))
        clips += [clip for clip in found if clip.outcome == "kept"]
    if not clips:
        raise UserError(f"{sources} has no usable clip with one label in {', '.join(splits) or 'no split'}")
    return clips


def _held_back(clips: Sequence[Clip], share: float, *, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on, and about ``share`` of every label's recordings to calibrate on."""
    by_label: dict[str, list[str]] = {}
    for clip in clips:
        recordings = by_label.setdefault(clip.labels[0], [])
        if recording_of(clip.path) not in recordings:
            recordings.append(recording_of(clip.path))
    held: set[str] = set()
    for recordings in by_label.values():
        recordings.sort(key=lambda recording: seed_of("held back", seed, recording.rsplit("/", 1)[-1]))
        held.update(recordings[: min(max(1, round(share * len(recordings))), len(recordings) - 1)])
    training = [clip for clip in clips if recording_of(clip.path) not in held]
    return training, [clip for clip in clips if recording_of(clip.path) in held]


def _scenes(clips: Sequence[Clip], config: Config, count: int, seed: int) -> list[KnownScene]:
    return list(scenes_of(ClipEvents(clips), config, count=count, seed=seed))


def eval_mixture(number: int, scene: KnownScene, vocabulary: Sequence[str]) -> EvalMixture:
    """A scene to test on, with a label of the vocabulary that it does not hold."""
    name = f"test-{number}"
    targets = tuple(
        EvalTarget(label, torch.from_numpy(np.ascontiguousarray(source)))
        for label, source in zip(scene.labels, scene.truth, strict=True)
    )
    absent = draw_absent_label(name, scene.labels, vocabulary)
    return EvalMixture(name, torch.from_numpy(scene.mixture), targets, absent)
