"""Evaluation on a list of pairs, by the CLAPSep protocol: ``data-engine evaluate``, outside of the rounds.

A pair is a target file and an interferer file with a text each. Both are cut to the shorter one (10 s at most), the
interferer is added at 0 dB, mixture and target are scaled to 0.9 only where the mixture would clip, and the target is
queried by its text alone (``pos``) and with the interferer's text as negative query (``pos_neg``).

Two formats, told apart by their columns:

- own list, ``target_path,target_label,interferer_path,interferer_label``: AudioSet labels; a pair of related labels
  (the same, or one an ancestor of the other) is no test pair and is dropped;
- the published lists, ``source_file,positive_caption,noise_file,negative_caption``: captions are queries as they are,
  and pairs that share a label stay in, since the published figures contain them; they are counted.

Example::

    metrics = evaluate_pairs(separator, Path("esc_eval.csv"), Path("ESC-50/audio"))
    metrics["pairs"]      # inputs == kept + dropped + failed, with reasons
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchaudio.functional import add_noise

from data_specs.errors import UserError
from data_specs.labels import UnknownLabelError, label_table
from data_specs.records import StageCounts, content_id
from pipeline.audio import AudioError, decode
from pipeline.metrics import is_silent
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.scoring import EvalMixture, EvalTarget, QueriedSeparator, draw_absent_label, evaluate_mixtures

OWN_COLUMNS = ("target_path", "target_label", "interferer_path", "interferer_label")
PUBLISHED_COLUMNS = ("source_file", "positive_caption", "noise_file", "negative_caption")
CLIPPED_PEAK = 0.9
_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


@dataclass(frozen=True)
class Pair:
    """A row of a pair list; ``labels`` are the AudioSet labels that its texts name, empty where they name none."""

    target_path: str
    target_text: str
    interferer_path: str
    interferer_text: str
    target_labels: tuple[str, ...] = ()
    interferer_labels: tuple[str, ...] = ()
    problem: str = ""

    @property
    def related(self) -> bool:
        """True when a label of the target is the same as, an ancestor or a descendant of one of the interferer."""
        table = label_table()
        return any(table.related(one, other) for one in self.target_labels for other in self.interferer_labels)


def evaluate_pairs(
    separator: QueriedSeparator,
    pairs_csv: Path,
    root: Path,
    *,
    duration_s: float = 10.0,
    sample_rate_hz: int = 32_000,
    snr_db: float = 0.0,
    keep_related: bool | None = None,
    limit: int | None = None,
    batch_size: int = 1,
    progress: Progress = NO_PROGRESS,
) -> dict[str, Any]:
    """Metrics of ``evaluate_mixtures`` over a pair list, with ``pairs`` (counts) and ``protocol`` added.

    Args:
        separator: what is evaluated.
        pairs_csv: own or published list.
        root: folder that the list's files lie in (or its ``audio`` folder); other audio suffixes are tried too.
        keep_related: evaluate pairs of related labels too; None keeps them for the published lists only.
        limit: only that many first rows.

    Raises:
        UserError: no such list, other columns, or not one pair that can be evaluated.
    """
    pairs, published = read_pairs(pairs_csv)
    pairs = pairs[:limit]
    keep = published if keep_related is None else keep_related
    mixer = _Mixer(root, duration_s=duration_s, sample_rate_hz=sample_rate_hz, snr_db=snr_db)
    metrics = evaluate_mixtures(
        separator,
        mixer.mixtures(pairs, keep_related=keep),
        batch_size=batch_size,
        total=len(pairs),
        progress=progress,
    )
    if not mixer.kept:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in mixer.reasons.most_common(3))
        raise UserError(f"{pairs_csv}: none of {len(pairs)} pairs can be evaluated with files from {root} ({reasons})")
    counts = StageCounts(
        inputs=len(pairs),
        kept=mixer.kept,
        dropped=len(pairs) - mixer.kept - mixer.failed,
        failed=mixer.failed,
        reasons=dict(sorted(mixer.reasons.items())),
    )
    return {
        **metrics,
        "pairs": {
            **counts.model_dump(),
            "kept_though_related": mixer.kept_related,
            "missing_files": mixer.missing[:10],
        },
        "protocol": {
            "list": pairs_csv.name,
            "sample_rate_hz": sample_rate_hz,
            "duration_s": duration_s,
            "snr_db": snr_db,
            "clipped_peak": CLIPPED_PEAK,
            "related_pairs": "kept" if keep else "dropped",
        },
    }


def read_pairs(path: Path) -> tuple[list[Pair], bool]:
    """The pairs of a list, and whether it is a published one.

    Raises:
        UserError: no such file, not text, or neither format's columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = tuple(rows.fieldnames or ())
            published = set(PUBLISHED_COLUMNS) <= set(columns)
            if not published and not set(OWN_COLUMNS) <= set(columns):
                raise UserError(
                    f"{path} is no pair list: give the columns {','.join(OWN_COLUMNS)} or {','.join(PUBLISHED_COLUMNS)}"
                )
            names = PUBLISHED_COLUMNS if published else OWN_COLUMNS
            texts = [tuple((row[name] or "").strip() for name in names) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read the pair list {path}: {error}") from None
    return [(_published_pair if published else _own_pair)(*text) for text in texts], published


@lru_cache(maxsize=65_536)  # a source of a published list comes with several interferers
def caption_labels(caption: str) -> tuple[str, ...]:
    """The AudioSet labels that a caption of the form "the sound(s) of A, B and C" lists.

    Label names hold commas and "and" themselves: where several names fit, the longest is meant. A caption of another
    form, or with a part that is no label, gives ().
    """
    opening = re.match(r"the sounds? of ", caption, flags=re.IGNORECASE)
    label, labels = _label_pattern(), []
    place = opening.end() if opening else len(caption)
    while found := label.match(caption, place):
        labels.append(label_table().resolve(found[1]))
        place = found.end()
    return tuple(labels) if place == len(caption) else ()


@lru_cache(maxsize=1)
def _label_pattern() -> re.Pattern[str]:
    """A label name at the current place, with the separator that follows it."""
    names = sorted(label_table().names, key=len, reverse=True)
    return re.compile(rf"({'|'.join(map(re.escape, names))})(?:$|, | and )", flags=re.IGNORECASE)


def _published_pair(target_path: str, caption: str, interferer_path: str, negative_caption: str) -> Pair:
    return Pair(
        target_path,
        caption,
        interferer_path,
        negative_caption,
        target_labels=caption_labels(caption),
        interferer_labels=caption_labels(negative_caption),
        problem="" if caption and negative_caption else "no caption",
    )


def _own_pair(target_path: str, target_label: str, interferer_path: str, interferer_label: str) -> Pair:
    try:
        target, interferer = label_table().resolve(target_label), label_table().resolve(interferer_label)
    except UnknownLabelError as error:
        return Pair(target_path, target_label, interferer_path, interferer_label, problem=str(error))
    return Pair(target_path, target, interferer_path, interferer, (target,), (interferer,))


class _Mixer:
    """Makes the mixtures of pairs and keeps count of the pairs that give none."""

    def __init__(self, root: Path, *, duration_s: float, sample_rate_hz: int, snr_db: float):
        self.root, self.duration_s, self.sample_rate_hz, self.snr_db = root, duration_s, sample_rate_hz, snr_db
        self.kept = self.failed = self.kept_related = 0
        self.reasons: Counter[str] = Counter()
        self.missing: list[str] = []
        # Published lists name the same source several times in a row.
        self._load = lru_cache(maxsize=32)(self._decode)

    def mixtures(self, pairs: Sequence[Pair], *, keep_related: bool) -> Iterator[EvalMixture]:
        vocabulary = sorted({label for pair in pairs for label in (*pair.target_labels, *pair.interferer_labels)})
        for pair in pairs:
            if pair.problem:
                self._leave_out(pair.problem)
                continue
            if pair.related and not keep_related:
                self._leave_out("the labels of target and interferer are related")
                continue
            paths = [self._find(name) for name in (pair.target_path, pair.interferer_path)]
            if paths[0] is None or paths[1] is None:
                self.missing += [
                    name
                    for name, path in zip((pair.target_path, pair.interferer_path), paths, strict=True)
                    if path is None and name not in self.missing
                ]
                self._leave_out("file missing")
                continue
            try:
                mixture = self._mix(pair, self._load(paths[0]), self._load(paths[1]), vocabulary)
            except AudioError as error:
                self.failed += 1
                self.reasons[str(error)] += 1
                continue
            if mixture is None:
                self._leave_out("target or interferer is silent")
                continue
            self.kept += 1
            self.kept_related += pair.related
            yield mixture

    def _mix(
        self, pair: Pair, target: np.ndarray, interferer: np.ndarray, vocabulary: Sequence[str]
    ) -> EvalMixture | None:
        length = min(len(target), len(interferer))
        sources = torch.from_numpy(np.stack([target[:length], interferer[:length]]))  # (2, T)
        if length == 0 or is_silent(sources).any():
            return None
        mixture = add_noise(sources[0], sources[1], torch.tensor(self.snr_db))
        peak = mixture.abs().max()
        scale = CLIPPED_PEAK / peak if peak > 1 else torch.ones(())
        mixture, target_scaled = mixture * scale, sources[0] * scale
        mixture_id = content_id(pair.target_path, pair.target_text, pair.interferer_path, pair.interferer_text)
        known = pair.target_labels and pair.interferer_labels
        present = (*pair.target_labels, *pair.interferer_labels)
        return EvalMixture(
            mixture_id,
            mixture,
            (
                EvalTarget(pair.target_text, target_scaled),
                EvalTarget(pair.interferer_text, mixture - target_scaled, scored=False),
            ),
            draw_absent_label(mixture_id, present, vocabulary) if known else None,
        )

    def _decode(self, path: Path) -> np.ndarray:
        return decode(path, duration_s=self.duration_s, sample_rate_hz=self.sample_rate_hz)

    def _find(self, name: str) -> Path | None:
        for folder in (self.root, self.root / "audio"):
            stem = (folder / name).with_suffix("") if Path(name).suffix.lower() in _SUFFIXES else folder / name
            for path in (folder / name, *(stem.with_name(stem.name + suffix) for suffix in _SUFFIXES)):
                if path.is_file():
                    return path
        return None

    def _leave_out(self, reason: str) -> None:
        self.reasons[reason] += 1
