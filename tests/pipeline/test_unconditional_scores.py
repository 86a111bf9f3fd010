"""Scores of unconditional separation: what over-separation costs, and which estimate counts for which source."""

import pytest
import torch

from pipeline.metrics import CEILING_DB, si_sdr_db
from pipeline.unconditional_scores import (
    active_estimates,
    multi_source_si_sdri_db,
    score_unconditional,
    single_source_si_sdr_db,
)


@pytest.fixture
def sources():
    return torch.randn(3, 4000, generator=torch.Generator().manual_seed(0))


class Fixed(torch.nn.Module):
    """Gives the same estimates (M, T) for everything."""

    def __init__(self, estimates):
        super().__init__()
        self.estimates = estimates

    def forward(self, mixture):
        return self.estimates.unsqueeze(0)


def test_a_single_source_that_is_broken_up_scores_what_its_best_piece_scores(sources):
    source, noise = sources[0], sources[1]
    pieces = torch.stack([0.5 * source + 0.5 * noise, 0.5 * source - 0.5 * noise])
    assert single_source_si_sdr_db(pieces, source) == pytest.approx(0, abs=0.5)
    assert single_source_si_sdr_db(torch.stack([source, 0 * source]), source) == CEILING_DB


def test_every_source_is_paired_with_an_estimate_of_its_own(sources):
    estimates = torch.stack([sources[2], 0.1 * sources[0] + 0.001 * sources[1], sources[1], sources[0] + sources[2]])
    gains = multi_source_si_sdri_db(estimates, sources)
    mixture = sources.sum(dim=0, keepdim=True)
    expected = si_sdr_db(estimates[[1, 2, 0]], sources) - si_sdr_db(mixture.expand_as(sources), sources)
    assert gains == pytest.approx(expected.tolist())


def test_estimates_that_are_the_mixture_improve_nothing(sources):
    estimates = sources.sum(dim=0).expand(4, -1)
    assert multi_source_si_sdri_db(estimates, sources) == pytest.approx([0, 0, 0], abs=1e-6)


def test_more_sources_than_estimates_are_refused(sources):
    with pytest.raises(ValueError, match="3 sources cannot each have one of 2"):
        multi_source_si_sdri_db(sources[:2], sources)


def test_estimates_count_as_active_down_to_20_db_below_all(sources):
    assert active_estimates(torch.stack([sources[0], 0.2 * sources[1], 0.01 * sources[2]])) == 2
    assert active_estimates(torch.zeros(3, 100)) == 0


def test_scenes_of_one_source_and_of_several_are_told_apart(sources):
    scores = score_unconditional(Fixed(sources), [sources[:1], sources[:2], sources])
    assert scores["single_source_si_sdr_db"] == {"mean": CEILING_DB, "std": 0.0, "median": CEILING_DB, "n": 1}
    assert scores["multi_source_si_sdri_db"]["n"] == 5
    assert scores["active_estimates_multi"]["mean"] == 3
