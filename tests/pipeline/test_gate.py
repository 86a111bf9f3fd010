"""The paper's gate: both scores above a threshold, one decision per track."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_specs.config import GateConfig
from pipeline.gate import PaperGate
from pipeline.remix import RemixScores

GATE = PaperGate(GateConfig())


def decide(re_sdr_db: float, re_si_sdr_db: float, tracks: int = 2):
    return GATE.decide(RemixScores(re_sdr_db, re_si_sdr_db, (0.0,) * tracks))


@pytest.mark.parametrize(
    ("re_sdr_db", "re_si_sdr_db", "tier", "reason"),
    [
        (15.1, 15.1, "sst", ""),
        (15.0, 20.0, "itt", ""),
        (20.0, 10.1, "itt", ""),
        (10.0, 20.0, "rejected", "Re-SDR not above 10 dB"),
        (20.0, 10.0, "rejected", "Re-SISDR not above 10 dB"),
        (9.0, 8.0, "rejected", "Re-SDR and Re-SISDR not above 10 dB"),
    ],
)
def test_both_scores_must_exceed_the_threshold(re_sdr_db, re_si_sdr_db, tier, reason):
    assert set(decide(re_sdr_db, re_si_sdr_db)) == {(tier, reason)}


@given(re_sdr_db=st.floats(-60, 120), re_si_sdr_db=st.floats(-60, 120), tracks=st.integers(1, 5))
def test_every_track_gets_a_decision_and_only_rejections_have_reasons(re_sdr_db, re_si_sdr_db, tracks):
    decisions = decide(re_sdr_db, re_si_sdr_db, tracks)
    assert len(decisions) == tracks
    assert all((decision.tier == "rejected") == bool(decision.reason) for decision in decisions)
