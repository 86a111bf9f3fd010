"""Pre-training runs from nothing to weights that load; at a few steps it proves the path, not the quality."""

import numpy as np
import pytest

from data_specs.labels import label_table
from models.checkpoints import load_clap, load_separator
from pipeline.event_bank import EventBank
from pipeline.pretrain import PretrainConfig, _clap_batch, pretrain


@pytest.fixture(scope="module")
def config():
    config = PretrainConfig(variants=1, event_duration_s=1.0, clap_steps=2, clap_batch=4, clap_other_labels=8)
    train = config.train.model_copy(
        update={"steps": 2, "batch_size": 2, "validate_every": 1, "validation_mixtures": 8, "bf16": False}
    )
    return config.model_copy(update={"train": train, "refine": train})


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


def test_weights_come_out_and_load(config, scratch, tmp_path):
    pretrain(tmp_path, config, scratch=scratch)
    clap, separator = load_clap(str(tmp_path)), load_separator(str(tmp_path))
    assert separator.config == config.separator
    assert clap.config == config.clap
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 10_000_000


def test_a_text_is_right_for_its_label_and_for_what_contains_it(config, scratch):
    bank = EventBank.render(scratch, variants=1, duration_s=1.0, sample_rate_hz=32_000, seed=0)
    wide = config.model_copy(update={"clap_other_labels": 527 - len(bank.labels), "clap_batch": 8})
    audio, texts, heard = _clap_batch(bank, 16_000, wide, np.random.default_rng(0))
    assert audio.shape == (8, 16_000)
    assert heard.shape == (8, len(texts)) == (8, 527)
    own = heard[:, : len(bank.labels)].sum(dim=1)
    assert ((own >= 1) & (own <= 3)).all()
    assert heard[:, len(bank.labels) :].any(), "ancestors of a heard label are heard too"
    assert len(set(label_table().names)) == 527
