"""Metrics against slow numpy definitions of eq. 6-11, their invariances, and the limits for silence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio, signal_distortion_ratio

from pipeline.metrics import (
    CEILING_DB,
    FLOOR_DB,
    bss_sdr_db,
    bss_sdri_db,
    sdr_db,
    sdri_db,
    si_sdr_db,
    si_sdri_db,
    silence_sdr_db,
    silence_si_sdr_db,
)

PAIRWISE = [sdr_db, si_sdr_db, bss_sdr_db, silence_sdr_db, silence_si_sdr_db]


def _signals(seed: int, batch: int = 3, samples: int = 2000, noise: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(batch, samples, generator=generator)
    return reference + noise * torch.randn(batch, samples, generator=generator), reference


def _slow_sdr(estimate: np.ndarray, reference: np.ndarray) -> float:
    return 10 * np.log10(np.sum(reference**2) / np.sum((reference - estimate) ** 2))


def _slow_si_sdr(estimate: np.ndarray, reference: np.ndarray) -> float:
    target = np.dot(estimate, reference) / np.dot(reference, reference) * reference
    return 10 * np.log10(np.sum(target**2) / np.sum((estimate - target) ** 2))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), noise=st.floats(0.01, 5.0))
def test_metrics_equal_their_definitions_in_plain_numpy(seed, noise):
    estimate, reference = _signals(seed, noise=noise)
    mixture = estimate + 0.5 * reference.flip(-1)
    for row in range(3):
        x, s, m = (part[row].double().numpy() for part in (estimate, reference, mixture))
        assert sdr_db(estimate, reference)[row].item() == pytest.approx(_slow_sdr(x, s), abs=1e-6)
        assert si_sdr_db(estimate, reference)[row].item() == pytest.approx(_slow_si_sdr(x, s), abs=1e-6)
        gain = _slow_sdr(x, s) - _slow_sdr(m, s)
        assert sdri_db(estimate, reference, mixture)[row].item() == pytest.approx(gain, abs=1e-6)
        gain = _slow_si_sdr(x, s) - _slow_si_sdr(m, s)
        assert si_sdri_db(estimate, reference, mixture)[row].item() == pytest.approx(gain, abs=1e-6)
        leaked = 10 * np.log10(np.sum(m**2) / np.sum(x**2))
        assert silence_sdr_db(estimate, mixture)[row].item() == pytest.approx(leaked, abs=1e-6)
        leaked = _slow_si_sdr(m - x, m)
        assert silence_si_sdr_db(estimate, mixture)[row].item() == pytest.approx(leaked, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), gain_db=st.floats(-60, 60))
def test_scale_invariant_metrics_do_not_see_the_level_of_the_estimate(seed, gain_db):
    estimate, reference = _signals(seed)
    scaled = estimate.double() * 10 ** (gain_db / 20)
    torch.testing.assert_close(si_sdr_db(scaled, reference), si_sdr_db(estimate, reference), atol=1e-6, rtol=0)
    torch.testing.assert_close(bss_sdr_db(scaled, reference), bss_sdr_db(estimate, reference), atol=1e-4, rtol=0)


@pytest.mark.parametrize("metric", PAIRWISE)
def test_scaling_both_signals_changes_nothing(metric):
    estimate, reference = _signals(1)
    torch.testing.assert_close(
        metric(0.01 * estimate, 0.01 * reference), metric(estimate, reference), atol=1e-3, rtol=0
    )


def test_a_wrong_level_costs_sdr_but_not_si_sdr():
    _, reference = _signals(2)
    assert sdr_db(0.5 * reference, reference)[0].item() == pytest.approx(20 * np.log10(2), abs=1e-6)
    assert si_sdr_db(0.5 * reference, reference)[0].item() == CEILING_DB


@pytest.mark.parametrize("metric", [sdr_db, si_sdr_db, bss_sdr_db])
def test_the_reference_itself_scores_at_or_near_the_ceiling(metric):
    _, reference = _signals(3)
    assert (metric(reference, reference) > 100).all()
    assert (metric(reference, reference) <= CEILING_DB).all()


@pytest.mark.parametrize("improvement", [sdri_db, si_sdri_db, bss_sdri_db])
def test_doing_nothing_improves_nothing(improvement):
    mixture, reference = _signals(4)
    assert improvement(mixture, reference, mixture).abs().max().item() == 0.0


def test_bss_sdr_is_the_published_torchmetrics_figure():
    estimate, reference = _signals(5)
    # Row by row: with several threads torch.linalg.solve fails on a batch (pytorch issue 142815).
    rows = zip(estimate.double(), reference.double(), strict=True)
    published = torch.stack([signal_distortion_ratio(one, ref) for one, ref in rows])
    torch.testing.assert_close(bss_sdr_db(estimate, reference), published)


def test_si_sdr_agrees_with_torchmetrics():
    estimate, reference = _signals(11)
    published = scale_invariant_signal_distortion_ratio(estimate.double(), reference.double())
    torch.testing.assert_close(si_sdr_db(estimate, reference), published, atol=1e-6, rtol=0)


def test_bss_sdr_forgives_a_filter_and_is_finite_for_a_pure_tone():
    _, reference = _signals(6)
    filtered = torch.nn.functional.conv1d(reference.unsqueeze(1), torch.tensor([[[1.0, 0.5, 0.0]]]), padding=1)[:, 0]
    assert (bss_sdr_db(filtered, reference) > 25).all()
    assert (sdr_db(filtered, reference) < 10).all()
    tone = torch.sin(torch.arange(8000) * 0.05).unsqueeze(0)
    assert torch.isfinite(bss_sdr_db(tone + 0.01 * torch.randn(1, 8000), tone)).all()
    assert torch.isfinite(bss_sdr_db(tone, tone)).all()
    ones = torch.ones(1, 8000)
    assert torch.isfinite(bss_sdr_db(ones, ones)).all()


@pytest.mark.parametrize("metric", [sdr_db, si_sdr_db, bss_sdr_db])
def test_silence_gives_the_documented_limits_and_leaves_other_rows_alone(metric):
    estimate, reference = _signals(7, batch=4)
    alone = metric(estimate[3:], reference[3:])
    estimate[0] = 0.0
    reference[1] = 0.0
    estimate[2] = reference[2] = 0.0
    value = metric(estimate, reference)
    assert value[0].item() == (0.0 if metric is sdr_db else FLOOR_DB)
    assert value[1].item() == FLOOR_DB
    assert value[2].item() == CEILING_DB
    assert value[3].item() == pytest.approx(alone[0].item(), abs=1e-9)


def test_silence_metrics_reach_the_ceiling_for_a_silent_estimate_and_zero_for_the_whole_mixture():
    _, mixture = _signals(8)
    assert (silence_sdr_db(torch.zeros_like(mixture), mixture) == CEILING_DB).all()
    assert (silence_si_sdr_db(torch.zeros_like(mixture), mixture) == CEILING_DB).all()
    assert silence_sdr_db(mixture, mixture).abs().max().item() == 0.0
    assert (silence_si_sdr_db(mixture, mixture) == FLOOR_DB).all()


@settings(deadline=None, max_examples=40)
@given(
    level=st.sampled_from([0.0, 1e-30, 1e-7, 1e-3, 1.0, 1e4]), other=st.sampled_from([0.0, 1e-30, 1e-7, 1e-3, 1.0, 1e4])
)
def test_finite_input_always_gives_a_value_within_the_limits(level, other):
    estimate, reference = _signals(9, batch=1)
    for metric in PAIRWISE:
        value = metric(level * estimate, other * reference)
        assert torch.isfinite(value).all()
        assert (value >= FLOOR_DB).all()
        assert (value <= CEILING_DB).all()


@pytest.mark.parametrize("metric", PAIRWISE)
def test_input_that_is_not_finite_is_not_hidden(metric):
    estimate, reference = _signals(10)
    estimate[1, 5] = torch.nan
    value = metric(estimate, reference)
    assert torch.isnan(value).tolist() == [False, True, False]


@pytest.mark.parametrize("metric", PAIRWISE)
def test_an_empty_batch_gives_an_empty_result(metric):
    assert metric(torch.zeros(0, 100), torch.zeros(0, 100)).shape == (0,)
