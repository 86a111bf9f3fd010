"""Scenes sum to their mixture and are made again from their recipes."""

import itertools

import numpy as np
import pytest

from data_specs.config import SoundscapeConfig
from data_specs.errors import UserError
from data_specs.labels import label_table
from data_specs.soundscapes import BuiltinSource, SceneRecipe, compose_scene, remake_scene
from data_specs.soundscapes.scenes import active_rms, draw_labels

RATE = 16_000
DEFAULT = SoundscapeConfig()
EVERYTHING = SoundscapeConfig(room_probability=1.0, background_probability=1.0)
DRY = SoundscapeConfig(room_probability=0.0, background_probability=0.0)


def compose(seed, config=DEFAULT, duration_s=2.0):
    return compose_scene(BuiltinSource(), seed=seed, config=config, duration_s=duration_s, sample_rate_hz=RATE)


@pytest.mark.parametrize("seed", range(6))
def test_tracks_and_background_sum_to_the_mixture(seed):
    scene = compose(seed, EVERYTHING if seed % 2 else DRY)
    total = np.sum([track.waveform for track in scene.tracks], axis=0) + scene.background_or_silence
    np.testing.assert_allclose(total, scene.mixture, atol=1e-6)
    assert scene.mixture.dtype == np.float32
    assert scene.mixture.shape == (2 * RATE,)
    assert (scene.background is not None) == bool(seed % 2)
    parts = [scene.mixture, scene.background_or_silence, *(track.waveform for track in scene.tracks)]
    assert max(np.abs(part).max() for part in parts) == pytest.approx(scene.recipe.peak, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_a_scene_is_made_again_from_its_recipe_as_json(seed):
    scene = compose(seed)
    again = remake_scene(SceneRecipe.model_validate_json(scene.recipe.model_dump_json()), BuiltinSource())
    assert again.recipe == scene.recipe
    np.testing.assert_array_equal(again.mixture, scene.mixture)
    for track, other in zip(again.tracks, scene.tracks, strict=True):
        assert track.label == other.label
        np.testing.assert_array_equal(track.waveform, other.waveform)


def test_seeds_give_different_scenes_and_one_seed_the_same():
    first, again, other = compose(1), compose(1), compose(2)
    np.testing.assert_array_equal(first.mixture, again.mixture)
    assert not np.array_equal(first.mixture, other.mixture)


def test_labels_of_a_scene_are_two_to_four_and_unrelated():
    config = SoundscapeConfig()
    counts = set()
    for seed in range(60):
        labels = draw_labels(label_table().names, np.random.default_rng(seed), config)
        counts.add(len(labels))
        assert not any(label_table().related(a, b) for a, b in itertools.combinations(labels, 2))
    assert counts == {2, 3, 4}


def test_a_broad_class_among_few_labels_does_not_stand_in_the_way():
    config = SoundscapeConfig(labels_min=2, labels_max=2)
    for seed in range(20):
        assert set(draw_labels(["Animal", "Bark", "Meow"], np.random.default_rng(seed), config)) == {"Bark", "Meow"}


def test_too_few_unrelated_labels_are_a_user_error():
    with pytest.raises(UserError, match="2 unrelated labels"):
        compose_scene(BuiltinSource(["Bark"]), seed=0, config=SoundscapeConfig(), duration_s=1.0, sample_rate_hz=RATE)


def test_gains_are_levels_relative_to_the_first_track():
    scene = compose(3, DRY.model_copy(update={"labels_min": 2, "labels_max": 2}))
    first, second = (active_rms(track.waveform, RATE) for track in scene.tracks)
    assert 20 * np.log10(second / first) == pytest.approx(scene.recipe.tracks[1].gain_db, abs=0.05)


def test_the_configured_distribution_is_followed():
    full = DRY.model_copy(update={"full_length_probability": 1.0, "labels_min": 1, "labels_max": 1})
    short = full.model_copy(update={"full_length_probability": 0.0})
    for seed in range(5):
        assert compose(seed, full).recipe.tracks[0].onset_s == 0.0
        track = compose(seed, short).recipe.tracks[0]
        length_s = float(track.origin["duration_s"])
        assert 0.4 <= length_s <= 1.6
        assert track.onset_s + length_s <= 2.0 + 1e-3
        assert compose(seed, full).recipe.room is None


@pytest.mark.parametrize("duration_s", [0.3, 0.75])
def test_very_short_scenes_work(duration_s):
    scene = compose(0, EVERYTHING, duration_s)
    assert scene.mixture.shape == (round(duration_s * RATE),)
    assert np.isfinite(scene.mixture).all()
