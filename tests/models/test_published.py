"""Published checkpoints become our separator: the recorded tracks come out, every key is accounted for."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from data_specs.config import HTSATConfig, load_config
from data_specs.errors import UserError
from models.lora import ATTENTION
from models.published import clapsep, untrained
from models.separator import Separator
from tests.models.clapsep_reference import ClapSep, laion_htsat, randomise

FULL = load_config("full").model.architecture
SMALL_ENCODER = FULL.encoder.model_copy(update={"width": 16, "depths": (2, 2, 2, 2)})
SMALL = FULL.model_copy(
    update={
        "encoder": SMALL_ENCODER,
        "lora_rank": 4,
        "decoder_width": 16,
        "mask_width": 64,
        "mask_layers": 1,
        "query_dim": 32,
    }
)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(scope="module")
def golden(shared_data) -> Path:
    return shared_data / "golden"


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> tuple[Path, ClapSep]:
    """A small separator of the public scheme with random weights, and its checkpoint as Lightning writes it."""
    torch.manual_seed(0)
    reference = ClapSep(SMALL).eval()
    randomise(reference, seed=0)
    path = tmp_path_factory.mktemp("published") / "clapsep.ckpt"
    torch.save({"state_dict": reference.state_dict(), "epoch": 149, "global_step": 231_000}, path)
    return path, reference


def laion_file(path: Path, encoder: torch.nn.Module) -> Path:
    """``encoder`` inside of a checkpoint as LAION-CLAP's training writes it."""
    weights = {f"module.audio_branch.{name}": tensor for name, tensor in encoder.state_dict().items()}
    weights["module.text_branch.embeddings.word_embeddings.weight"] = torch.zeros(3, 2)
    weights["module.logit_scale_a"] = torch.zeros(())
    torch.save({"epoch": 15, "name": "laion", "state_dict": weights}, path)
    return path


@torch.no_grad()
def test_the_recorded_separation_comes_out(golden):
    separator = clapsep(golden / "clapsep_tiny_state.safetensors", SMALL)
    recorded = load_file(golden / "clapsep_tiny_io.safetensors")
    queries = recorded["query"].unsqueeze(1)
    features = separator.encode(recorded["mixture_32k"])
    torch.testing.assert_close(
        separator.encoder.resample(recorded["mixture_32k"]), recorded["mixture_48k"], atol=1e-6, rtol=0
    )
    stages = features.encoded[1:]  # the patch embedding is not among the recorded features
    for number, stage in enumerate(stages):
        assert relative(stage, recorded[f"feature_{number}"]) < 1e-5
    assert (separator.masks(features, queries) - recorded["mask"].float()).abs().max() < 2e-3
    assert (separator(recorded["mixture_32k"], queries)[:, 0] - recorded["separated_32k"]).abs().max() < 1e-5


@torch.no_grad()
def test_our_separator_gives_what_the_public_scheme_gives(published):
    path, reference = published
    separator = clapsep(path, SMALL)
    mixture, queries = 0.1 * torch.randn(2, 320_000), torch.randn(2, 3, 64)
    tracks = separator(mixture, queries)
    for number in range(3):
        expected = reference(mixture, queries[:, number])
        assert relative(tracks[:, number], expected) < 1e-4
    assert relative(tracks[:, 0], tracks[:, 1]) > 1e-2, "queries are heard"


@torch.no_grad()
@pytest.mark.parametrize(("width", "depths"), [(96, (2, 2, 6, 2)), (128, (2, 2, 12, 2))], ids=["tiny", "base"])
def test_every_layer_of_the_encoder_gives_what_laion_clap_gives(width, depths, tmp_path):
    config = FULL.encoder.model_copy(update={"width": width, "depths": depths})
    torch.manual_seed(0)
    reference = randomise(laion_htsat(config).eval(), seed=1)
    small_rest = SMALL.model_copy(update={"encoder": config})
    ours = untrained(laion_file(tmp_path / "laion.pt", reference), small_rest, seed=0).encoder

    expected: list[Tensor] = []
    found: list[Tensor] = []
    reference.patch_embed.register_forward_hook(lambda _module, _inputs, output: expected.append(output))
    ours.patch_embed.register_forward_hook(lambda _module, _inputs, output: found.append(output))
    for theirs, own in zip(reference.layers, ours.layers, strict=True):
        for their_block, own_block in zip(theirs.blocks, own.blocks, strict=True):
            their_block.register_forward_hook(lambda _module, _inputs, output: expected.append(output[0]))
            own_block.register_forward_hook(lambda _module, _inputs, output: found.append(output))
        theirs.register_forward_hook(lambda _module, _inputs, output: expected.append(output[0]))
        own.register_forward_hook(lambda _module, _inputs, output: found.append(output))

    waveform = 0.1 * torch.randn(1, 480 * 1023)  # the frames of one whole image
    ours.resample = torch.nn.Identity()
    embedding = reference({"waveform": waveform}, device="cpu")["embedding"]
    pooled = ours.pool(ours(waveform))
    assert len(found) == len(expected) == 1 + sum(depths) + len(depths)
    for own, theirs in zip(found, expected, strict=True):
        assert relative(own, theirs) < 1e-4
    assert relative(pooled, embedding) < 1e-4


