"""Checkpoints come back as they were, and a bad one is refused with one line that says why."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from data_specs.config import ClapConfig, SeparatorConfig
from data_specs.errors import UserError
from data_specs.unconditional import TDCNConfig
from models.checkpoints import (
    UNCONDITIONAL_FILES,
    checkpoint_hash,
    load_clap,
    load_separator,
    load_unconditional,
    save_clap,
    save_separator,
    save_unconditional,
)
from models.clap import TinyClap
from models.separator import Separator
from models.tdcn import TDCN


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_separator(Separator(SeparatorConfig(mask_layers=1)), tmp_path)
    return tmp_path


def test_a_separator_comes_back_as_it_was(tmp_path):
    separator = Separator(SeparatorConfig(mask_layers=1)).eval()
    save_separator(separator, tmp_path)
    loaded = load_separator(str(tmp_path))
    assert loaded.config == separator.config
    for name, weight in separator.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name


def test_a_clap_comes_back_as_it_was(tmp_path):
    clap = TinyClap(ClapConfig()).eval()
    save_clap(clap, tmp_path)
    with torch.no_grad():
        assert torch.equal(load_clap(str(tmp_path)).embed_text(["rain"]), clap.embed_text(["rain"]))


def test_an_unconditional_separator_comes_back_as_it_was(tmp_path):
    model = TDCN(TDCNConfig(outputs=3, blocks=2)).eval()
    save_unconditional(model, tmp_path)
    mixture = torch.randn(1, 4000)
    with torch.no_grad():
        assert torch.equal(load_unconditional(str(tmp_path))(mixture), model(mixture))
    before = checkpoint_hash(str(tmp_path), UNCONDITIONAL_FILES)
    save_unconditional(TDCN(TDCNConfig(outputs=3, blocks=2)), tmp_path)
    assert checkpoint_hash(str(tmp_path), UNCONDITIONAL_FILES) != before


def test_half_precision_files_load_as_full_precision(tmp_path):
    save_separator(Separator(SeparatorConfig()), tmp_path, torch.float16)
    assert {weight.dtype for weight in load_separator(str(tmp_path)).parameters()} == {torch.float32}


def test_the_hash_follows_the_weights(folder):
    before = checkpoint_hash(str(folder))
    assert before == checkpoint_hash(str(folder))
    save_separator(Separator(SeparatorConfig(mask_layers=1)), folder)
    assert checkpoint_hash(str(folder)) != before


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(UserError, match=r"config\.json is missing"):
        load_separator(str(tmp_path / "nowhere"))


def test_a_truncated_file_is_refused(folder):
    weights = folder / "separator.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_separator(str(folder))


@pytest.mark.parametrize("change", ["missing", "left over", "another size"])
def test_weights_of_another_architecture_name_the_difference(folder, change):
    path = folder / "separator.safetensors"
    weights = load_file(path)
    name = "mask_net.rest.2.bias"
    if change == "missing":
        del weights[name]
    elif change == "left over":
        weights["surplus"] = torch.zeros(1)
    else:
        weights[name] = torch.zeros(7)
    save_file(weights, path)
    with pytest.raises(UserError, match=change):
        load_separator(str(folder))


@pytest.mark.parametrize("content", ["not json", json.dumps({"widht": 3}), "[]"])
def test_a_bad_configuration_is_refused(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(UserError, match="does not describe a network that can be built"):
        load_separator(str(folder))
