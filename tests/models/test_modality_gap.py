"""The modality gap is the mean cosine of sounds with their own text, apart from that with other texts."""

import math

import pytest
import torch

from models.modality_gap import modality_gap


def test_own_and_other_texts_are_told_apart():
    audio = torch.eye(3)
    text = torch.tensor([[0.6, 0.8, 0.0], [0.0, 1.0, 0.0], [0.6, 0.8, 0.0]])
    gap = modality_gap(audio, text, ["rain", "bark", "rain"])
    assert gap.sounds == 3
    assert gap.matching_cosine == pytest.approx((0.6 + 1.0 + 0.0) / 3)
    others = [0.0, 0.8, 0.8, 0.0]  # sound and another text: (0, 1), (1, 0), (1, 2), (2, 1)
    assert gap.other_cosine == pytest.approx(sum(others) / 4)
    assert gap.own_is_nearest == pytest.approx(2 / 3)  # the third sound fits no text, and none better than its own


def test_a_sound_that_another_text_fits_better_is_counted_as_mistaken():
    gap = modality_gap(torch.eye(2), torch.tensor([[0.6, 0.8], [0.8, 0.6]]), ["rain", "bark"])
    assert gap.own_is_nearest == 0


def test_one_text_only_has_no_others():
    gap = modality_gap(torch.eye(2), torch.eye(2), ["rain", "rain"])
    assert gap.matching_cosine == 1
    assert math.isnan(gap.other_cosine)
