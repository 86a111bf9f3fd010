"""A training step at full size, against the public scheme that encodes the mixture again for every query.

Both train adapters and decoder at batch size 1, with the loss of eq. 5, clipped gradients and AdamW, in float32. The
public scheme embeds its two texts with RoBERTa again in every step (the embedding of audio queries, which it does as
well, is left out); ours keeps the embeddings of labels. Ours asks one query per mixture, as the public scheme does, or
two (``train.queries_per_mixture``, two by default). Not a test: machines differ.

Run: .venv/bin/python -m tests.benchmarks.train_step [--threads 2] [--rounds 3]
"""

import argparse
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from torch import Tensor, nn
from transformers import RobertaConfig, RobertaModel

from data_specs.config import TrainConfig
from models.lora import with_lora
from models.losses import separation_loss
from pipeline.mixtures import Batch
from pipeline.train import train_step
from tests.benchmarks.full_size import CONFIG, both
from tests.benchmarks.measure import best_times, flops, machine, matmul
from tests.models.clapsep_reference import ClapSep

TRAIN = TrainConfig()


def a_batch(queries: int) -> Batch:
    """One mixture of noises with so many of them as targets."""
    targets = 0.1 * torch.randn(1, queries + 1, CONFIG.window_length)
    asked = nn.functional.normalize(torch.randn(1, queries, 2, CONFIG.query_dim), dim=-1).flatten(2)
    return Batch(mixtures=targets.sum(dim=1), targets=targets[:, :queries], queries=asked)


def optimizer_of(model: nn.Module, *, fused: bool) -> torch.optim.AdamW:
    """AdamW on what is trained."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    return torch.optim.AdamW(trained, lr=TRAIN.learning_rate, fused=fused)


class PublicTraining:
    """The public scheme's step: one query per mixture, normalisation as its training has it."""

    tokens = 77  # every text is padded to so many

    def __init__(self, model: ClapSep):
        self.model = model
        self.text = RobertaModel(
            RobertaConfig(vocab_size=50_265, max_position_embeddings=514, type_vocab_size=1)
        ).eval()
        for name, weight in model.named_parameters():
            weight.requires_grad_(name.startswith("decoder_model.") or "lora_" in name)
        self.optimizer = optimizer_of(model, fused=False)

    @torch.no_grad()
    def embed(self) -> Tensor:
        """What the texts of the positive and the negative query cost."""
        return self.text(torch.ones(2, self.tokens, dtype=torch.long)).pooler_output

    def step(self, batch: Batch) -> float:
        """One optimizer step; returns the loss."""
        self.embed()
        self.model.decoder_model.train()
        estimate = self.model(batch.mixtures, batch.queries[:, 0])
        loss = separation_loss(
            estimate, batch.targets[:, 0], mixture=batch.mixtures, sdr_weight=TRAIN.sdr_weight
        ).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), TRAIN.gradient_clip)
        self.optimizer.step()
        return float(loss.detach())


def main() -> None:
    """Print seconds per sample (one mixture with one query), ratios, and the share of this run's matmul rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    public_model, separator = both(labels=2)
    public = PublicTraining(public_model)
    with_lora(separator).train()
    optimizer = optimizer_of(separator, fused=True)
    one, two = a_batch(queries=1), a_batch(queries=2)
    multiply, multiply_work = matmul(torch.float32)
    actions = {
        "matmul": multiply,
        "public": lambda: public.step(one),
        "texts": public.embed,
        "one": lambda: train_step(separator, one, optimizer, TRAIN),
        "two": lambda: train_step(separator, two, optimizer, TRAIN),
    }
    times = best_times(actions, rounds=arguments.rounds)
    rate = multiply_work / times["matmul"]
    share = {name: flops(actions[name]) / times[name] / rate for name in ("public", "one", "two")}
    print(f"a training step on {CONFIG.window_length / CONFIG.sample_rate_hz:g} s mixtures, {machine()}")
    print(f"matmul: float32 {rate / 1e9:.0f} GFLOP/s")
    print(
        f"public scheme: {times['public']:.2f} s per sample, {times['texts']:.2f} s of it for texts, "
        f"{share['public']:.0%} of the matmul rate"
    )
    for name, queries in (("one", 1), ("two", 2)):
        seconds = times[name] / queries
        print(
            f"{queries} per mixture: {seconds:.2f} s per sample, {times['public'] / seconds:.2f} times as fast, "
            f"{share[name]:.0%} of the matmul rate"
        )


if __name__ == "__main__":
    main()
