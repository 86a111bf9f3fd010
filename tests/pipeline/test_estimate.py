"""Estimates: the arithmetic by hand, and against what this machine does."""

import time

import pytest

from data_specs.config import Config
from pipeline.estimate import Job, estimate
from pipeline.throughput import MANY, Throughput, measure

FIGURES = Throughput(
    source="made up",
    device="GPU",
    on_gpu=True,
    clip_duration_s=10.0,
    ingest_s=0.01,
    tag_s=0.1,
    separate_s=0.05,
    separate_label_s=0.02,
    train_step_s=1.8,
    train_batch=8,
    evaluate_s=0.5,
    track_bytes=200_000,
    mixture_bytes=300_000,
    row_bytes=500,
    checkpoint_bytes=2e9,
)
CONFIG = Config.model_validate(
    {"train": {"steps": 8000, "batch_size": 8}, "evaluate": {"mixtures": 36}, "gate": {"preset": "paper"}}
)
JOB = Job(clips=360_000, labels_per_clip=2.5, devices=4, cores=8, unlabelled=0.5, kept=0.4, sst=0.1)


def test_times_are_work_by_what_does_it():
    hours = {stage.stage: stage.hours for stage in estimate(FIGURES, CONFIG, JOB).stages}
    assert hours == pytest.approx({"ingest": 0.25, "tag": 1.25, "separate": 2.5, "train": 1.0, "evaluate": 0.01})


def test_the_round_is_the_sum_and_is_bound_by_its_longest_stage():
    result = estimate(FIGURES, CONFIG, JOB.model_copy(update={"device_hour_price": 2.0, "gb_month_price": 0.5}))
    assert result.hours == pytest.approx(5.01)
    assert result.device_hours == pytest.approx(4 * (1.25 + 2.5 + 1.0) + 0.01)
    assert result.bound.stage == "separate"
    assert result.compute_price == pytest.approx(2 * result.device_hours)
    assert result.storage_gb == pytest.approx({"shards": 72.0 + 10.8, "manifests": 0.45, "checkpoint": 2.0})
    assert result.storage_price_month == pytest.approx(0.5 * (72.0 + 10.8 + 0.45 + 2.0))


def test_a_calibrated_gate_looks_twice_and_calibrates_on_one_device():
    calibrated = Config.model_validate({**CONFIG.model_dump(), "gate": {"calibration_scenes": 100}})
    hours = {stage.stage: stage.hours for stage in estimate(FIGURES, calibrated, JOB).stages}
    second_look_s = 2.5 * 3 * 0.07
    assert hours["separate"] == pytest.approx(360_000 * (0.1 + second_look_s) / 4 / 3600)
    assert hours["calibrate"] == pytest.approx(100 * (0.1 + 3 * second_look_s) / 3600)


def test_longer_clips_take_and_store_more():
    longer = Config.model_validate({**CONFIG.model_dump(), "audio": {"clip_duration_s": 20.0}})
    before, after = (estimate(FIGURES, config, JOB) for config in (CONFIG, longer))
    assert after.bound.hours == pytest.approx(2 * before.bound.hours)
    assert after.storage_gb["shards"] == pytest.approx(2 * before.storage_gb["shards"])


def test_what_was_measured_predicts_a_unit_that_was_timed_outside(monkeypatch):
    from pipeline import throughput

    config = Config.model_validate(
        {"audio": {"clip_duration_s": 2.0}, "train": {"batch_size": 1}, "gate": {"preset": "paper"}}
    )
    taken_s = []
    original = throughput.separate_unit

    def timed(*arguments):
        started = time.perf_counter()
        result = original(*arguments)
        taken_s.append(time.perf_counter() - started)
        return result

    monkeypatch.setattr(throughput, "separate_unit", timed)
    figures = measure(config, device="cpu", clips=2, repeats=1)
    job = Job(clips=2, labels_per_clip=MANY, devices=1)
    (predicted_s,) = [3600 * one.hours for one in estimate(figures, config, job).stages if one.stage == "separate"]
    assert taken_s[-1] / 3 < predicted_s < 3 * taken_s[-1]
    assert min(figures.ingest_s, figures.tag_s, figures.train_step_s, figures.evaluate_s) > 0
    assert figures.track_bytes > 1000
    assert not figures.on_gpu
