"""The detector of cuts learns from waveforms alone, and tells cuts from sources and from leaky separations."""

import numpy as np
import pytest
import torch

from data_specs.soundscapes import render_event
from pipeline.cuts import CUT_SCORES, CUTS, CutDetector
from pipeline.evidence import waveform_evidence
from pipeline.metrics import si_sdr_db
from pipeline.partitions import RIGHT, leaky_truth, one_and_mixture
from pipeline.quality import CalibrationTrack

RATE_HZ = 16_000
LABELS = ("Siren", "Rain", "Bark", "Church bell", "Chainsaw", "Meow", "Piano", "Crackle")
OTHERS = {**RIGHT, "leaky truth": leaky_truth, "one and mixture": one_and_mixture}
GOOD_DB = 5.0


def tracks_of(seed: int) -> list[CalibrationTrack]:
    """Tracks of all partitions of one scene of two events."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(LABELS)[:2].tolist()
    events = [render_event(label, seed=seed, duration_s=2.0, sample_rate_hz=RATE_HZ) for label in labels]
    truth = np.stack([0.1 * event / np.std(event) for event in events]).astype(np.float32)
    found = []
    for name, divide in {**CUTS, **OTHERS}.items():
        tracks = torch.from_numpy(np.ascontiguousarray(divide(truth, rng)))
        clip = waveform_evidence(torch.from_numpy(truth.sum(axis=0)), labels, tracks)
        for scores, level_db in zip(clip.scores, si_sdr_db(tracks, torch.from_numpy(truth)).tolist(), strict=True):
            found.append(CalibrationTrack(scores, level_db, 0.0, labels[0], f"{seed}", origin=name))
    return found


@pytest.fixture(scope="module")
def detector() -> CutDetector:
    found = CutDetector.fit([track for seed in range(40) for track in tracks_of(seed)], good_db=GOOD_DB)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def unheard() -> list[CalibrationTrack]:
    return [track for seed in range(1000, 1020) for track in tracks_of(seed)]


def test_cuts_of_unheard_scenes_are_found(detector, unheard):
    cuts = [track for track in unheard if track.origin in CUTS and track.si_sdr_db <= GOOD_DB]
    assert np.mean(np.array(detector.probability([track.scores for track in cuts])) >= 0.4) >= 0.95


def test_sources_and_leaky_separations_are_not_taken_for_cuts(detector, unheard):
    sound = [track for track in unheard if track.origin in (*RIGHT, "leaky truth")]
    assert np.mean(np.array(detector.probability([track.scores for track in sound])) >= 0.4) <= 0.15


def test_scores_that_are_missing_count_as_nothing(detector):
    assert detector.probability([]) == []
    (probability,) = detector.probability([dict.fromkeys(CUT_SCORES)])
    assert 0 <= probability <= 1


def test_without_cuts_or_without_anything_else_there_is_no_detector(unheard):
    cuts = [track for track in unheard if track.origin in CUTS]
    rest = [track for track in unheard if track.origin not in CUTS]
    assert CutDetector.fit(cuts, good_db=1000.0) is None
    assert CutDetector.fit(rest, good_db=GOOD_DB) is None
    assert CutDetector.fit([], good_db=GOOD_DB) is None
