"""Configuration of the extractors: query-conditioned networks from other papers, behind the separator's interface.

The defaults are tiny, for the embedded CLAP and a CPU; the published sizes, for LAION-CLAP, are in the presets
``paper-conformer``, ``paper-resunet`` and ``paper-unet``.

Example::

    model: {checkpoint: untrained, architecture: {kind: conformer, width: 96}}
"""

from abc import ABC, abstractmethod
from typing import Literal

from pydantic import Field, model_validator

from data_specs.section import Section

QueryProjection = Literal["none", "pca", "pca_inverse"]


class ExtractorConfig(Section):
    """What every extractor has: rates, spectrum, windows, and the size of a query."""

    query_dim: int = Field(128, ge=1, description="Size of one query embedding; a query is a positive and a negative.")
    sample_rate_hz: int = Field(32_000, gt=0, description="Rate of the waveforms that go in and come out.")
    network_rate_hz: int = Field(32_000, gt=0, description="Rate that the network works at.")
    n_fft: int = Field(1024, ge=4)
    hop_length: int = Field(512, ge=1)
    window_s: float = Field(5.12, gt=0, description="Longer input is separated in windows.")
    overlap_s: float = Field(0.5, gt=0, description="Windows are cross-faded over this.")
    magnitude_compression: Literal["linear", "log"] = "log"
    normalise_level: bool = Field(True, description="Bring every mixture to unit RMS first, and back afterwards.")
    query_projection: QueryProjection = Field("none", description="What queries go through; set by training with PCA.")

    @property
    def bins(self) -> int:
        """Frequency bins of the spectrum."""
        return self.n_fft // 2 + 1

    @property
    def window_length(self) -> int:
        """Samples of one window."""
        return round(self.window_s * self.sample_rate_hz)


class ConformerConfig(ExtractorConfig):
    """Conformer with a FiLM block before every layer (section IV-B of Saijo et al. 2024)."""

    kind: Literal["conformer"] = "conformer"
    width: int = Field(64, ge=1)
    blocks: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    feed_forward: int = Field(256, ge=1)
    kernel_size: int = Field(31, ge=1, description="Frames of the depthwise convolution, odd.")


class _HalvingConfig(ExtractorConfig, ABC):
    """An extractor that halves its grid ``levels`` times."""

    @model_validator(mode="after")
    def _bins_halve(self):
        if self.bins % 2**self.levels not in (0, 1):
            raise ValueError(
                f"n_fft {self.n_fft} gives {self.bins} bins, which {self.levels} levels do not halve: "
                "take a power of 2, or 2 less"
            )
        return self

    @property
    @abstractmethod
    def levels(self) -> int:
        """How often the grid is halved along frequency."""


class ResUNetConfig(_HalvingConfig):
    """Residual U-Net of AudioSep (Liu et al. 2023): a magnitude mask and a phase residual."""

    kind: Literal["resunet"] = "resunet"
    channels: tuple[int, ...] = Field((4, 8, 16, 32), description="Of every level, from the finest grid on.")
    norm_momentum: float = Field(0.1, gt=0, le=1, description="Of the batch statistics that inference uses.")

    @property
    def levels(self) -> int:
        return len(self.channels)


class UNetConfig(_HalvingConfig):
    """Conditional U-Net of Mahmud et al. 2024: self- and cross-attention on the query's tokens in its lowest levels."""

    kind: Literal["unet"] = "unet"
    network_rate_hz: int = Field(16_000, gt=0, description="Rate that the network works at.")
    n_fft: int = Field(510, ge=4)
    hop_length: int = Field(256, ge=1)
    channels: tuple[int, ...] = Field((8, 16, 32, 32), description="Of every level, from the finest grid on.")
    feature_channels: int = Field(16, ge=1, description="Of the feature map at the top that the mask is read from.")
    attention_levels: int = Field(2, ge=1, description="How many of the lowest levels attend to the query.")
    heads: int = Field(4, ge=1)

    @property
    def levels(self) -> int:
        return len(self.channels)
