"""Every built-in event model, at several rates and durations."""

import numpy as np
import pytest

from data_specs.labels import label_table
from data_specs.soundscapes import EVENTS, render_event

ESC10 = {
    "Bark",
    "Rain",
    "Waves, surf",
    "Baby cry, infant cry",
    "Tick-tock",
    "Sneeze",
    "Helicopter",
    "Chainsaw",
    "Crowing, cock-a-doodle-doo",
    "Crackle",
}


@pytest.mark.parametrize("label", EVENTS)
@pytest.mark.parametrize(("duration_s", "rate"), [(0.3, 8_000), (0.3, 32_000), (1.0, 44_100), (2.5, 16_000)])
def test_an_event_has_the_length_asked_for_is_finite_and_sounds(label, duration_s, rate):
    event = render_event(label, seed=5, duration_s=duration_s, sample_rate_hz=rate)
    assert event.dtype == np.float32
    assert event.shape == (round(duration_s * rate),)
    assert np.isfinite(event).all()
    assert 0.5 < np.abs(event).max() <= 1.0
    assert np.sqrt(np.mean(event**2)) > 1e-3


@pytest.mark.parametrize("label", EVENTS)
def test_an_event_depends_on_its_seed_and_on_nothing_else(label):
    first, again, other = (render_event(label, seed=seed, duration_s=0.8, sample_rate_hz=16_000) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.5


def test_labels_are_audioset_classes_that_do_not_contain_each_other():
    table = label_table()
    labels = list(EVENTS)
    assert set(labels) <= set(table.names)
    assert set(labels) >= ESC10
    assert len(labels) >= 24
    assert not [(a, b) for a in labels for b in labels if a < b and table.related(a, b)]


def test_an_unknown_label_is_a_key_error():
    with pytest.raises(KeyError, match="Unicorn"):
        render_event("Unicorn", seed=0, duration_s=1.0, sample_rate_hz=16_000)
