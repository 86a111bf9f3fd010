"""Speed and memory of the full size on a GPU, by batch size. Not a test: machines differ.

Prints clips per second, the share of the card's bfloat16 matmul rate (measured in the same run), and the peak memory of
separation (three labels per 10 s clip) and of training (two queries per mixture).

Run: .venv/bin/python -m tests.gpu.speed [--compile] [--rounds 5]
"""

import argparse
import os

os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import Callable

import torch

from data_specs.config import TrainConfig
from models.inference import prepare_for_inference
from models.lora import with_lora
from models.separator import Separator
from pipeline.mixtures import Batch
from pipeline.train import train_step
from tests.benchmarks.full_size import CONFIG, both
from tests.benchmarks.measure import best_times, flops, machine, matmul

LABELS, QUERIES = 3, 2
BATCHES = (1, 2, 4, 8, 16, 32, 64)


def compile_parts(separator: Separator) -> None:
    """Compile what is neither spectrogram nor windowing, in place."""
    for part in (*separator.encoder.layers, separator.decoder, separator.mask_net):
        part.compile(dynamic=False)


def queries_for(clips: int, count: int) -> torch.Tensor:
    """Random queries (clips, count, 2 D)."""
    halves = torch.randn(clips, count, 2, CONFIG.query_dim, device="cuda")
    return torch.nn.functional.normalize(halves, dim=-1).flatten(2)


def table(name: str, run_of: Callable[[int], Callable[[], object]], rounds: int, rate: float) -> None:
    """One line per batch size until memory is full."""
    work = flops(run_of(1))
    print(f"{name}: {work / 1e9:.0f} GFLOP per clip")
    for clips in BATCHES:
        torch.cuda.reset_peak_memory_stats()
        try:
            seconds = best_times({"run": run_of(clips)}, rounds=rounds, device="cuda")["run"]
        except torch.OutOfMemoryError:
            print(f"  batch {clips}: out of memory")
            return
        peak_gb = torch.cuda.max_memory_allocated() / 1e9
        share = clips * work / seconds / rate
        print(f"  batch {clips}: {clips / seconds:.1f} clips/s, {share:.0%} of the matmul rate, {peak_gb:.1f} GB")


def main() -> None:
    """Print both tables, separation in both precisions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    multiply, multiply_work = matmul(torch.bfloat16, "cuda")
    rate = multiply_work / best_times({"matmul": multiply}, rounds=20, device="cuda")["matmul"]
    print(f"{machine('cuda')}, matmul bfloat16 {rate / 1e12:.0f} TFLOP/s, compiled: {arguments.compile}")

    separator = both(LABELS)[1].cuda()
    prepare_for_inference(separator)
    if arguments.compile:
        compile_parts(separator)

    def separation(bf16: bool) -> Callable[[int], Callable[[], object]]:
        def run_of(clips: int) -> Callable[[], object]:
            mixtures = 0.1 * torch.randn(clips, CONFIG.window_length, device="cuda")
            queries = queries_for(clips, LABELS)

            @torch.inference_mode()
            def run() -> torch.Tensor:
                with torch.autocast("cuda", torch.bfloat16, enabled=bf16):
                    return separator(mixtures, queries)

            return run

        return run_of

    table("separation in float32", separation(False), arguments.rounds, rate)
    table("separation in bfloat16", separation(True), arguments.rounds, rate)

    train = TrainConfig(bf16=True)
    with_lora(separator)
    trained = [weight for weight in separator.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=train.learning_rate, fused=True)

    def training(clips: int) -> Callable[[], object]:
        targets = 0.1 * torch.randn(clips, QUERIES, CONFIG.window_length, device="cuda")
        batch = Batch(mixtures=targets.sum(dim=1), targets=targets, queries=queries_for(clips, QUERIES))
        return lambda: train_step(separator, batch, optimizer, train)

    table("training in bfloat16", training, arguments.rounds, rate)


if __name__ == "__main__":
    main()
