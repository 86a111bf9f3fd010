"""A configuration's separator: ours, CLAPSep's, or an untrained one; and what goes with what."""

import pytest
import torch

from data_specs.config import ClapConfig, ModelConfig, SeparatorConfig, load_config
from data_specs.errors import UserError
from models.checkpoints import checkpoint_hash, load_separator, save_clap, save_separator
from models.clap import TinyClap
from models.label_separator import LabelSeparator
from models.separator import Separator
from models.starting_point import model_for, starting_hash, starting_separator
from tests.models.test_published import SMALL


@pytest.fixture
def golden(shared_data):
    return str(shared_data / "golden" / "clapsep_tiny_state.safetensors")


def test_a_folder_of_ours_is_loaded_as_it_is(tmp_path):
    separator = Separator(SeparatorConfig(mask_layers=1))
    save_separator(separator, tmp_path)
    config = ModelConfig(checkpoint=str(tmp_path), architecture=SMALL)
    found = starting_separator(config)
    assert found.config == separator.config
    assert starting_hash(config) == checkpoint_hash(str(tmp_path))


def test_labels_are_separated_with_a_published_checkpoint_and_a_clap_that_fits(golden, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_clap(TinyClap(ClapConfig(embedding_dim=SMALL.query_dim)), tmp_path)
    config = ModelConfig(checkpoint=golden, architecture=SMALL, clap=str(tmp_path))
    separator = LabelSeparator.load(config)
    assert separator.separate(0.1 * torch.randn(64_000), ["Bark", "Rain"]).shape == (2, 64_000)
    assert separator.checkpoint_hash == starting_hash(config)
    other_size = config.model_copy(update={"architecture": SMALL.model_copy(update={"window_s": 5.0})})
    assert starting_hash(other_size) != starting_hash(config)


def test_a_query_encoder_of_another_size_is_refused(golden, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"expects queries of size 32, found 128 .*model\.clap"):
        LabelSeparator.load(ModelConfig(checkpoint=golden, architecture=SMALL))


def test_an_untrained_separator_needs_the_published_encoder():
    with pytest.raises(UserError, match=r"'untrained' needs a LAION-CLAP checkpoint as model\.clap"):
        starting_separator(ModelConfig(checkpoint="untrained"))


def test_a_checkpoint_named_alone_is_of_the_paper_s_size_unless_a_folder_says_its_own(golden, tmp_path):
    full = load_config("full").model
    assert model_for("embedded") == ModelConfig()
    assert model_for(str(tmp_path)) == ModelConfig(checkpoint=str(tmp_path))
    assert model_for("clapsep") == full
    assert model_for(golden, clap="some.pt") == full.model_copy(update={"checkpoint": golden, "clap": "some.pt"})


def test_paths_in_the_configuration_start_from_its_folder_and_names_stay_names(tmp_path):
    (tmp_path / "best_model.ckpt").write_bytes(b"")
    (tmp_path / "corpus.yaml").write_text("preset: full\nmodel: {checkpoint: best_model.ckpt, clap: laion-clap}\n")
    model = load_config(str(tmp_path / "corpus.yaml")).model
    assert model.checkpoint == str(tmp_path / "best_model.ckpt")
    assert model.clap == "laion-clap"


def test_the_weights_survive_becoming_a_checkpoint_of_ours(golden, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    separator = starting_separator(ModelConfig(checkpoint=golden, architecture=SMALL))
    save_separator(separator, tmp_path / "ours")
    loaded = load_separator(str(tmp_path / "ours"))
    assert loaded.config == SMALL
    for name, tensor in separator.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
