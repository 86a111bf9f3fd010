"""Scores of waveforms tell sources from wrong partitions, and are finite whatever comes."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.partitions import WRONG, all_to_one, equal_shares, frequency_bands, swapped_labels, time_parts
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

LENGTH = 16_000


def sources() -> torch.Tensor:
    """A low tone that stops half-way and steady high noise, (2, T)."""
    time = torch.arange(LENGTH) / 16_000
    low = torch.sin(2 * torch.pi * 300 * time) * (time < 0.5)
    noise = torch.randn(LENGTH, generator=torch.Generator().manual_seed(0)) * 0.3
    high = torch.fft.irfft(torch.fft.rfft(noise) * (torch.fft.rfftfreq(LENGTH, 1 / 16_000) > 3000))
    return torch.stack([low, high])


def all_scores(tracks: torch.Tensor, mixture: torch.Tensor) -> dict[str, torch.Tensor]:
    spectra, spectrum = magnitude_spectrogram(tracks), magnitude_spectrogram(mixture)
    return {
        "agreement": agreement_db(tracks.roll(1, 0), tracks),
        "spectral": spectral_overlap(spectra),
        "temporal": temporal_overlap(spectra),
        "long term": long_term_overlap(spectra),
        "onset": onset_overlap(spectra, spectrum),
        "over time": mask_variation(spectra, spectrum)[0],
        "over frequency": mask_variation(spectra, spectrum)[1],
        "margin": label_margin(agreements_db(tracks.roll(1, 0), tracks)),
        "order": torch.full((len(tracks),), order_margin(agreements_db(tracks.roll(1, 0), tracks))),
        "similarity": mixture_similarity(spectra, spectrum),
        "softness": softness(spectra, spectrum),
        "silence": silence_share(spectra, spectrum),
        "correlation": residual_correlation(tracks, mixture),
    }


def test_sources_of_their_own_do_not_overlap():
    truth = sources()
    scores = all_scores(truth, truth.sum(dim=0))
    assert scores["spectral"].max() < 0.1
    assert scores["softness"].max() < 0.1
    assert scores["correlation"].abs().max() < 0.05
    assert scores["silence"][0] == pytest.approx(0.5, abs=0.1)
    assert scores["silence"][1] < 0.05


def test_equal_shares_overlap_entirely():
    truth = sources()
    tracks = torch.from_numpy(equal_shares(truth.numpy(), np.random.default_rng(0)))
    scores = all_scores(tracks, truth.sum(dim=0))
    torch.testing.assert_close(scores["spectral"], torch.ones(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(scores["softness"], torch.full((2,), 0.5), atol=1e-2, rtol=0)
    torch.testing.assert_close(scores["correlation"], torch.ones(2), atol=1e-3, rtol=0)


def divided(partition) -> dict[str, torch.Tensor]:
    """Scores of the tracks of a wrong partition of two noises that come and go."""
    generator = torch.Generator().manual_seed(1)
    noises = torch.randn(2, LENGTH, generator=generator) * (
        torch.rand(2, 16, generator=generator) > 0.4
    ).repeat_interleave(LENGTH // 16, dim=1)
    tracks = torch.from_numpy(partition(noises.numpy(), np.random.default_rng(0)).astype(np.float32))
    return all_scores(tracks, noises.sum(dim=0))


def test_the_mask_of_bands_does_not_vary_over_time_and_that_of_parts_not_over_frequency():
    bands, parts = divided(frequency_bands), divided(time_parts)
    assert bands["over time"].max() < 0.05 < 0.5 < bands["over frequency"].min()
    assert parts["over frequency"].max() < 0.05 < 0.5 < parts["over time"].min()
    assert bands["long term"].max() < 0.1 < 0.9 < parts["long term"].min()


def test_parts_of_one_sound_begin_together():
    assert divided(frequency_bands)["onset"].min() > 0.5 > divided(lambda truth, rng: truth)["onset"].max()


def test_a_swapped_track_is_nearer_to_the_other_labels_answer():
    truth = sources()
    right, wrong = (torch.from_numpy(np.ascontiguousarray(one)) for one in (truth, swapped_labels(truth.numpy(), None)))
    answers = truth + 0.1 * truth.flip(0)
    assert label_margin(agreements_db(answers, right)).min() > 10
    torch.testing.assert_close(
        label_margin(agreements_db(answers, wrong)), -label_margin(agreements_db(answers, right)).flip(0)
    )
    assert order_margin(agreements_db(answers, right)) > 10
    assert order_margin(agreements_db(answers, wrong)) < -10


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_margin_of_an_order_is_that_over_all_other_orders(count):
    fit = torch.from_numpy(np.random.default_rng(count).standard_normal((count, count)))
    inner = [sum(fit[k, j] for k, j in enumerate(order)) for order in permutations(range(count))]
    expected = (inner[0] - max(inner[1:])) / count  # the first permutation is the order as it is
    assert order_margin(fit) == pytest.approx(float(expected))


def test_a_copy_of_the_mixture_is_like_the_mixture():
    truth = sources()
    tracks = torch.from_numpy(all_to_one(truth.numpy(), np.random.default_rng(0)))
    similarity = all_scores(tracks, truth.sum(dim=0))["similarity"]
    assert sorted(similarity.tolist()) == pytest.approx([0, 1], abs=1e-3)


def test_parts_in_time_share_no_frame():
    truth = sources()
    tracks = torch.from_numpy(time_parts(truth.numpy(), np.random.default_rng(0)))
    assert all_scores(tracks, truth.sum(dim=0))["temporal"].max() < 0.3


def test_agreement_is_the_si_sdr_of_the_other_answer():
    track = sources()[:1]
    assert agreement_db(2 * track, track).item() == 40.0
    noisy = track + track.norm() / LENGTH**0.5 * torch.randn(1, LENGTH, generator=torch.Generator().manual_seed(1))
    assert agreement_db(noisy, track).item() == pytest.approx(0.0, abs=0.3)


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 99),
    name=st.sampled_from(sorted(WRONG)),
    silent=st.booleans(),
    length=st.sampled_from([1, 700, 9000]),
)
def test_scores_are_finite_for_anything_finite(seed, name, silent, length):
    rng = np.random.default_rng(seed)
    truth = (rng.standard_normal((3, length)) * (0.0 if silent else 0.1)).astype(np.float32)
    tracks = torch.from_numpy(np.ascontiguousarray(WRONG[name](truth, rng)))
    for score in all_scores(tracks, torch.from_numpy(truth).sum(dim=0)).values():
        assert score.shape == (3,)
        assert torch.isfinite(score).all()


def test_a_track_alone_overlaps_with_nothing():
    spectra = magnitude_spectrogram(sources()[:1])
    assert spectral_overlap(spectra).tolist() == [0.0]
    assert temporal_overlap(spectra).tolist() == [0.0]
