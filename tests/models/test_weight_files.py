"""Weight files of either format are read as data; differences from what is expected are named."""

import pytest
import torch
from safetensors.torch import save_file

from data_specs.errors import UserError
from models.weight_files import fit, mismatch, read_weights

WEIGHTS = {"layer.weight": torch.arange(6.0).view(2, 3), "layer.count": torch.tensor(3)}


@pytest.mark.parametrize("kind", ["safetensors", "pytorch"])
def test_either_format_gives_the_tensors_by_name(tmp_path, kind):
    path = tmp_path / "weights.ckpt"
    save_file(WEIGHTS, path) if kind == "safetensors" else torch.save({"state_dict": WEIGHTS, "epoch": 3}, path)
    found = read_weights(path, "a checkpoint")
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in WEIGHTS.items())


@pytest.mark.parametrize("kind", ["safetensors", "pytorch"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused_in_one_line(tmp_path, kind, share):
    path = tmp_path / "weights"
    weights = {"layer.weight": torch.randn(200, 100)}
    save_file(weights, path) if kind == "safetensors" else torch.save(weights, path)
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    with pytest.raises(UserError, match=r"^expected a checkpoint at .*, found .*(damaged|cannot be read).*$"):
        read_weights(path, "a checkpoint")


@pytest.mark.parametrize("name", ["nowhere.ckpt", "."])
def test_what_is_no_file_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="found no file"):
        read_weights(tmp_path / name, "a checkpoint")


def test_a_mismatch_names_the_keys_and_stays_short():
    found = WEIGHTS | {"layer.weight": torch.zeros(2, 2), "surplus": torch.zeros(1)}
    del found["layer.count"]
    assert mismatch(WEIGHTS, WEIGHTS) == ""
    assert mismatch(WEIGHTS, found) == (
        "of another size: layer.weight (expected (2, 3), found (2, 2)); missing: layer.count; left over: surplus"
    )
    assert mismatch(WEIGHTS, WEIGHTS | {f"key{i}": torch.zeros(1) for i in range(20)}).endswith("key7 and 12 more")


def test_weights_are_loaded_only_when_every_one_fits(tmp_path):
    model, weights = torch.nn.Linear(3, 2), {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    fit(model, weights, source=tmp_path / "w.pt", what="a network")
    assert torch.equal(model.weight, weights["weight"])
    with pytest.raises(UserError, match=r"expected a network at .*w.pt, found another size .*bias \(expected"):
        fit(model, {**weights, "bias": torch.zeros(3)}, source=tmp_path / "w.pt", what="a network")
