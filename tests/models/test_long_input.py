"""Long input is separated window by window: exact in the middle of a window, in memory that does not grow with it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch

from data_specs.config import SeparatorConfig
from models.separator import Separator
from models.windows import window_starts

ROOT = Path(__file__).resolve().parents[2]

MEASURE = """
import resource, sys
from pathlib import Path
import torch
from data_specs.config import HTSATConfig, SeparatorConfig
from models.label_separator import LabelSeparator
from models.separator import Separator
from models.windows import in_windows
from pipeline.stems import separate_recording

class Names:
    dim = 4
    def embed_text(self, texts):
        return torch.eye(4)[: len(texts)]
    def embed_audio(self, waveforms):
        return torch.eye(4)[torch.zeros(len(waveforms), dtype=int)]

encoder = HTSATConfig(width=16, depths=(1, 1, 1, 1))
config = SeparatorConfig(encoder=encoder, decoder_width=16, mask_width=32, mask_layers=1, query_dim=4)
separator = LabelSeparator(Separator(config), Names(), "hash")
what, folder, most = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def run(minutes):
    if what == "file":
        separate_recording(folder / f"{minutes}.wav", ["Rain", "Bark"], separator, out=folder / "tracks", picture=False)
    else:
        with torch.inference_mode():
            separator.separator(torch.randn(1, minutes * 60 * 32_000), torch.randn(1, 2, 8))

run(1)
before = peak_mb()
run(most)
print(peak_mb() - before)
"""


def growth_mb(what: str, folder: Path, minutes: int) -> float:
    """By how much the peak memory of a process grows from one minute of input to so many."""
    command = [sys.executable, "-c", MEASURE, what, str(folder), str(minutes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=300)
    return float(done.stdout.split()[-1])


@torch.no_grad()
def test_the_middle_of_a_window_is_what_the_window_gives_alone():
    torch.manual_seed(0)
    config = SeparatorConfig()
    separator = Separator(config).eval()
    mixture, queries = torch.randn(1, 400_000), torch.randn(1, 2, 256)
    tracks = separator(mixture, queries)
    size, overlap = separator.window_length, round(config.overlap_s * config.sample_rate_hz)
    starts = window_starts(400_000, size=size, overlap=overlap)
    assert len(starts) == 3
    for start in starts:
        alone = separator.separate(separator.encode(mixture[:, start : start + size]), queries)
        quarter = slice(3 * size // 8, 5 * size // 8)
        torch.testing.assert_close(
            tracks[..., start + quarter.start : start + quarter.stop], alone[..., quarter], atol=1e-6, rtol=1e-5
        )


def test_separating_a_file_takes_as_much_memory_for_ten_minutes_as_for_one(tmp_path):
    for minutes in (1, 10):
        samples = np.random.default_rng(0).normal(scale=0.1, size=minutes * 60 * 32_000)
        soundfile.write(tmp_path / f"{minutes}.wav", samples, 32_000)
    assert growth_mb("file", tmp_path, 10) < 40


def test_separating_a_tensor_takes_no_more_than_the_tensors_themselves(tmp_path):
    tensors_mb = 3 * 4 * 3 * 60 * 32_000 / 2**20  # three minutes more of input and of two tracks
    assert growth_mb("tensor", tmp_path, 4) < 1.3 * tensors_mb
