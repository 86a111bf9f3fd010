"""Evidence by a real separator and a real listener: complete, finite, and in favour of the truth."""

import numpy as np
import pytest
import torch

from data_specs.config import ModelConfig
from data_specs.scores import SCORES
from data_specs.soundscapes import render_event
from models.label_separator import LabelSeparator
from pipeline.evidence import SECOND_LOOK, ask, examine, finite_or_none, first_look, remix_evidence, second_look
from pipeline.references import References

RATE_HZ = 32_000
LABELS = ("Siren", "Rain")
PREDICTED = {"expected_si_sdr_db", "good_probability"}


@pytest.fixture(scope="module")
def separator() -> LabelSeparator:
    return LabelSeparator.load(ModelConfig())


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    events = [render_event(label, seed=3, duration_s=2.0, sample_rate_hz=RATE_HZ) for label in LABELS]
    return torch.from_numpy(np.stack([0.1 * event / np.std(event) for event in events]))


def test_two_looks_give_every_score_of_the_table(separator, truth):
    recordings = References(dict(zip(LABELS, separator.encoder.embed_audio(truth), strict=True)))
    clips = first_look(separator, truth.sum(dim=0)[None], [LABELS], previous=separator, references=recordings)
    assert set(clips[0].scores[0]) == {score.name for score in SCORES} - PREDICTED - set(SECOND_LOOK)
    second_look(separator, clips, [(0, 1)])
    assert set(SECOND_LOOK) <= set(clips[0].scores[1])
    assert not set(SECOND_LOOK) & set(clips[0].scores[0])
    assert all(np.isfinite(value) for one in clips[0].scores for value in one.values())


def test_tracks_are_those_of_plain_separation(separator, truth):
    mixture = truth.sum(dim=0)
    (clip,) = first_look(separator, mixture[None], [LABELS])
    torch.testing.assert_close(clip.tracks, separator.separate(mixture, LABELS), atol=1e-4, rtol=1e-3)


def test_the_truth_scores_better_than_its_labels_swapped(separator, truth):
    mixtures = truth.sum(dim=0)[None]
    answers = ask(separator, mixtures, [LABELS])
    right, swapped = (examine(separator, mixtures, [LABELS], answers, [tracks])[0] for tracks in (truth, truth.flip(0)))
    for name in ("positive_agreement_db", "negative_agreement_db", "label_margin_db", "order_margin_db"):
        assert min(one[name] for one in right.scores) > max(one[name] for one in swapped.scores)


def test_a_clip_with_one_label_has_no_scores_about_others(separator, truth):
    (clip,) = first_look(separator, truth[:1], [LABELS[:1]])
    second_look(separator, [clip], [(0, 0)])
    about_others = {"negative_agreement_db", "label_margin_db", "order_margin_db"}
    about_others |= {"other_label_similarity", "other_label_drop", "order_margin_heard"}
    assert not about_others & set(clip.scores[0])
    assert clip.scores[0]["spectral_overlap"] == 0.0


def test_silence_has_finite_scores(separator):
    (clip,) = first_look(separator, torch.zeros(1, RATE_HZ), [LABELS])
    second_look(separator, [clip], [(0, 0), (0, 1)])
    assert all(np.isfinite(value) for one in clip.scores for value in one.values())


def test_what_is_not_finite_becomes_none(truth):
    (clip,) = remix_evidence(truth.sum(dim=0)[None], [LABELS], [truth])
    clip.scores[0]["re_sdr_db"] = float("nan")
    finite_or_none([clip])
    assert clip.scores[0]["re_sdr_db"] is None
    assert clip.scores[1]["re_sdr_db"] == 120.0


def test_tracks_that_are_not_finite_are_an_error(truth):
    with pytest.raises(ValueError, match="not finite"):
        remix_evidence(truth.sum(dim=0)[None], [LABELS], [truth * float("nan")])