@torch.no_grad()
def test_adapters_merged_at_loading_are_what_peft_computes(published):
    """The same adapters, once merged by us and once beside the weights in peft, scaled by alpha / r = 1 / r."""
    from peft import LoraConfig, inject_adapter_in_model

    path, reference = published
    adapters = {name: tensor for name, tensor in reference.audio_branch.state_dict().items() if "lora_" in name}
    plain = {name: tensor for name, tensor in reference.audio_branch.state_dict().items() if "lora_" not in name}
    separator = Separator(SMALL).eval()
    names = separator.encoder.state_dict().keys()
    separator.encoder.load_state_dict({name: plain[name] for name in names})
    rank = SMALL.lora_rank
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=1, target_modules=ATTENTION), separator.encoder)
    renamed = {f"{name}.default.weight": tensor for name, tensor in adapters.items()}
    unexpected = separator.encoder.load_state_dict(renamed, strict=False).unexpected_keys
    assert adapters
    assert not unexpected

    waveform = 0.1 * torch.randn(1, 100_000)
    with_peft = separator.encoder.eval()(waveform)
    merged = clapsep(path, SMALL).encoder(waveform)
    for own, theirs in zip(merged, with_peft, strict=True):
        assert relative(own, theirs) < 1e-5


@torch.no_grad()
def test_a_file_with_only_what_was_trained_takes_the_rest_from_laion_clap(published, tmp_path):
    path, reference = published
    kept = ("lora", "attn.qkv.bias", "attn.proj.bias", "decoder_model")
    whole = reference.state_dict()
    trained = {name: tensor for name, tensor in whole.items() if any(part in name for part in kept)}
    save_file({name: tensor.clone() for name, tensor in trained.items()}, tmp_path / "trained.safetensors")
    encoder = laion_htsat(SMALL.encoder)
    encoder.load_state_dict(
        {
            name.removeprefix("audio_branch."): torch.zeros_like(tensor) if name in trained else tensor
            for name, tensor in whole.items()
            if name.startswith("audio_branch.") and "lora" not in name
        }
    )
    laion = laion_file(tmp_path / "laion.pt", encoder)

    whole_file, two_files = clapsep(path, SMALL), clapsep(tmp_path / "trained.safetensors", SMALL, lambda: laion)
    for name, tensor in whole_file.state_dict().items():
        assert torch.equal(tensor, two_files.state_dict()[name]), name
    with pytest.raises(UserError, match=r"holds no whole encoder.*model\.clap"):
        clapsep(tmp_path / "trained.safetensors", SMALL)


def test_an_untrained_separator_has_the_encoder_of_the_file_and_the_rest_of_the_seed(tmp_path):
    encoder = randomise(laion_htsat(SMALL.encoder), seed=3)
    path = laion_file(tmp_path / "laion.pt", encoder)
    first, again, other = (untrained(path, SMALL, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(first["encoder.layers.2.blocks.1.mlp.fc1.weight"], encoder.layers[2].blocks[1].mlp.fc1.weight)
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name]), name
    assert not torch.equal(first["mask_net.first.weight"], other["mask_net.first.weight"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decoder_model.film.norm.bias": None}, "missing: decoder_model.film.norm.bias"),
        ({"decoder_model.extra.bias": torch.zeros(1)}, "left over: decoder_model.extra.bias"),
        (
            {"audio_branch.bn0.weight": torch.zeros(128)},
            r"another size: audio_branch.bn0.weight \(expected \(64,\), found \(128,\)\)",
        ),
        (
            {"audio_branch.layers.0.blocks.0.attn.qkv.lora_B": None},
            "left over: audio_branch.layers.0.blocks.0.attn.qkv.lora_A",
        ),
    ],
    ids=["missing", "left over", "another shape", "half an adapter"],
)
def test_every_key_that_does_not_fit_is_named(published, tmp_path, change, said):
    weights = torch.load(published[0], weights_only=True)["state_dict"] | change
    path = tmp_path / "changed.ckpt"
    torch.save({name: tensor for name, tensor in weights.items() if tensor is not None}, path)
    with pytest.raises(UserError, match=said) as error:
        clapsep(path, SMALL)
    assert "\n" not in str(error.value)


def test_another_size_is_refused_in_a_short_line(published):
    with pytest.raises(UserError, match=r"proj\.weight \(expected \(128, 1, 4, 4\), found \(16, 1, 4, 4\)\)") as error:
        clapsep(published[0], FULL)
    assert len(str(error.value)) < 2000


def test_another_kind_of_file_is_refused(tmp_path):
    encoder = laion_file(tmp_path / "laion.pt", laion_htsat(SMALL.encoder))
    with pytest.raises(UserError, match=r"with decoder_model\.\*, found audio_branch"):
        clapsep(encoder, SMALL)
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"with audio_branch\.\*, found conv"):
        untrained(tmp_path / "other.safetensors", SMALL, seed=0)


def test_the_full_preset_is_the_paper_s_size():
    assert FULL.encoder == HTSATConfig(
        sample_rate_hz=48_000, hop_length=480, spec_size=256, width=128, depths=(2, 2, 12, 2), heads=(4, 8, 16, 32)
    )
    assert FULL.window_length == 320_000
    assert (FULL.lora_rank, FULL.mask_layers, FULL.query_dim) == (16, 3, 512)
