"""How fast one device does each part of a round: measured on this machine, for ``pipeline.estimate`` to multiply.

Runs the parts that rounds are made of, on a few built-in scenes and with the configured models: ingest, tagging,
separation to a shard (once with two labels a clip, once with four, which tells what a clip costs and what a label),
training steps, evaluation. Everything runs in this process, on one device and, on a CPU, in one thread, as a worker of
a round does; what Ray adds is not in it.

Example::

    figures = measure(load_config("embedded"), device="cpu")
    figures.separate_s + 2.3 * figures.separate_label_s      # seconds per clip with 2.3 labels
"""

import io
import platform
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.optim import AdamW

from data_specs.config import Config, CorpusConfig
from data_specs.corpus import read_corpus
from data_specs.records import Clip, Record, Track, content_id, table_of
from data_specs.soundscapes import BuiltinSource
from models.checkpoints import load_separator
from models.label_separator import LabelSeparator
from models.lora import with_lora
from models.queries import Query
from models.taggers import load_tagger
from pipeline.audio import decode
from pipeline.ingest import ingest_entry
from pipeline.mixtures import Sample, collate
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.scenes import write_scenes
from pipeline.scoring import EvalMixture, EvalTarget, evaluate_mixtures
from pipeline.separate import UnitResult, WorkUnit, separate_unit
from pipeline.train import train_step

FEW, MANY = 2, 4  # labels per clip
SEED = 20_26


class Throughput(Record):
    """What one device needs, in seconds per clip unless it says otherwise, and what is stored.

    Attributes:
        source: how the figures came about, in words.
        device: what they hold for; ``on_gpu`` says whether that is a GPU.
        clip_duration_s: length of the clips.
        ingest_s: reading and checking, on one core.
        tag_s: a clip that came without labels.
        separate_s, separate_label_s: separation, scores and shard, per clip and for each of its labels besides.
        train_step_s: one optimizer step with ``train_batch`` samples.
        evaluate_s: one mixture, without BSS-eval.
        track_bytes, mixture_bytes: FLAC of a track, and of a mixture, in a shard.
        row_bytes: a track's row in the manifest.
        checkpoint_bytes: the separator.
    """

    source: str
    device: str
    on_gpu: bool
    clip_duration_s: float
    ingest_s: float
    tag_s: float
    separate_s: float
    separate_label_s: float
    train_step_s: float
    train_batch: int
    evaluate_s: float
    track_bytes: float
    mixture_bytes: float
    row_bytes: float
    checkpoint_bytes: float


def measure(
    config: Config, *, device: str, clips: int = 6, repeats: int = 2, progress: Progress = NO_PROGRESS
) -> Throughput:
    """Measure the configured models on ``device`` (``cpu`` or ``cuda``), with ``clips`` scenes of each kind.

    Raises:
        UserError: weights are missing.
    """
    config = config.model_copy(update={"gate": config.gate.model_copy(update={"itt_db": -300.0, "sst_db": -300.0})})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (
            progress.task("measure this machine", total=5) as task,
            tempfile.TemporaryDirectory(prefix="sound-data-engine-") as folder,
            torch.device(device),
        ):
            few, ingest_s = _scenes(Path(folder, "few"), config, FEW, clips)
            many, _ = _scenes(Path(folder, "many"), config, MANY, clips)
            task.advance()
            tag_s = _tagging(few, config, repeats)
            task.advance()
            separator = LabelSeparator.load(config.model, bf16=config.separate.bf16)
            result, few_s = _separation(few, config, separator, repeats)
            _, many_s = _separation(many, config, separator, repeats)
            task.advance()
            train_step_s = _training(config, separator, repeats)
            task.advance()
            evaluate_s = _evaluation(few, config, separator, repeats)
            task.advance()
    finally:
        torch.set_num_threads(threads)
    label_s = max(0.0, (many_s - few_s) / (MANY - FEW))
    sizes = _member_bytes(result.shard or b"")
    row_bytes = _parquet_bytes(table_of(Track, result.tracks)) / len(result.tracks)
    return Throughput(
        source=f"measured on {2 * clips} built-in scenes",
        device=torch.cuda.get_device_name() if device != "cpu" else f"one thread of {_processor()}",
        on_gpu=device != "cpu",
        clip_duration_s=config.audio.clip_duration_s,
        ingest_s=ingest_s,
        tag_s=tag_s,
        separate_s=max(0.0, few_s - FEW * label_s),
        separate_label_s=label_s,
        train_step_s=train_step_s,
        train_batch=config.train.batch_size,
        evaluate_s=evaluate_s,
        track_bytes=sizes["track"],
        mixture_bytes=sizes["mix"],
        row_bytes=row_bytes,
        checkpoint_bytes=4.0 * sum(parameter.numel() for parameter in separator.separator.parameters()),
    )


