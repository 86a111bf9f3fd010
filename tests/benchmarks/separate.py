"""Separation at full size: three labels of a 10 s clip, against the public scheme that runs everything per query.

The public scheme is CLAPSep on laion-clap's classes (``tests/models/clapsep_reference.py``) in float32, one forward
pass per query. Not a test: machines differ.

Run: .venv/bin/python -m tests.benchmarks.separate [--threads 2] [--rounds 5]
"""

import argparse
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from torch import Tensor

from models.inference import prepare_for_inference
from pipeline.remix import score_remix
from tests.benchmarks.full_size import CONFIG, both
from tests.benchmarks.measure import best_times, flops, machine, matmul

LABELS = 3


@torch.inference_mode()
def main() -> None:
    """Print times, ratios, and shares of the matmul rate of the same run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    public, separator = both(LABELS)
    mixture = 0.1 * torch.randn(1, CONFIG.window_length)
    queries = torch.nn.functional.normalize(torch.randn(1, LABELS, 2, CONFIG.query_dim), dim=-1).flatten(2)

    def per_query() -> Tensor:
        return torch.stack([public(mixture, queries[:, number]) for number in range(LABELS)], dim=1)

    def in_half_precision() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return separator(mixture, queries)

    expected, work = per_query(), flops(lambda: separator(mixture, queries))
    public_work = flops(per_query)
    multiply, multiply_work = matmul(torch.float32)
    prepare_for_inference(separator)
    full = separator(mixture, queries)
    times = best_times(
        {"matmul": multiply, "public": per_query, "ours": lambda: separator(mixture, queries)}, rounds=arguments.rounds
    )
    prepare_for_inference(separator, bf16=True)
    half = in_half_precision()
    multiply_half, _ = matmul(torch.bfloat16)
    times |= best_times({"matmul bf16": multiply_half, "bf16": in_half_precision}, rounds=arguments.rounds)

    rate, rate_half = multiply_work / times["matmul"], multiply_work / times["matmul bf16"]
    moved = [abs(a - b) for a, b in zip(remix_scores(full, mixture), remix_scores(half, mixture), strict=True)]
    print(f"{LABELS} labels of one {CONFIG.window_length / CONFIG.sample_rate_hz:g} s clip, {machine()}")
    print(f"matmul: float32 {rate / 1e9:.0f} GFLOP/s, bfloat16 {rate_half / 1e9:.0f} GFLOP/s")
    print(f"public scheme: {times['public']:.2f} s, {public_work / times['public'] / rate:.0%} of the matmul rate")
    print(
        f"float32: {times['ours']:.2f} s, {times['public'] / times['ours']:.2f} times as fast (at least 1.7), "
        f"{work / times['ours'] / rate:.0%} of the matmul rate (at least 80 %), "
        f"largest difference {float((full - expected).abs().max() / expected.abs().max()):.0e} of the peak"
    )
    print(
        f"bfloat16: {times['bf16']:.2f} s, {times['public'] / times['bf16']:.2f} times as fast (at least 3), "
        f"{work / times['bf16'] / rate_half:.0%} of the matmul rate, "
        f"Re-SDR {remix_scores(full, mixture)[0]:.1f} dB and Re-SISDR moved by {max(moved):.3f} dB (at most 0.1)"
    )


def remix_scores(tracks: Tensor, mixture: Tensor) -> tuple[float, float]:
    """Re-SDR and Re-SISDR in dB."""
    scores = score_remix(tracks[0].numpy(), mixture[0].numpy())
    return scores.re_sdr_db, scores.re_si_sdr_db


if __name__ == "__main__":
    main()
