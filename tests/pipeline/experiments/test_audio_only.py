"""The comparison of audio queries: every manipulation has its row, and all rows learn the task of the paper."""

from itertools import islice
from typing import get_args

import numpy as np
import pytest
import torch

from data_specs.objectives import ManipulationKind
from models.checkpoints import load_clap
from models.label_separator import LabelSeparator
from models.query_encoders import TinyClapEncoder
from pipeline.audio_queries import AudioQuerySampler
from pipeline.experiments.audio_only import AUDIO_ONLY, REPORT, USUAL
from pipeline.experiments.families import QueriedFamily, untrained
from pipeline.experiments.family_runs import by_sound
from pipeline.experiments.family_summary import figure, table
from pipeline.scoring import EvalMixture, EvalTarget
from tests.pipeline.sounds import TonePool


def test_every_manipulation_is_compared_and_text_with_those_that_suit_it():
    kinds = {name: family.train_config.audio_query.kind for name, family in AUDIO_ONLY.items() if "audio" in name}
    assert set(kinds.values()) == set(get_args(ManipulationKind))
    assert len(kinds) == len(set(kinds.values()))
    assert {AUDIO_ONLY[f"text-{kind}"].train_config.text_query.kind for kind in ("noise", "dropout")} == {
        "noise",
        "dropout",
    }
    assert set(USUAL) <= set(AUDIO_ONLY)


def test_projections_go_with_the_network():
    projections = {name: family.network.query_projection for name, family in AUDIO_ONLY.items()}
    assert {name for name, one in projections.items() if one != "none"} == {"audio-pca", "audio-pca-inverse"}
    assert projections["audio-pca-inverse"] == "pca_inverse"


def test_the_task_is_two_sounds_asked_for_by_a_positive_query():
    family = AUDIO_ONLY["audio"]
    assert isinstance(family, QueriedFamily)
    pool = TonePool([("Bark",), ("Rain",), ("Siren",), ("Chime",)])
    sampler = AudioQuerySampler(pool, family.train_config, length=4_000, seed=0)
    for sample in islice(sampler, 20):
        assert len(sample.sounds) == 3  # two in the mixture, and one that is not
        np.testing.assert_allclose(sample.targets.sum(axis=0), sample.mixture, atol=1e-6)
        assert all(query.positive in (0, 1) and not query.negatives for query in sample.queries)


def test_asked_by_sound_without_negatives_is_another_question():
    encoder = TinyClapEncoder(load_clap("embedded"))
    separator = LabelSeparator(untrained(AUDIO_ONLY["audio"].network, encoder, seed=0), encoder, "test")
    tones = [torch.sin(2 * torch.pi * hz * torch.arange(32_000) / 32_000) for hz in (300, 2_000)]
    targets = tuple(EvalTarget(label, tone) for label, tone in zip(("Bark", "Rain"), tones, strict=True))
    mixtures = [EvalMixture("two tones", tones[0] + tones[1], targets)]
    alone, both = (by_sound(separator, encoder, mixtures, negatives=one) for one in (False, True))
    assert np.isfinite([alone, both]).all()
    assert alone != pytest.approx(both, abs=1e-6)


def test_table_and_figure_show_what_it_is_about():
    run = {"family": "audio", "seed": 0, "steps": 3, "seconds": 1.0, "parameters": 4_000_000}
    run |= {"pos_si_sdri_db": 1.5, "pos_sound_si_sdri_db": 4.25, "last_loss": -5.0, "single_source_db": 12.0}
    settings = {"minutes": 3, "train_scenes": 200, "test_scenes": 40, "sources": "builtin"}
    shown = table({"audio": [run]}, {"audio": "tracks"}, settings, REPORT)
    assert (
        "| queries in training | SI-SDRi, asked by text | SI-SDRi, asked by sound | loss at the end | single source |"
        in shown
    )
    assert "| 1.50 ± 0.00 | 4.25 ± 0.00 | -5.00 ± 0.00 | 12.00 ± 0.00 |" in shown
    assert b"<svg" in figure({"audio": [run]}, REPORT)
