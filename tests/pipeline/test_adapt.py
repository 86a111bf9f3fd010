"""The embedded CLAP learns the sounds of a few clips, texts stay where they are, and what was heard is no test."""

import numpy as np
import pytest
import soundfile
import torch

from data_specs.errors import UserError
from data_specs.records import Clip
from models.checkpoints import load_clap
from models.query_encoders import TinyClapEncoder, load_query_encoder
from pipeline.adapt import AdaptConfig, AdaptedOn, adapted, check_unheard, save_adapted
from pipeline.encoder_gap import clip_sounds, gap_of
from pipeline.experiments.family_runs import FamilyExperiment, run_families

RATE_HZ = 32_000
BANDS_HZ = {"Rain": (80, 300), "Bark": (800, 2000), "Siren": (5000, 12_000)}
"""Noise in bands: no sounds that the embedded CLAP would take for these labels."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    found = []
    frequency_hz = np.fft.rfftfreq(5 * RATE_HZ, 1 / RATE_HZ)
    for number, (label, (low, high)) in enumerate(BANDS_HZ.items()):
        spectrum = np.fft.rfft(np.random.default_rng(number).normal(size=5 * RATE_HZ))
        noise = np.fft.irfft(spectrum * ((frequency_hz > low) & (frequency_hz < high)))
        path = folder / f"{label}.wav"
        soundfile.write(path, 0.2 * noise / np.abs(noise).max(), RATE_HZ)
        found.append(Clip(clip_id=label, path=str(path), labels=(label,), duration_s=5.0))
    return found


@pytest.fixture(scope="module")
def taught(clips):
    return adapted(load_clap("embedded"), clips, AdaptConfig(steps=40, batch_size=6, share=1.0))


def test_sounds_are_learned_and_texts_stay_where_they_are(clips, taught):
    sounds = list(clip_sounds(clips, sample_rate_hz=RATE_HZ))
    before, after = (gap_of(sounds, TinyClapEncoder(clap)) for clap in (load_clap("embedded"), taught))
    assert after["own_is_nearest"] > before["own_is_nearest"]
    assert after["matching_cosine"] > before["matching_cosine"] + 0.4
    texts = ["Rain", "a dog barking"]
    with torch.inference_mode():
        assert torch.equal(taught.embed_text(texts), load_clap("embedded").embed_text(texts))


def test_weights_go_a_share_of_the_way(clips):
    def change(share: float) -> torch.Tensor:
        clap = adapted(load_clap("embedded"), clips, AdaptConfig(steps=2, batch_size=2, share=share))
        return clap.audio_projection[0].weight - load_clap("embedded").audio_projection[0].weight

    all_the_way = change(1.0)
    assert all_the_way.abs().max() > 1e-6
    torch.testing.assert_close(change(0.25), 0.25 * all_the_way, atol=1e-6, rtol=1e-2)


def test_two_labels_are_too_few(clips):
    with pytest.raises(UserError, match="three labels or more, these have 2"):
        adapted(load_clap("embedded"), clips[:2], AdaptConfig(steps=1))


def test_what_an_encoder_has_heard_is_no_test(taught, tmp_path):
    sources = str(tmp_path / "clips.csv")
    save_adapted(taught, tmp_path, AdaptedOn(sources=sources, splits=("a", "b")))
    assert load_query_encoder(str(tmp_path)).dim == taught.config.embedding_dim
    check_unheard("embedded", sources, ["a"])
    check_unheard(str(tmp_path), sources, ["c"])
    check_unheard(str(tmp_path), str(tmp_path / "other.csv"), ["a"])
    asked = FamilyExperiment(sources=sources, train_splits=("c",), test_splits=("b",), clap=str(tmp_path))
    with pytest.raises(UserError, match=r"adapted on b of .*clips.csv: test on another split"):
        run_families(asked, tmp_path / "out")
    save_adapted(taught, tmp_path, AdaptedOn(sources=sources, splits=()))  # the whole list
    with pytest.raises(UserError, match="adapted on c"):
        check_unheard(str(tmp_path), sources, ["c"])