def _scenes(folder: Path, config: Config, labels: int, count: int) -> tuple[list[Clip], float]:
    """Built-in scenes of so many labels as ingested clips, and the seconds that ingest took for each."""
    alike = config.soundscapes.model_copy(update={"labels_min": labels, "labels_max": labels})
    made = config.model_copy(update={"soundscapes": alike})
    duration_s = config.audio.clip_duration_s
    path = write_scenes(BuiltinSource(), count=count, out=folder, config=made, seed=SEED, duration_s=duration_s)
    entries = read_corpus(CorpusConfig(kind="clip_list", path=str(path)))

    def read() -> list[Clip]:
        return [clip for entry in entries for clip in ingest_entry(entry, config)]

    return read(), _seconds(read, 1) / count


def _tagging(clips: Sequence[Clip], config: Config, repeats: int) -> float:
    tagger = load_tagger(config)

    def tag() -> None:
        for clip in clips:
            waveform = torch.from_numpy(decode(clip.path, sample_rate_hz=config.audio.sample_rate_hz))
            tagger.scores(waveform.unsqueeze(0).to(torch.get_default_device())).cpu()

    return _seconds(tag, repeats) / len(clips)


def _separation(
    clips: Sequence[Clip], config: Config, separator: LabelSeparator, repeats: int
) -> tuple[UnitResult, float]:
    """What a work unit of the clips gives, and the seconds that a clip took."""
    unit = WorkUnit(unit_id=content_id("plan"), clips=tuple(clips), labels=tuple(clip.labels for clip in clips))
    result = separate_unit(unit, config, separator)  # the first time is slower: kernels, caches
    return result, _seconds(lambda: separate_unit(unit, config, separator), repeats) / len(clips)


def _training(config: Config, separator: LabelSeparator, repeats: int) -> float:
    model = with_lora(load_separator(config.model.checkpoint)).to(torch.get_default_device())
    queries = (Query("Rain", ("Bark",)),) * config.train.queries_per_mixture
    noise = 0.1 * np.random.default_rng(SEED).normal(size=(len(queries) + 1, model.window_length)).astype(np.float32)
    sample = Sample(noise.sum(axis=0), noise[1:], queries)
    batch = collate([sample] * config.train.batch_size, separator.encoder, tokens=model.takes_tokens)
    batch = batch.to(torch.get_default_device())
    optimizer = AdamW([one for one in model.parameters() if one.requires_grad], lr=1e-6)
    train_step(model, batch, optimizer, config.train)
    return _seconds(lambda: train_step(model, batch, optimizer, config.train), repeats)


def _evaluation(clips: Sequence[Clip], config: Config, separator: LabelSeparator, repeats: int) -> float:
    def mixture(clip: Clip) -> EvalMixture:
        waveform = torch.from_numpy(decode(clip.path, sample_rate_hz=config.audio.sample_rate_hz))
        targets = tuple(EvalTarget(label, waveform / len(clip.labels)) for label in clip.labels)
        return EvalMixture(clip.clip_id, waveform, targets, "Siren")

    def evaluate() -> None:
        evaluate_mixtures(separator, [mixture(clip) for clip in clips], bss_mixtures=0)

    return _seconds(evaluate, repeats) / len(clips)


def _seconds(action: Callable[[], object], repeats: int) -> float:
    """The shortest of some runs: what else the machine does only adds."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return min(taken)


def _member_bytes(shard: bytes) -> dict[str, float]:
    """Mean size of tracks and mixtures in a shard, with what the tar adds to each member."""
    sizes: dict[str, list[int]] = {"track": [], "mix": []}
    with tarfile.open(fileobj=io.BytesIO(shard)) as tar:
        for member in tar:
            if member.name.endswith(".flac"):
                sizes["mix" if ".mix." in member.name else "track"].append(member.size + 2 * tarfile.BLOCKSIZE)
    return {kind: float(np.mean(own)) for kind, own in sizes.items()}


def _parquet_bytes(table: pa.Table) -> int:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().size


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
