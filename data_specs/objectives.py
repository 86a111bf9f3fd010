"""Configuration of the ways to learn; sections of ``TrainConfig``.

Example::

    train:
      objectives: {supervised: 1.0, audio_query: 1.0}     # weights of their losses in every step
      audio_query: {kind: noise}
"""

from typing import Literal

from pydantic import Field, model_validator

from data_specs.section import Section

ManipulationKind = Literal["none", "mixup", "spec_augment", "pca", "pca_inverse", "noise", "dropout"]
ObjectiveName = Literal["supervised", "weak", "audio_query"]
"""Supervised separation of mixtures of clean tracks; bi-modal weak supervision; audio-only queries."""

NOT_FOR_TEXT = ("mixup", "spec_augment", "pca", "pca_inverse")
"""Manipulations of the sound itself, and those of the whole query space, which ``audio_query`` decides."""

Range = tuple[float, float]


class ManipulationConfig(Section):
    """How query embeddings are varied in training; ranges are those for audio embeddings (section II-C).

    Noise and dropout are for embeddings of 512 dimensions or more, as LAION-CLAP's; for smaller ones they are scaled,
    so that what a direction carries is disturbed as much.
    """

    kind: ManipulationKind = "dropout"
    dropout: Range = Field((0.75, 0.95), description="Share of dimensions that are zeroed, drawn per query.")
    noise: Range = Field((1.5, 3.5), description="Norm of the added noise, drawn per query; embeddings have norm 1.")
    mixup_snr_db: Range = Field((-5.0, 5.0), description="Level of the sound over the one that is mixed into it.")
    masks: int = Field(2, ge=0, description="Masks along time, and as many along frequency, of SpecAugment.")
    mask_frames: int = Field(64, ge=0, description="Longest mask in spectrogram frames.")
    mask_bins: int = Field(2, ge=0, description="Widest mask in mel bins.")

    @model_validator(mode="after")
    def _ranges_ascend(self):
        if not 0 <= self.dropout[0] <= self.dropout[1] < 1:
            raise ValueError("dropout must be a range within 0 and 1")
        if not 0 <= self.noise[0] <= self.noise[1]:
            raise ValueError("noise must be an ascending range of norms")
        if self.mixup_snr_db[0] > self.mixup_snr_db[1]:
            raise ValueError("mixup_snr_db must be an ascending range")
        return self


class TextManipulationConfig(ManipulationConfig):
    """The same for text embeddings, with their ranges."""

    kind: ManipulationKind = "none"
    dropout: Range = Field((0.25, 0.75), description="Share of dimensions that are zeroed, drawn per query.")
    noise: Range = Field((1.0, 2.0), description="Norm of the added noise, drawn per query; embeddings have norm 1.")

    @model_validator(mode="after")
    def _works_on_text(self):
        if self.kind in NOT_FOR_TEXT:
            raise ValueError(f"{self.kind} is a manipulation of audio queries: set it as audio_query.kind")
        return self


class WeakConfig(Section):
    """Bi-modal weak supervision (``models.losses_weak``), on labelled natural clips."""

    mixtures: int = Field(2, ge=2, description="Clips that are added to a mixture of mixtures.")
    asked: int | None = Field(
        None, ge=1, description="Clips of a mixture whose sources are asked for in a step, at random; None: all."
    )
    contrastive_weight: float = Field(0.5, ge=0, description="Of an estimate's fit to its text, by the frozen CLAP.")
    consistency_weight: float = Field(5.0, ge=0, description="Of a clip's sources summing to it.")
    unsupervised_weight: float = Field(5.0, ge=0, description="Of clips being told apart as wholes.")
