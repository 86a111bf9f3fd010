"""The full size on a GPU gives what it gives on a CPU, and trains. Skipped where there is no GPU.

Run on a machine with one: .venv/bin/python -m pytest tests/gpu
"""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from data_specs.config import ClapConfig, ModelConfig, TrainConfig
from models.checkpoints import save_clap, save_separator
from models.clap import TinyClap
from models.label_separator import LabelSeparator
from models.lora import with_lora
from models.published import clapsep, untrained
from pipeline.mixtures import Batch
from pipeline.remix import score_remix
from pipeline.train import train_step
from tests.benchmarks.full_size import CONFIG, both
from tests.models.clapsep_reference import laion_htsat, randomise
from tests.models.test_published import SMALL, laion_file

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(autouse=True)
def full_precision():
    """TF32 off: the comparisons are of float32."""
    torch.set_float32_matmul_precision("highest")
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.cpu() - expected.cpu()).norm() / expected.cpu().norm())


@torch.no_grad()
def test_the_recorded_separation_comes_out(shared_data):
    golden = shared_data / "golden"
    separator = clapsep(golden / "clapsep_tiny_state.safetensors", SMALL).cuda()
    recorded = {name: tensor.cuda() for name, tensor in load_file(golden / "clapsep_tiny_io.safetensors").items()}
    features, queries = separator.encode(recorded["mixture_32k"]), recorded["query"].unsqueeze(1)
    assert (separator.masks(features, queries) - recorded["mask"].float()).abs().max() < 2e-3
    assert (separator(recorded["mixture_32k"], queries)[:, 0] - recorded["separated_32k"]).abs().max() < 1e-4


@torch.no_grad()
def test_every_stage_of_the_encoder_gives_what_laion_clap_gives(tmp_path: Path):
    config = CONFIG.encoder
    reference = randomise(laion_htsat(config).eval(), seed=1)
    rest = SMALL.model_copy(update={"encoder": config})
    ours = untrained(laion_file(tmp_path / "laion.pt", reference), rest, seed=0).encoder.cuda()
    ours.resample = torch.nn.Identity()
    expected: list[Tensor] = []
    reference = reference.cuda()
    for layer in reference.layers:
        layer.register_forward_hook(lambda _module, _inputs, outputs: expected.append(outputs[0]))
    waveform = 0.1 * torch.randn(2, config.hop_length * (config.frames - 1), device="cuda")
    reference({"waveform": waveform}, device="cuda")
    for own, theirs in zip(ours(waveform)[1:], expected, strict=True):
        assert relative(own, theirs) < 1e-4


@torch.no_grad()
def test_the_full_size_gives_what_it_gives_on_a_cpu_and_nearly_so_in_half_precision():
    torch.manual_seed(0)
    _, separator = both(labels=3)
    mixture = 0.1 * torch.randn(1, CONFIG.window_length)
    queries = torch.nn.functional.normalize(torch.randn(1, 3, 2, CONFIG.query_dim), dim=-1).flatten(2)
    expected = separator(mixture, queries)
    on_gpu = copy.deepcopy(separator).cuda()
    full = on_gpu(mixture.cuda(), queries.cuda())
    assert relative(full, expected) < 1e-4
    with torch.autocast("cuda", torch.bfloat16):
        half = on_gpu(mixture.cuda(), queries.cuda()).float()
    scores = [score_remix(tracks[0].cpu().numpy(), mixture[0].numpy()) for tracks in (full, half)]
    assert abs(scores[0].re_sdr_db - scores[1].re_sdr_db) < 0.1
    assert abs(scores[0].re_si_sdr_db - scores[1].re_si_sdr_db) < 0.1


def test_a_worker_s_separator_is_made_and_used_on_the_gpu(tmp_path: Path, shared_data):
    separator = clapsep(shared_data / "golden" / "clapsep_tiny_state.safetensors", SMALL)
    save_separator(separator, tmp_path)
    save_clap(TinyClap(ClapConfig(embedding_dim=SMALL.query_dim)), tmp_path)
    config = ModelConfig(checkpoint=str(tmp_path), clap=str(tmp_path))
    with torch.device("cuda"):
        loaded = LabelSeparator.load(config, bf16=True)
        tracks = loaded.separate_batch(0.1 * torch.randn(2, 64_000), [["Bark", "Rain"], ["Rain"]])
    assert [(one.device.type, tuple(one.shape)) for one in tracks] == [("cuda", (2, 64_000)), ("cuda", (1, 64_000))]
    assert all(bool(one.isfinite().all()) for one in tracks)


@pytest.mark.parametrize("bf16", [False, True])
def test_training_at_full_size_lowers_the_loss(bf16):
    torch.manual_seed(0)
    _, separator = both(labels=2)
    with_lora(separator).cuda()
    train = TrainConfig(bf16=bf16, learning_rate=1e-3)
    trained = [weight for weight in separator.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=train.learning_rate, fused=True)
    targets = 0.1 * torch.randn(2, 2, CONFIG.window_length)
    targets[:, 0] = torch.nn.functional.avg_pool1d(targets[:, 0], 9, stride=1, padding=4)  # dull, against bright
    asked = torch.nn.functional.normalize(torch.randn(2, 2, 2, CONFIG.query_dim), dim=-1).flatten(2)
    batch = Batch(mixtures=targets.sum(dim=1), targets=targets, queries=asked).to("cuda")
    losses = [train_step(separator, batch, optimizer, train) for _ in range(30)]
    assert losses[-1] < losses[0] - 1
