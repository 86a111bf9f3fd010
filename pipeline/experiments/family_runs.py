"""The experiment of ``data-engine experiment families``: every family, every seed, the same scenes, the same time.

``results.json`` in the output folder holds one entry per run and is written after every run, so that the same command
goes on where it was cut off. ``table.md`` and ``families.svg`` are made from it.

Example::

    run_families(FamilyExperiment(minutes=2.0), Path("out"), progress)
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor

from data_specs.config import Config
from data_specs.errors import UserError
from data_specs.section import Section
from models.checkpoints import EMBEDDED, load_clap
from models.label_separator import LabelSeparator
from models.query_encoders import QueryEncoder, TinyClapEncoder
from pipeline.adapt import check_unheard
from pipeline.audio_queries import at_query_level
from pipeline.experiments.families import FAMILIES, Family
from pipeline.experiments.family_material import BUILTIN, FamilyScenes, family_scenes
from pipeline.experiments.family_summary import FAMILY_REPORT, FamilyReport, write_report
from pipeline.experiments.remembering import RememberingEncoder
from pipeline.metrics import si_sdri_db
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.scoring import EvalMixture, QueriedSeparator, evaluate_mixtures
from pipeline.storage import Storage

RESULTS = "results.json"


class FamilyExperiment(Section):
    """What is compared, and on what."""

    sources: str = Field(BUILTIN, description="'builtin', or a clip list of single-source recordings.")
    train_splits: tuple[str, ...] = ()
    test_splits: tuple[str, ...] = ()
    families: tuple[str, ...] = tuple(FAMILIES)
    seeds: int = Field(3, ge=1)
    minutes: float = Field(5.0, gt=0, description="Training time of every run; the processor's time on a CPU.")
    train_scenes: int = Field(200, ge=1)
    test_scenes: int = Field(40, ge=1)
    duration_s: float = Field(2.56, ge=0.5)
    clap: str = Field(EMBEDDED, description="Folder of an adapted embedded CLAP, the query encoder of all families.")
    paired: bool = Field(False, description="Every label has a companion, and is only heard together with it.")

    @model_validator(mode="after")
    def _splits_name_recordings(self):
        if self.sources != BUILTIN and not (self.train_splits and self.test_splits):
            raise ValueError("name the splits of the list to train and to test on")
        if set(self.train_splits) & set(self.test_splits):
            raise ValueError("a split can be for training or for testing, not for both")
        return self


SCENES = {"labels_max": 2, "room_probability": 0.0, "background_probability": 0.0, "full_length_probability": 1.0}
"""Two sounds, as in the test mixtures of both papers, without what the embedded CLAP cannot hear through.

