"""An unconditional separator that needs no training: a TDCN whose masks are equal bands of the spectrum.

``ToneTagger`` hears a label in a waveform by the share of its energy near the label's tone.
"""

import torch
from torch import Tensor

from data_specs.labels import label_table
from data_specs.unconditional import TDCNConfig
from models.taggers import TAGGER_RATE_HZ
from models.tdcn import TDCN
from tests.pipeline.tone_separator import RATE_HZ, TONES_HZ

HALF_WIDTH_HZ = 100.0


def band_tdcn(outputs: int, sample_rate_hz: int = RATE_HZ) -> TDCN:
    """Estimate m is the m-th of so many equal bands, sharp to a bin of the STFT."""
    config = TDCNConfig(
        outputs=outputs, sample_rate_hz=sample_rate_hz, width=4, hidden=4, blocks=1, repeats=1, consistency="none"
    )
    model = TDCN(config)
    last = model.last[-1]
    assert isinstance(last, torch.nn.Conv1d)
    bins = config.window_length // 2 + 1
    band = torch.arange(bins) * outputs // bins
    inside = band == torch.arange(outputs).unsqueeze(1)  # (M, F)
    with torch.no_grad():
        last.weight.zero_()
        assert last.bias is not None
        last.bias.copy_((inside.float() * 80 - 40).flatten())
    return model.eval()


class ToneTagger:
    """Scores (B, 527): for every label of ``TONES_HZ`` the share of energy near its tone, 0 for all others."""

    source = "clap"

    def scores(self, waveforms: Tensor) -> Tensor:
        power = torch.fft.rfft(waveforms).abs().square()
        frequency_hz = torch.fft.rfftfreq(waveforms.shape[1], 1 / TAGGER_RATE_HZ)
        scores = torch.zeros(len(waveforms), len(label_table().names))
        for label, tone_hz in TONES_HZ.items():
            near = (frequency_hz - tone_hz).abs() < HALF_WIDTH_HZ
            scores[:, label_table().index(label)] = power[:, near].sum(dim=1) / power.sum(dim=1).clamp(min=1e-20)
        return scores
