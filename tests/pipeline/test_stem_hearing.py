"""Whether a track holds what its label says."""

import numpy as np
import pytest
import torch

from models.query_encoders import load_query_encoder
from pipeline.stem_hearing import Fit, LoudestSpans, evidence_db, verdict

RATE_HZ = 16_000


@pytest.mark.parametrize(
    ("share_db", "fit", "heard"),
    [(-3.0, 2.5, "yes"), (-10.0, 1.0, "perhaps"), (-40.0, 2.5, "no"), (-6.0, -3.0, "no"), (-np.inf, 2.5, "no")],
)
def test_a_label_is_heard_when_it_fits_and_its_track_is_no_trace(share_db, fit, heard):
    evidence = evidence_db(energy_share_db=share_db, fit=Fit(recording=fit, track=fit, residual=0.0))
    assert verdict(evidence) == heard


class Levels:
    """An encoder for which a text is a level: audio of that level fits it."""

    dim = 2

    def embed_text(self, texts):
        return torch.tensor([[1.0, 0.0] if text == "loud" else [0.0, 1.0] for text in texts])

    def embed_audio(self, waveforms):
        loud = (waveforms.square().mean(dim=1) > 0.01).float()
        return torch.stack([loud, 1 - loud], dim=1)


def test_the_piece_where_the_track_is_loudest_is_judged():
    spans = LoudestSpans(tracks=1)
    for level in (0.0, 0.5, 0.05):
        mixture = np.full((RATE_HZ, 1), level, np.float32)
        spans.add(mixture, mixture[None])
    (fit,) = spans.fits(["loud"], Levels(), sample_rate_hz=RATE_HZ)
    assert fit.recording > 0 > fit.residual


def test_silence_has_a_finite_fit():
    spans = LoudestSpans(tracks=2)
    spans.add(np.zeros((50, 2), np.float32), np.zeros((2, 50, 2), np.float32))
    fits = spans.fits(["Bark", "a dog"], load_query_encoder("embedded"), sample_rate_hz=RATE_HZ)
    assert all(np.isfinite([fit.recording, fit.track, fit.residual]).all() for fit in fits)
