"""Evidence about separated tracks: everything the gate may know of them, gathered in batches.

Stands between ``separate`` and ``gate``. The tracks of a clip come with scores of three kinds: what the waveforms say
(``pipeline.track_scores``, ``pipeline.remix``); what the separator answers when it is asked in other ways; what a
listener, the audio side of the query encoder, hears in track and residual, compared with the labels' texts and with
recordings of them (``pipeline.references``). ``first_look`` needs one encoding of every mixture; ``second_look``
encodes tracks and residuals again, so it is for the tracks that the first look left in doubt.

Shapes: B clips, Q labels of a clip, T samples.

Example::

    clips = first_look(separator, mixtures, [["Bark", "Rain"]])
    clips[0].tracks, clips[0].scores[0]["re_sdr_db"]
    second_look(separator, clips, chosen=[(0, 1)])       # more scores for the second track of the first clip
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.label_separator import others
from models.queries import Query
from models.query_encoders import QueryEncoder
from pipeline.references import NO_REFERENCES, References
from pipeline.remix import energy_share_db, score_remix
from pipeline.track_scores import (
    agreement_db,
    agreements_db,
    label_margin,
    long_term_overlap,
    magnitude_spectrogram,
    mask_variation,
    mixture_similarity,
    onset_overlap,
    order_margin,
    residual_correlation,
    silence_share,
    softness,
    spectral_overlap,
    temporal_overlap,
)

Scores = dict[str, float | None]
SECOND_LOOK = ("idempotence_db", "foreign_agreement_db", "others_in_track_db", "own_in_residual_db")


class Witness(Protocol):
    """A separator that can be asked again; ``models.label_separator.LabelSeparator`` is one."""

    encoder: QueryEncoder

    def answer(self, mixtures: Tensor, queries: Sequence[Sequence[Query]]) -> list[Tensor]:
        """Mixtures (B, T) with Q queries each to B tensors (Q, T)."""


@dataclass
class ClipEvidence:
    """One clip with its tracks (Q, T) and, per track, the scores found so far; names as in ``data_specs.scores``."""

    labels: tuple[str, ...]
    mixture: Tensor
    tracks: Tensor
    scores: list[Scores]


def first_look(
    separator: Witness,
    mixtures: Tensor,
    labels: Sequence[Sequence[str]],
    *,
    previous: Witness | None = None,
    references: References = NO_REFERENCES,
    tracks: Sequence[Tensor] | None = None,
) -> list[ClipEvidence]:
    """Separate clips (B, T) by their labels and score every track; the mixtures are encoded once.

    Args:
        previous: the separator of the round before, for the agreement between the two.
        references: recordings of labels that tracks are compared with.
        tracks: (Q, T) per clip that came about in another way, to be scored instead of the separator's own.
    """
    answers = ask(separator, mixtures, labels, previous=previous)
    own = [answer.own for answer in answers] if tracks is None else tracks
    return examine(separator, mixtures, labels, answers, own, references=references)


def remix_evidence(mixtures: Tensor, labels: Sequence[Sequence[str]], tracks: Sequence[Tensor]) -> list[ClipEvidence]:
    """Clips with the scores that the remix alone gives; no further pass of any model.

    Raises:
        ValueError: tracks or mixtures that are not finite.
    """
    clips = []
    for mixture, names, own in zip(mixtures, labels, tracks, strict=True):
        remix = score_remix(own, mixture)
        scores: list[Scores] = [{"re_sdr_db": remix.re_sdr_db, "re_si_sdr_db": remix.re_si_sdr_db} for _ in names]
        _add(scores, "energy_share_db", remix.energy_share_db)
        clips.append(ClipEvidence(tuple(names), mixture, own, scores))
    return clips


def waveform_evidence(mixture: Tensor, labels: Sequence[str], tracks: Tensor) -> ClipEvidence:
    """A clip (T,) and its tracks (Q, T) with all scores that waveforms and spectrograms give, without any model.

    Raises:
        ValueError: tracks or a mixture that are not finite.
    """
    (clip,) = remix_evidence(mixture.unsqueeze(0), [labels], [tracks])
    spectra, spectrum = magnitude_spectrogram(tracks), magnitude_spectrogram(mixture)
    over_time, over_frequency = mask_variation(spectra, spectrum)
    for name, values in {
        "silence_share": silence_share(spectra, spectrum),
        "mixture_similarity": mixture_similarity(spectra, spectrum),
        "spectral_overlap": spectral_overlap(spectra),
        "temporal_overlap": temporal_overlap(spectra),
        "long_term_overlap": long_term_overlap(spectra),
        "onset_overlap": onset_overlap(spectra, spectrum),
        "mask_time_variation": over_time,
        "mask_frequency_variation": over_frequency,
        "softness": softness(spectra, spectrum),
        "residual_correlation": residual_correlation(tracks, mixture),
    }.items():
        _add(clip.scores, name, values)
    return clip


def finite_or_none(clips: Sequence[ClipEvidence]) -> list[ClipEvidence]:
    """The clips with None in place of every score that is not finite."""
    for clip in clips:
        clip.scores = [
            {name: value if value is not None and math.isfinite(value) else None for name, value in one.items()}
            for one in clip.scores
        ]
    return list(clips)


@dataclass(frozen=True)
class Answers:
    """What separators say of one clip, (Q, T) each: ``own`` by both halves of the queries, then by either half.

    ``background`` (T,) is what no label explains; ``previous`` the tracks of the round before, if there was one.
    """

    own: Tensor
    positive: Tensor
    negative: Tensor
    background: Tensor
    previous: Tensor | None = None


def ask(
    separator: Witness, mixtures: Tensor, labels: Sequence[Sequence[str]], *, previous: Witness | None = None
) -> list[Answers]:
    """All answers about clips (B, T) that one encoding of their mixtures gives."""
    said = separator.answer(mixtures, [_all_queries(names) for names in labels])
    before = previous.answer(mixtures, [_own_queries(names) for names in labels]) if previous is not None else None
    answers = []
    for row, (names, answer) in enumerate(zip(labels, said, strict=True)):
        own, positive, negative, background = answer.split([len(names), len(names), len(names), 1])
        answers.append(Answers(own, positive, negative, background[0], before[row] if before is not None else None))
    return answers


def examine(
    separator: Witness,
    mixtures: Tensor,
    labels: Sequence[Sequence[str]],
    answers: Sequence[Answers],
    tracks: Sequence[Tensor],
    *,
    references: References = NO_REFERENCES,
) -> list[ClipEvidence]:
    """Score ``tracks``, (Q, T) per clip, wherever they come from, in the light of what the separator answered."""
    clips = []
    for mixture, names, answer, own in zip(mixtures, labels, answers, tracks, strict=True):
        clip = waveform_evidence(mixture, names, own)
        scores = clip.scores
        _add(scores, "background_db", [energy_share_db(answer.background, mixture)] * len(names))
        _add(scores, "positive_agreement_db", agreement_db(answer.positive, own))
        if len(names) > 1:  # without other labels there is no negative query to agree with
            _add(scores, "negative_agreement_db", agreement_db(answer.negative, own))
            fit = agreements_db(answer.own, own)
            _add(scores, "label_margin_db", label_margin(fit))
            _add(scores, "order_margin_db", [order_margin(fit)] * len(names))
        if answer.previous is not None:
            _add(scores, "previous_agreement_db", agreement_db(answer.previous, own))
        clips.append(clip)
    _listen(separator.encoder, clips, references)
    return clips


def second_look(separator: Witness, clips: Sequence[ClipEvidence], chosen: Sequence[tuple[int, int]]) -> None:
    """Add the dear scores to the tracks ``chosen`` as (clip, track): separate what came out once more.

    A track that is a source stays what it is when its own label is asked of it, holds nothing of the clip's other
    labels, is found again beside a foreign track, and leaves nothing of its label behind.
    """
    if not chosen:
        return
    tracks = torch.stack([clips[i].tracks[k] for i, k in chosen])  # (N, T)
    residuals = torch.stack([clips[i].mixture - clips[i].tracks[k] for i, k in chosen])
    own = [clips[i].labels[k] for i, k in chosen]
    rest = [others(clips[i].labels)[k] for i, k in chosen]
    # The foreign track is the next one in the batch: the same batch gives the same scores.
    foreign, foreign_label = tracks.roll(1, 0), own[-1:] + own[:-1]
    foreign = foreign * (_level(tracks) / _level(foreign).clamp(min=1e-6))

    of_track = separator.answer(
        tracks,
        [
            [Query(label, tuple(names)), *(Query(name, (label,)) for name in names)]
            for label, names in zip(own, rest, strict=True)
        ],
    )
    of_residual = separator.answer(
        residuals, [[Query(label, tuple(names))] for label, names in zip(own, rest, strict=True)]
    )
    of_remix = separator.answer(
        tracks + foreign,
        [[Query(label, (name,) if name != label else ())] for label, name in zip(own, foreign_label, strict=True)],
    )
    for row, (i, k) in enumerate(chosen):
        track, again = tracks[row], of_track[row]
        scores = clips[i].scores[k]
        scores["idempotence_db"] = float(agreement_db(again[:1], track.unsqueeze(0)))
        scores["foreign_agreement_db"] = float(agreement_db(of_remix[row], track.unsqueeze(0)))
        scores["others_in_track_db"] = max((energy_share_db(one, track) for one in again[1:]), default=-60.0)
        scores["own_in_residual_db"] = energy_share_db(of_residual[row][0], clips[i].mixture)


def _own_queries(labels: Sequence[str]) -> list[Query]:
    return [Query(own, tuple(rest)) for own, rest in zip(labels, others(labels), strict=True)]


def _all_queries(labels: Sequence[str]) -> list[Query]:
    """Both halves, positive only and negative only for every label, then the background: all labels negative."""
    positive = [Query(label) for label in labels]
    negative = [Query(None, tuple(rest)) for rest in others(labels)]
    return [*_own_queries(labels), *positive, *negative, Query(None, tuple(labels))]


@torch.inference_mode()
def _listen(encoder: QueryEncoder, clips: Sequence[ClipEvidence], references: References) -> None:
    """Cosines of what is heard in tracks, residuals and mixtures with the labels' texts and recordings."""
    tracks = torch.cat([clip.tracks for clip in clips])
    residuals = torch.cat([clip.mixture - clip.tracks for clip in clips])
    mixtures = torch.stack([clip.mixture for clip in clips])
    heard = encoder.embed_audio(torch.cat([tracks, residuals, mixtures])).to(tracks.device)
    in_tracks, in_residuals, in_mixtures = heard.split([len(tracks), len(tracks), len(mixtures)])
    row = 0
    for clip, in_mixture in zip(clips, in_mixtures, strict=True):
        count = len(clip.labels)
        texts = encoder.embed_text(list(clip.labels)).to(heard.device)  # (Q, D)
        track, residual = in_tracks[row : row + count], in_residuals[row : row + count]
        row += count
        similarity, before = track @ texts.T, texts @ in_mixture  # (Q, Q), (Q,)
        own = similarity.diagonal()
        _add(clip.scores, "label_similarity", own)
        _add(clip.scores, "label_gain", own - before)
        _add(clip.scores, "residual_label_similarity", (residual @ texts.T).diagonal())
        _add(clip.scores, "residual_similarity", (track * residual).sum(dim=1))
        if count > 1:
            rest = similarity.masked_fill(torch.eye(count, dtype=torch.bool, device=texts.device), -1.0)
            loudest = rest.amax(dim=1)
            _add(clip.scores, "other_label_similarity", loudest)
            _add(clip.scores, "other_label_drop", before[rest.argmax(dim=1)] - loudest)
            _add(clip.scores, "order_margin_heard", [order_margin(similarity.T)] * count)
        for scores, more in zip(clip.scores, references.scores(clip.labels, track), strict=True):
            scores.update(more)


def _add(scores: Sequence[Scores], name: str, values: Tensor | Sequence[float]) -> None:
    numbers = values.tolist() if isinstance(values, Tensor) else values
    for one, value in zip(scores, numbers, strict=True):
        one[name] = float(value)


def _level(waveforms: Tensor) -> Tensor:
    """RMS (N, 1) of waveforms (N, T)."""
    return waveforms.square().mean(dim=1, keepdim=True).sqrt()