Of built-in tracks in rooms and with pauses it takes 62 % for the right one of ten labels, of these 90 %.
"""

SMALL = {"minutes": 0.002, "train_scenes": 12, "test_scenes": 2, "duration_s": 1.28}
"""For a try."""


class Comparison(NamedTuple):
    """Families by name that learn the same task, and what of them is shown."""

    name: str
    families: Mapping[str, Family]
    report: FamilyReport = FAMILY_REPORT


FAMILY_COMPARISON = Comparison("families", FAMILIES)


def run_families(
    experiment: FamilyExperiment,
    out: Path,
    progress: Progress = NO_PROGRESS,
    comparison: Comparison = FAMILY_COMPARISON,
) -> dict[str, Any]:
    """Do the runs that ``out`` does not hold yet, and write results, table and figure.

    Returns:
        The content of ``results.json``.

    Raises:
        UserError: an unknown family, scenes that cannot be made, or a folder that holds another experiment.
    """
    families = comparison.families
    unknown = [name for name in experiment.families if name not in families]
    if unknown:
        raise UserError(f"no family {unknown[0]!r}: the families are {', '.join(families)}")
    storage = Storage(out)
    settings = {"comparison": comparison.name, **experiment.model_dump(mode="json", exclude={"families", "seeds"})}
    results = _results(storage, settings)
    check_unheard(experiment.clap, experiment.sources, experiment.test_splits)
    encoder = RememberingEncoder(load_clap(experiment.clap))
    config = Config.model_validate({"audio": {"clip_duration_s": experiment.duration_s}, "soundscapes": SCENES})
    scenes = family_scenes(
        experiment.sources,
        config,
        train=experiment.train_scenes,
        test=experiment.test_scenes,
        train_splits=experiment.train_splits,
        test_splits=experiment.test_splits,
        paired=experiment.paired,
        progress=progress,
    )
    for track in scenes.tracks:  # so that no run pays for what the others find in memory
        if (sound := at_query_level(track.waveform)) is not None:
            encoder.embed_audio(torch.from_numpy(sound[None]))
    wanted = [(name, seed) for seed in range(experiment.seeds) for name in experiment.families]
    done = {(run["family"], run["seed"]) for run in results["runs"]}
    with progress.task("runs", total=len(wanted)) as task:
        for name, seed in wanted:
            if (name, seed) not in done:
                run = _run(
                    families[name], scenes, encoder, seconds=60 * experiment.minutes, seed=seed, progress=progress
                )
                results["runs"].append({"family": name, "seed": seed, **run})
                storage.write_bytes(RESULTS, (json.dumps(results, indent=2) + "\n").encode())
                column = comparison.report.drawn[0]
                progress.say(
                    f"{name}, seed {seed}: {comparison.report.columns[column]} {run[column]:.2f} dB "
                    f"after {run['steps']} steps in {run['seconds']:.0f} s"
                )
            task.advance()
    write_report(results, {name: families[name].what for name in families}, out, comparison.report)
    return results


def _results(storage: Storage, settings: dict[str, Any]) -> dict[str, Any]:
    """What the folder holds already, of the very same settings."""
    if not storage.is_file(RESULTS):
        return {"settings": settings, "runs": []}
    found = json.loads(storage.read_bytes(RESULTS))
    older = {"comparison": FAMILY_COMPARISON.name, "clap": EMBEDDED, "paired": False}  # which do not say so
    found["settings"] = {**older, **found["settings"]}
    if found["settings"] != settings:
        differ = sorted(key for key in settings if found["settings"].get(key) != settings[key])
        raise UserError(f"{storage.uri} holds an experiment with another {', '.join(differ)}: give another --out")
    return found


def _run(
    family: Family, scenes: FamilyScenes, encoder: TinyClapEncoder, *, seconds: float, seed: int, progress: Progress
) -> dict[str, Any]:
    separator, trained, parameters = family.train(scenes, encoder, seconds=seconds, seed=seed, progress=progress)
    sound_db = pos_sound_db = None
    if isinstance(separator, LabelSeparator) and not separator.separator.takes_tokens:
        sound_db = by_sound(separator, encoder, scenes.test)
        pos_sound_db = by_sound(separator, encoder, scenes.test, negatives=False)
    return {
        **measure(separator, scenes, progress),
        "sound_si_sdri_db": sound_db,
        "pos_sound_si_sdri_db": pos_sound_db,
        "steps": trained.steps,
        "seconds": round(trained.seconds, 2),
        "parameters": parameters,
        "first_loss": sum(trained.losses[:10]) / len(trained.losses[:10]),
        "last_loss": sum(trained.losses[-10:]) / len(trained.losses[-10:]),
    }


@torch.inference_mode()
def measure(separator: QueriedSeparator, scenes: FamilyScenes, progress: Progress = NO_PROGRESS) -> dict[str, float]:
    """Means over the test scenes: the columns of the table.

    ``sdri_db`` and ``si_sdri_db`` are for the positive with the negative query, ``pos_...`` for the positive alone;
    ``silence_sdr_db`` for an absent label. ``single_source_db`` is the SI-SDR of what is left of a track that is
    asked for by its label when nothing else sounds: low where a separator takes single sounds apart. ``right_source``
    is a share, of labels that bring out their own source (``right_source``).
    """
    scored = partial(evaluate_mixtures, separator, bss_mixtures=0, progress=progress)
    metrics = scored(scenes.test, what="test scenes")
    singles = scored(scenes.singles, what="single tracks")
    both = ("sdri_db", "si_sdri_db")
    return {
        **{name: _mean(metrics["pos_neg"][name]) for name in (*both, "silence_sdr_db")},
        **{f"pos_{name}": _mean(metrics["pos"][name]) for name in both},
        "single_source_db": _mean(singles["pos"]["si_sdr_db"]),
        "right_source": right_source(separator, scenes.test),
    }


@torch.inference_mode()
def right_source(separator: QueriedSeparator, mixtures: Sequence[EvalMixture]) -> float:
    """Share of labels, each as a positive query alone, whose track gains more SI-SDR on their source than on any other.

    0.5 is chance for mixtures of two: which source comes out does not depend on the label.
    """
    right: list[bool] = []
    for mixture in mixtures:
        truth = torch.stack([target.waveform for target in mixture.targets])  # (Q, T)
        labels = [target.label for target in mixture.targets]
        (tracks,) = separator.separate_batch(mixture.mixture[None], [labels], negatives=[[()] * len(labels)])
        for own, track in enumerate(tracks):
            gains = si_sdri_db(track.expand_as(truth), truth, mixture.mixture.expand_as(truth))
            right.append(int(gains.argmax()) == own)
    return sum(right) / len(right)


@torch.inference_mode()
def by_sound(
    separator: LabelSeparator, encoder: QueryEncoder, mixtures: Sequence[EvalMixture], *, negatives: bool = True
) -> float:
    """Mean SI-SDRi when the sources themselves are the queries, each with the others as its negatives or alone.

    What this is above the figure for texts, a separator owes to what only sounds have.
    """
    gains: list[Tensor] = []
    for mixture in mixtures:
        heard = SourcesAsTexts(encoder, mixture)
        asking = LabelSeparator(separator.separator, heard, separator.checkpoint_hash)
        truth = torch.stack([target.waveform for target in mixture.targets])  # (Q, T)
        names = list(heard.sounds)
        without = None if negatives else [[()] * len(names)]
        (tracks,) = asking.separate_batch(mixture.mixture[None], [names], negatives=without)
        gains.append(si_sdri_db(tracks, truth, mixture.mixture.expand_as(truth)))
    return float(torch.cat(gains).mean())


class SourcesAsTexts:
    """A query encoder that knows texts, and how the sources of a mixture sound: ``sounds``, by a name for each."""

    def __init__(self, encoder: QueryEncoder, mixture: EvalMixture):
        self.dim = encoder.dim
        self.embed_audio = encoder.embed_audio
        self._encoder = encoder
        self.sounds: dict[str, Tensor] = {}
        for number, target in enumerate(mixture.targets):
            level = at_query_level(target.waveform.numpy())
            sound = target.waveform if level is None else torch.from_numpy(level)
            self.sounds[f"source {number}"] = encoder.embed_audio(sound[None])[0]

    def embed_text(self, texts: list[str]) -> Tensor:
        """The embeddings of sources that are named, and of other texts, (N, D)."""
        return torch.stack(
            [self.sounds[text] if text in self.sounds else self._encoder.embed_text([text])[0] for text in texts]
        )


def _mean(statistic: dict[str, Any]) -> float:
    return float("nan") if statistic["mean"] is None else float(statistic["mean"])
