"""Query manipulations: noise that keeps a separator from overfitting to what only audio embeddings have.

A separator that is trained with audio embeddings of its targets as queries works with text only where audio and text
embeddings agree. They differ by a modality gap, so training hides details of the query: two manipulations act on the
sound before it is embedded (mixup, SpecAugment), four on the embedding (PCA, PCA-inverse, Gaussian noise, dropout).
PCA is a change of the query space, so text goes through it as well, at inference too; the others are for training.

Shapes: N queries, D size of one embedding, T samples. An embedding of zeros is an absent query and stays one. All
randomness comes from the generator that is passed in.

Source: Saijo et al. 2024, "Leveraging Audio-Only Data for Text-Queried Target Sound Extraction", section II-C,
https://arxiv.org/abs/2409.13152. It draws one strength per forward pass; here every query has its own.

Example::

    generator = torch.Generator().manual_seed(0)
    queries = dropout(queries, (0.75, 0.95), generator)     # (N, D) -> (N, D)
"""

import torch
from torch import Generator, Tensor

from data_specs.objectives import ManipulationConfig

Range = tuple[float, float]

PAPER_DIM = 512  # of LAION-CLAP's embeddings


def manipulate(queries: Tensor, config: ManipulationConfig, generator: Generator) -> Tensor:
    """What ``config`` does to embeddings, (..., D) -> (..., D); nothing where it changes the sound or the space.

    Its ranges are those for ``PAPER_DIM`` dimensions or more (``for_size``).
    """
    config = for_size(config, queries.shape[-1])
    if config.kind == "noise":
        return gaussian_noise(queries, config.noise, generator)
    if config.kind == "dropout":
        return dropout(queries, config.dropout, generator)
    return queries


def for_size(config: ManipulationConfig, dim: int) -> ManipulationConfig:
    """The ranges of noise and dropout for embeddings of ``dim``: what a direction carries is disturbed as much.

    Noise of norm α puts α² / dim on a direction, dropout of p puts p / (1 - p) / dim of the query's energy on it. The
    paper has the same ranges for LAION-CLAP's 512 dimensions and MS-CLAP's 1024, so larger embeddings keep them.
    """
    share = min(1.0, dim / PAPER_DIM)
    odds = [share * p / (1 - p) for p in config.dropout]
    return config.model_copy(
        update={
            "noise": tuple(share**0.5 * norm for norm in config.noise),
            "dropout": tuple(one / (1 + one) for one in odds),
        }
    )


def mixup(waveforms: Tensor, others: Tensor, snr_db: Range, generator: Generator) -> Tensor:
    """Every waveform with another one mixed in, both (N, T) -> (N, T).

    Args:
        snr_db: range of the waveform's level over that of what is mixed in. Silence is neither mixed nor mixed in.
    """
    ratio_db = uniform(snr_db, (len(waveforms), 1), generator).to(waveforms)
    level, other_level = (x.square().mean(dim=1, keepdim=True).sqrt() for x in (waveforms, others))
    gain = torch.where(other_level > 0, level / other_level.clamp(min=1e-12), 0.0) * 10 ** (-ratio_db / 20)
    return waveforms + gain * others


def spec_augment(
    spectrogram: Tensor, generator: Generator, *, masks: int = 2, mask_frames: int = 64, mask_bins: int = 2
) -> Tensor:
    """Normalised mel spectrogram (N, frames, bins) with random stripes set to 0, the mean of every bin.

    Args:
        masks: stripes along each axis, drawn for every item. mask_frames, mask_bins: the widest stripe of each axis.
    """
    kept = torch.ones(spectrogram.shape, dtype=torch.bool)
    for axis, widest in ((1, mask_frames), (2, mask_bins)):
        size = spectrogram.shape[axis]
        position = torch.arange(size)
        for _ in range(masks):
            width = torch.randint(0, min(widest, size) + 1, (len(spectrogram), 1), generator=generator)
            start = (torch.rand((len(spectrogram), 1), generator=generator) * (size - width + 1)).long()
            outside = (position < start) | (position >= start + width)  # (N, size)
            kept &= outside.unsqueeze(3 - axis)
    return spectrogram * kept.to(spectrogram)


def gaussian_noise(queries: Tensor, norm: Range, generator: Generator) -> Tensor:
    """``q + α v / ‖v‖`` with Gaussian v and α uniform in ``norm``, (..., D) -> (..., D)."""
    direction = torch.nn.functional.normalize(torch.randn(queries.shape, generator=generator), dim=-1)
    alpha = uniform(norm, (*queries.shape[:-1], 1), generator)
    return torch.where(present(queries), queries + (alpha * direction).to(queries), queries)


def dropout(queries: Tensor, rate: Range, generator: Generator) -> Tensor:
    """Bernoulli dropout with a rate p uniform in ``rate``, (..., D) -> (..., D).

    What is left is divided by 1 - p, as in every dropout layer, so that the expectation is the query itself.
    """
    p = uniform(rate, (*queries.shape[:-1], 1), generator)
    kept = torch.rand(queries.shape, generator=generator) >= p
    return queries * (kept / (1 - p)).to(queries)


class TextPca:
    """Principal components of text embeddings: what is left of a query that text can say.

    Args:
        texts: embeddings that the components come from, (N, D).
        dims: how many leading components are kept, at most min(N - 1, D).

    Raises:
        ValueError: when the embeddings do not have that many.
    """

    def __init__(self, texts: Tensor, dims: int):
        if dims > min(len(texts) - 1, texts.shape[1]):
            raise ValueError(f"{len(texts)} texts of size {texts.shape[1]} do not have {dims} principal components")
        self.mean = texts.mean(dim=0)
        components = torch.linalg.svd(texts - self.mean, full_matrices=False).Vh[:dims]  # (dims, D)
        # A singular vector's sign is arbitrary; the largest entry is made positive, so that machines agree.
        largest = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
        self.components = components * largest.sign()

    def reduce(self, queries: Tensor) -> Tensor:
        """Coordinates on the components, (..., D) -> (..., D): the first ``dims`` of them, zeros after.

        Padding with zeros is the same to the next linear layer as a query of ``dims``, and keeps the query's size.
        """
        coordinates = (queries - self.mean) @ self.components.T
        padded = torch.nn.functional.pad(coordinates, (0, queries.shape[-1] - coordinates.shape[-1]))
        return torch.where(present(queries), padded, queries)

    def restore(self, queries: Tensor) -> Tensor:
        """PCA and its inverse: the nearest point of the components' space, (..., D) -> (..., D)."""
        nearest = (queries - self.mean) @ self.components.T @ self.components + self.mean
        return torch.where(present(queries), nearest, queries)


def present(queries: Tensor) -> Tensor:
    """Which queries are not absent, (..., D) -> (..., 1) bool."""
    return (queries != 0).any(dim=-1, keepdim=True)


def uniform(bounds: Range, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Uniform random numbers within ``bounds``."""
    low, high = bounds
    return low + (high - low) * torch.rand(shape, generator=generator)
