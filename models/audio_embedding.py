"""Sounds as queries: embeddings of a target's own sound, with what training does to the sound first.

``embed_sounds`` stands before ``models.manipulations.manipulate``, which works on what comes out of it. Mixup changes
the waveform; SpecAugment changes the spectrogram inside of the encoder, where it has been normalised.

Example::

    queries = embed_sounds(encoder, sounds, ManipulationConfig(kind="spec_augment"), generator)    # (N, T) -> (N, D)
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Generator, Tensor

from data_specs.errors import UserError
from data_specs.objectives import ManipulationConfig
from models.manipulations import mixup, spec_augment
from models.query_encoders import QueryEncoder, SpectrogramEncoder


def embed_sounds(
    encoder: QueryEncoder,
    sounds: Tensor,
    config: ManipulationConfig,
    generator: Generator,
    *,
    mixed_in: Tensor | None = None,
) -> Tensor:
    """Sounds (N, T) to embeddings (N, D), on the device of the sounds; silence gives an absent query, zeros.

    Args:
        mixed_in: other sounds (N, T), which mixup needs.

    Raises:
        UserError: SpecAugment is asked for, and the encoder has no spectrogram to work on.
    """
    heard = sounds
    if config.kind == "mixup":
        assert mixed_in is not None
        heard = mixup(sounds, mixed_in, config.mixup_snr_db, generator)

    def masked(spectrogram: Tensor) -> Tensor:
        return spec_augment(
            spectrogram, generator, masks=config.masks, mask_frames=config.mask_frames, mask_bins=config.mask_bins
        )

    augmenting: AbstractContextManager[None] = nullcontext()
    if config.kind == "spec_augment":
        if not isinstance(encoder, SpectrogramEncoder):
            raise UserError("this query encoder has no spectrogram for spec_augment: choose another manipulation")
        augmenting = encoder.changing_spectrograms(masked)
    with augmenting:
        embedded = encoder.embed_audio(heard).to(sounds.device)
    return torch.where((sounds != 0).any(dim=1, keepdim=True), embedded, 0.0)
