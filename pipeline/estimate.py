"""What a round will take: measured figures times what is to be done. Arithmetic only; ``flows.plan`` asks and prints.

Devices are assumed to work as fast together as alone, and every device to be busy until its stage ends: both are a
little better than what happens. A stage's time is its work divided by what it may use: ingest runs on one machine's
cores, everything that holds a network on the devices.

Example::

    estimate(figures, config, Job(clips=2_100_000, labels_per_clip=2.3, devices=8)).hours
"""

from pydantic import Field

from data_specs.config import Config
from data_specs.records import Record
from pipeline.throughput import Throughput

HOUR_S = 3600.0
GB = 1e9


class Job(Record):
    """What is to be done, and with what.

    Attributes:
        clips: windows of ``audio.clip_duration_s``.
        labels_per_clip: mean number of labels of a clip.
        devices: GPUs, or CPU cores where the figures are a core's.
        cores: cores of the machine that ingests.
        unlabelled: share of clips that the tagger has to hear.
        kept: share of tracks that pass the gate; ``sst``: share of clips that are kept with their mixture.
        device_hour_price, gb_month_price: what a device costs an hour, and a gigabyte a month; None where unknown.
    """

    clips: int = Field(ge=1)
    labels_per_clip: float = Field(ge=1)
    devices: int = Field(ge=1)
    cores: int = Field(1, ge=1)
    unlabelled: float = Field(0.0, ge=0, le=1)
    kept: float = Field(0.5, ge=0, le=1)
    sst: float = Field(0.1, ge=0, le=1)
    device_hour_price: float | None = None
    gb_month_price: float | None = None


class StageEstimate(Record):
    """One stage: wall hours, hours of all its devices (0 where it needs none), and what that rests on."""

    stage: str
    hours: float
    device_hours: float
    rests_on: str


class Estimate(Record):
    """A round: its stages in order, and what it stores in GB and costs."""

    stages: tuple[StageEstimate, ...]
    storage_gb: dict[str, float]
    compute_price: float | None
    storage_price_month: float | None

    @property
    def hours(self) -> float:
        """Wall hours of the round."""
        return sum(stage.hours for stage in self.stages)

    @property
    def device_hours(self) -> float:
        """Hours that devices are held for."""
        return sum(stage.device_hours for stage in self.stages)

    @property
    def bound(self) -> StageEstimate:
        """The stage that takes longest."""
        return max(self.stages, key=lambda stage: stage.hours)


SECOND_LOOK_PASSES = 3  # of the separator for every track: itself, its residual, and it beside a foreign track
DIVISIONS = 3  # of every calibration scene: the separator's, a wrong one, a right one


def estimate(figures: Throughput, config: Config, job: Job) -> Estimate:
    """Time, storage and price of a first round; a later one ingests and tags only what is new."""
    longer = config.audio.clip_duration_s / figures.clip_duration_s
    clip_s = longer * (figures.separate_s + job.labels_per_clip * figures.separate_label_s)
    again_s = longer * job.labels_per_clip * SECOND_LOOK_PASSES * (figures.separate_s + figures.separate_label_s)
    ingest_s, tag_s, evaluate_s = (longer * one for one in (figures.ingest_s, figures.tag_s, figures.evaluate_s))
    readers = min(job.cores, config.workers.ingest_threads)
    trainers = min(job.devices, config.train.batch_size)
    step_s = figures.train_step_s * config.train.batch_size / figures.train_batch
    mixtures = 2 * config.evaluate.mixtures

    def stage(name: str, work_s: float, workers: int, rests_on: str, *, on_devices: bool = True) -> StageEstimate:
        hours = work_s / workers / HOUR_S
        return StageEstimate(
            stage=name, hours=hours, device_hours=hours * workers if on_devices else 0.0, rests_on=rests_on
        )

    stages = [
        stage(
            "ingest", job.clips * ingest_s, readers, f"{_ms(ingest_s)} a clip, {readers} at a time", on_devices=False
        ),
        stage("tag", job.clips * job.unlabelled * tag_s, job.devices, f"{_ms(tag_s)} a clip without labels"),
    ]
    if config.gate.preset == "calibrated":
        scene_s = clip_s + DIVISIONS * again_s
        scenes = config.gate.calibration_scenes
        stages.append(stage("calibrate", scenes * scene_s, 1, f"{scenes} scenes of {_ms(scene_s)}, on one device"))
        clip_s += again_s  # at most: tracks without a chance are looked at once
    stages += [
        stage("separate", job.clips * clip_s, job.devices, f"{_ms(clip_s)} a clip"),
        stage("train", config.train.steps * step_s, trainers, f"{config.train.steps} steps of {_ms(step_s)}"),
        stage("evaluate", mixtures * evaluate_s, 1, f"{mixtures} mixtures of {_ms(evaluate_s)}"),
    ]
    storage_gb = _storage_gb(figures, job, longer)
    result = Estimate(stages=tuple(stages), storage_gb=storage_gb, compute_price=None, storage_price_month=None)
    return result.model_copy(
        update={
            "compute_price": _times(result.device_hours, job.device_hour_price),
            "storage_price_month": _times(sum(storage_gb.values()), job.gb_month_price),
        }
    )


def _storage_gb(figures: Throughput, job: Job, longer: float) -> dict[str, float]:
    tracks = job.clips * job.labels_per_clip
    return {
        "shards": longer * (tracks * job.kept * figures.track_bytes + job.clips * job.sst * figures.mixture_bytes) / GB,
        "manifests": tracks * figures.row_bytes / GB,
        "checkpoint": figures.checkpoint_bytes / GB,
    }


def _times(amount: float, price: float | None) -> float | None:
    return None if price is None else amount * price


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
