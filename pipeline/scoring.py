"""Score a separator on mixtures whose sources are known; the heart of every evaluation.

``pipeline.evaluate`` feeds it held-out mixtures of a round, ``pipeline.pairs`` the pairs of a list. The query modes
``pos`` (the label alone) and ``pos_neg`` (the other labels of the mixture as negative query) go through the separator
in one call, so its encoder runs once per mixture.

Example::

    metrics = evaluate_mixtures(separator, mixtures)
    metrics["pos_neg"]["sdri_db"]      # {"mean": ..., "std": ..., "median": ..., "n": ...}
    metrics["labels"]["Bark"]          # {"sdri_db": ..., "n": ...}
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from data_specs.labels import label_table
from data_specs.records import content_id, seed_of
from pipeline.metrics import bss_sdr_db, sdr_db, si_sdr_db, silence_sdr_db, silence_si_sdr_db
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.remix import re_sdr

QUERY_MODES = ("pos", "pos_neg")
REMIX_DB = 15.0


class QueriedSeparator(Protocol):
    """What is evaluated; ``models.label_separator.LabelSeparator`` is one."""

    checkpoint_hash: str

    def separate_batch(
        self,
        mixtures: Tensor,
        labels: Sequence[Sequence[str]],
        *,
        negatives: Sequence[Sequence[Sequence[str]]] | None = None,
    ) -> list[Tensor]:
        """Mixtures (B, T) with Q labels each to B tensors (Q, T)."""


@dataclass(frozen=True, eq=False)
class EvalTarget:
    """A source of a mixture with its label (or caption) and waveform (T,); unscored ones only serve as queries."""

    label: str
    waveform: Tensor
    scored: bool = True


@dataclass(frozen=True, eq=False)
class EvalMixture:
    """A mixture (T,), all sources that it holds, and a label that it does not hold (None: no silence score)."""

    mixture_id: str
    mixture: Tensor
    targets: tuple[EvalTarget, ...]
    absent_label: str | None = None


def draw_absent_label(mixture_id: str, present: Sequence[str], vocabulary: Sequence[str]) -> str | None:
    """A label that is unrelated to all ``present`` ones, drawn by the mixture's id.

    Args:
        mixture_id: decides the draw.
        present: AudioSet labels of the mixture.
        vocabulary: AudioSet labels to draw from; the whole table where all of them are related to the mixture.
    """
    table = label_table()
    for names in (vocabulary, table.names):
        candidates = [name for name in names if not any(table.related(name, label) for label in present)]
        if candidates:
            return candidates[seed_of("absent label", mixture_id) % len(candidates)]
    return None


def evaluate_mixtures(
    separator: QueriedSeparator,
    mixtures: Iterable[EvalMixture],
    *,
    batch_size: int = 1,
    bss_mixtures: int | None = None,
    total: int | None = None,
    progress: Progress = NO_PROGRESS,
    what: str = "mixtures",
) -> dict[str, Any]:
    """Metrics of the design's ``metrics.json`` for both query modes, and SDRi per label (``pos_neg``).

    ``sdr_db``, ``sdri_db``, ``si_sdr_db``, ``si_sdri_db`` (eq. 6-9), ``bss_sdr_db`` and ``bss_sdri_db`` count scored
    targets; ``silence_sdr_db``, ``silence_si_sdr_db`` (eq. 10, 11) and ``re_sdr_db`` (eq. 13, ``pos_neg`` only) count
    mixtures, the last with the share above ``REMIX_DB`` (Table 4). A statistic whose values are not all finite is None.

    Args:
        separator: what is evaluated.
        mixtures: read once, in order; neighbours of equal length share a batch.
        batch_size: mixtures per call of the separator; the queries of one mixture are a batch by themselves, and more
            than one mixture is slower on a CPU.
        bss_mixtures: BSS-eval SDR, which is slow, only for that many first mixtures; None for all.
        total: number of mixtures for the progress bar.
        progress: told about every mixture; ``what`` says on the bar what is evaluated.
    """
    scores = _Scores()
    digest: list[str] = []
    with progress.task(f"evaluate {what}", total=total) as task:
        for batch in _batches(mixtures, batch_size):
            tracks = _separate(separator, batch)
            for mixture, modes in zip(batch, tracks, strict=True):
                _score(scores, mixture, modes, with_bss=bss_mixtures is None or len(digest) < bss_mixtures)
                digest.append(mixture.mixture_id)
            task.advance(len(batch))
    return {
        **{
            mode: {
                name: statistic(values, above=REMIX_DB if name == "re_sdr_db" else None)
                for name, values in scores.modes[mode].items()
            }
            for mode in QUERY_MODES
        },
        "labels": {label: _label_row(values) for label, values in sorted(scores.labels.items())},
        "mixtures": len(digest),
        "set": content_id(*digest),
        "checkpoint": separator.checkpoint_hash,
    }


def statistic(values: Sequence[float], *, above: float | None = None) -> dict[str, Any]:
    """Mean, population standard deviation, median and count; None where a value is not finite or there is none.

    Args:
        above: also the share of values above this, as ``above_<above>``.
    """
    usable = len(values) > 0 and bool(np.isfinite(values).all())
    kinds: dict[str, Callable] = {"mean": np.mean, "std": np.std, "median": np.median}
    if above is not None:
        kinds[f"above_{above:g}"] = lambda numbers: np.mean(np.asarray(numbers) > above)
    return {**{name: float(kind(values)) if usable else None for name, kind in kinds.items()}, "n": len(values)}


class _Scores:
    def __init__(self) -> None:
        self.modes: dict[str, dict[str, list[float]]] = {mode: defaultdict(list) for mode in QUERY_MODES}
        self.labels: dict[str, list[float]] = defaultdict(list)


def _label_row(values: Sequence[float]) -> dict[str, Any]:
    return {"sdri_db": statistic(values)["mean"], "n": len(values)}


def _batches(mixtures: Iterable[EvalMixture], size: int) -> Iterator[list[EvalMixture]]:
    batch: list[EvalMixture] = []
    for mixture in mixtures:
        if batch and (len(batch) == size or batch[0].mixture.shape != mixture.mixture.shape):
            yield batch
            batch = []
        batch.append(mixture)
    if batch:
        yield batch


def _separate(separator: QueriedSeparator, batch: Sequence[EvalMixture]) -> list[dict[str, Tensor]]:
    """Per mixture and query mode the tracks (Q, T): one per target, then one for the absent label if there is one."""
    labels: list[list[str]] = []
    negatives: list[list[list[str]]] = []
    for item in batch:
        present = [target.label for target in item.targets]
        absent = [item.absent_label] if item.absent_label is not None else []
        others = [[label for label in present if label != own] for own in [*present, *absent]]
        labels.append([*present, *absent] * len(QUERY_MODES))
        negatives.append([[] for _ in others] + others)
    tracks = separator.separate_batch(torch.stack([item.mixture for item in batch]), labels, negatives=negatives)
    return [dict(zip(QUERY_MODES, track.chunk(len(QUERY_MODES)), strict=True)) for track in tracks]


def _score(scores: _Scores, item: EvalMixture, modes: dict[str, Tensor], *, with_bss: bool) -> None:
    scored = [index for index, target in enumerate(item.targets) if target.scored]
    references = torch.stack([item.targets[index].waveform for index in scored])  # (N, T)
    mixture = item.mixture.unsqueeze(0)
    unprocessed = mixture.expand_as(references)
    metrics = {"sdr": sdr_db, "si_sdr": si_sdr_db, **({"bss_sdr": bss_sdr_db} if with_bss else {})}
    before = {name: metric(unprocessed, references) for name, metric in metrics.items()}
    for mode, tracks in modes.items():
        values = scores.modes[mode]
        for name, metric in metrics.items():
            after = metric(tracks[scored], references)
            values[f"{name}_db"] += after.tolist()
            values[f"{name}i_db"] += (after - before[name]).tolist()
            if (mode, name) == ("pos_neg", "sdr"):
                for index, gain in zip(scored, (after - before[name]).tolist(), strict=True):
                    scores.labels[item.targets[index].label].append(gain)
        if item.absent_label is not None:
            values["silence_sdr_db"] += silence_sdr_db(tracks[-1:], mixture).tolist()
            values["silence_si_sdr_db"] += silence_si_sdr_db(tracks[-1:], mixture).tolist()
        if mode == "pos_neg":
            remix = tracks[: len(item.targets)].sum(dim=0)
            values["re_sdr_db"].append(float(re_sdr(remix, item.mixture)))
