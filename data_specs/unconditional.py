"""Configuration of the unconditional separator: its network, and its training by MixIT.

Example::

    TDCNConfig(outputs=16), UnconditionalTrainConfig(steps=400, sparsity="mean_rms")
"""

from typing import Literal

from pydantic import Field

from data_specs.section import Section


class TDCNConfig(Section):
    """TDCN++-like mask network with ``outputs`` estimates; the defaults are the tiny size."""

    outputs: int = Field(8, ge=2, description="Estimates (M); more than the sources that a mixture of mixtures holds.")
    sample_rate_hz: int = Field(32_000, gt=0)
    basis: Literal["stft", "learned"] = Field("stft", description="What the masks multiply.")
    window_length: int = Field(1024, ge=2, description="Samples per frame of the basis.")
    hop_length: int = Field(512, ge=1)
    filters: int = Field(256, ge=1, description="Learned basis functions; the STFT has window_length / 2 + 1 bins.")
    width: int = Field(96, ge=1, description="Channels between blocks.")
    hidden: int = Field(192, ge=1, description="Channels inside a block.")
    kernel: int = Field(3, ge=1)
    blocks: int = Field(6, ge=1, description="Blocks per repeat; dilation doubles from one to the next.")
    repeats: int = Field(2, ge=1)
    masks: Literal["sigmoid", "softmax"] = "sigmoid"
    consistency: Literal["energy", "uniform", "none"] = Field("energy", description="How estimates come to add up.")


PAPER_SIZE = TDCNConfig(
    outputs=16, basis="learned", window_length=80, hop_length=40, width=256, hidden=512, blocks=8, repeats=4
)
"""The published size: 2.5 ms windows at a hop of half, 256 learned basis functions, four repeats of eight blocks."""


class UnconditionalTrainConfig(Section):
    """Training of the unconditional separator on mixtures of natural mixtures."""

    steps: int = Field(5_000, ge=1, description="Optimizer steps.")
    network: TDCNConfig = Field(TDCNConfig(), description="Size of a new one; one that is trained on keeps its own.")
    batch_size: int = Field(4, ge=1)
    duration_s: float = Field(5.0, gt=0, description="Length of the crops that are mixed.")
    mixtures: int = Field(2, ge=2, description="Natural mixtures per mixture of mixtures (N).")
    gain_db: tuple[float, float] = Field((-5.0, 5.0), description="Level of every mixture about a common one.")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    gradient_clip: float = Field(5.0, gt=0)
    search: Literal["auto", "exact", "efficient", "exhaustive"] = "auto"
    sparsity: Literal["rms_ratio", "mean_rms"] = "rms_ratio"
    sparsity_weight: float = Field(100.0, ge=0, description="dB of MixIT loss that a sparsity loss of 1 is worth.")
    covariance_weight: float = Field(0.0, ge=0)
    semantic_weight: float = Field(0.0, ge=0, description="Of the cross-entropy of clip labels under the tagger.")
    validation_mixtures: int = Field(8, ge=1, description="Mixtures of mixtures, of held-back clips, to measure it on.")
