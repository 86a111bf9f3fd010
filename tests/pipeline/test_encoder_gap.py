"""The modality gap on sounds: built-in ones, and clips of which some cannot be read."""

import numpy as np
import soundfile

from data_specs.records import Clip
from models.query_encoders import load_query_encoder
from pipeline.encoder_gap import builtin_sounds, clip_sounds, gap_of


def test_sounds_fit_their_own_labels_better_than_others_but_not_fully():
    gap = gap_of(builtin_sounds(sample_rate_hz=32_000, most=12), load_query_encoder("embedded"))
    assert gap["sounds"] == 12
    assert gap["other_cosine"] < 0.2 < gap["matching_cosine"] < 0.9


def test_clips_that_cannot_be_read_are_left_out_and_none_is_no_gap(tmp_path):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.ones(16_000), 32_000)
    clips = [
        Clip(clip_id=name, path=str(tmp_path / f"{name}.wav"), labels=("Rain",), duration_s=0.5) for name in ("a", "b")
    ]
    assert [label for label, _ in clip_sounds(clips, sample_rate_hz=32_000)] == ["Rain"]
    assert gap_of([], load_query_encoder("embedded")) == {}
