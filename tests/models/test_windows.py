"""Long input: windows cover it, meet without a seam, and change nothing where only one is heard."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.windows import in_windows, window_starts


@given(length=st.integers(1, 10_000), size=st.integers(8, 1000), share=st.floats(0.0, 0.25))
def test_windows_cover_the_input_and_neighbours_share_enough(length, size, share):
    overlap = max(1, int(share * size))
    starts = window_starts(length, size=size, overlap=overlap)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - size)
    assert all(start + size - following >= overlap for start, following in pairwise(starts))


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, 2000), size=st.integers(20, 400), share=st.floats(0.0, 0.25))
def test_what_leaves_windows_as_they_are_leaves_the_input_as_it_is(length, size, share):
    mixture, gains, overlap = torch.randn(2, length), torch.tensor([[1.0], [-2.0]]), max(1, int(share * size))
    tracks = in_windows(lambda window: window[:, None] * gains, mixture, size=size, overlap=overlap)
    torch.testing.assert_close(tracks, mixture[:, None] * gains)


def test_between_the_seams_one_window_is_heard_alone():
    """Every window answers with its own number; a seam is half of the way from one to the next."""
    numbers = iter(range(1, 4))

    def numbered(window: torch.Tensor) -> torch.Tensor:
        return torch.full_like(window.unsqueeze(1), next(numbers))

    tracks = in_windows(numbered, torch.zeros(1, 280), size=100, overlap=10)[0, 0]
    assert window_starts(280, size=100, overlap=10) == [0, 90, 180]
    assert tracks[:90].tolist() == [1] * 90
    assert tracks[100:180].tolist() == [2] * 80
    assert tracks[190:].tolist() == [3] * 90
    assert tracks[90:100].diff().min() > 0
    assert float(tracks[94] + tracks[95]) == pytest.approx(3.0)
