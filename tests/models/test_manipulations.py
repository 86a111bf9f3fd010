"""The six manipulations do what their formulas say, repeat from a seed, and leave absent queries absent."""

import pytest
import torch

from data_specs.objectives import ManipulationConfig
from models.manipulations import TextPca, dropout, for_size, gaussian_noise, manipulate, mixup, spec_augment

N, D = 2_000, 64


@pytest.fixture
def queries():
    return torch.nn.functional.normalize(torch.randn(N, D, generator=seeded(1)), dim=1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_noise_has_a_norm_within_its_range_and_no_preferred_direction(queries):
    noise = gaussian_noise(queries, (1.5, 3.5), seeded()) - queries
    norms = noise.norm(dim=1)
    assert norms.min() >= 1.5 - 1e-5
    assert norms.max() <= 3.5 + 1e-5
    assert norms.mean() == pytest.approx(2.5, abs=0.05)
    assert noise.mean(dim=0).norm() < 0.2


def test_dropout_zeroes_a_share_within_its_range_and_keeps_the_expectation(queries):
    dropped = dropout(queries, (0.25, 0.75), seeded())
    share = (dropped == 0).float().mean(dim=1)
    assert share.mean() == pytest.approx(0.5, abs=0.01)
    assert share.min() < 0.25 < 0.75 < share.max()
    one = torch.full((20_000, D), 0.3)
    assert dropout(one, (0.75, 0.95), seeded()).mean() == pytest.approx(0.3, abs=0.005)


def test_what_dropout_leaves_is_scaled_by_one_number_per_query(queries):
    dropped = dropout(queries, (0.5, 0.5), seeded())
    torch.testing.assert_close(dropped[dropped != 0], 2 * queries[dropped != 0])


def test_pca_keeps_what_texts_vary_in_and_removes_the_rest():
    basis = torch.linalg.qr(torch.randn(D, D, generator=seeded()))[0]
    texts = torch.randn(500, 4, generator=seeded(2)) * torch.tensor([8.0, 4.0, 2.0, 1.0]) @ basis[:4] + basis[10]
    pca = TextPca(texts, dims=4)
    torch.testing.assert_close(pca.restore(texts), texts, atol=1e-4, rtol=1e-4)
    foreign = texts[:1] + 5 * basis[20]  # a direction that no text has
    torch.testing.assert_close(pca.restore(foreign), texts[:1], atol=1e-4, rtol=1e-4)
    reduced = pca.reduce(texts)
    assert reduced.shape == texts.shape
    assert (reduced[:, 4:] == 0).all()
    assert reduced[:, 0].var() > reduced[:, 1].var() > reduced[:, 2].var() > reduced[:, 3].var()
    torch.testing.assert_close(reduced[:, :4] @ pca.components + pca.mean, texts, atol=1e-4, rtol=1e-4)


def test_pca_needs_enough_texts():
    with pytest.raises(ValueError, match="3 texts of size 8 do not have 16 principal components"):
        TextPca(torch.randn(3, 8), dims=16)


def test_mixup_adds_another_sound_within_the_range_of_levels():
    waveforms = torch.randn(8, 1_000, generator=seeded(3)) * torch.logspace(-3, 0, 8)[:, None]
    others = waveforms.flip(0)
    added = mixup(waveforms, others, (-5.0, 5.0), seeded()) - waveforms
    ratio_db = 20 * torch.log10(waveforms.norm(dim=1) / added.norm(dim=1))
    assert ((ratio_db >= -5 - 1e-2) & (ratio_db <= 5 + 1e-2)).all()
    assert (torch.nn.functional.cosine_similarity(added, others) > 0.99).all()


def test_mixup_with_silence_changes_nothing():
    both = torch.stack([torch.randn(100, generator=seeded()), torch.zeros(100)])
    torch.testing.assert_close(mixup(both, both.flip(0), (-5.0, 5.0), seeded()), both)


def test_spec_augment_masks_whole_stripes_of_at_most_the_given_width():
    masked = spec_augment(torch.ones(400, 256, 64), seeded(), masks=1) == 0
    frames, bins = masked.all(dim=2).sum(dim=1), masked.all(dim=1).sum(dim=1)
    assert (frames.min(), frames.max()) == (0, 64)
    assert (bins.min(), bins.max()) == (0, 2)
    assert (masked == (masked.all(dim=2, keepdim=True) | masked.all(dim=1, keepdim=True))).all()


def test_spec_augment_fits_a_spectrogram_that_is_shorter_than_the_widest_mask():
    assert spec_augment(torch.ones(3, 10, 4), seeded(), mask_frames=64).shape == (3, 10, 4)


@pytest.mark.parametrize("change", [gaussian_noise, dropout])
def test_the_same_generator_gives_the_same_and_another_seed_another(queries, change):
    one, same, other = (change(queries, (0.4, 0.6), seeded(seed)) for seed in (0, 0, 1))
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert (one != other).any()


def test_an_absent_query_stays_absent(queries):
    absent = torch.zeros(2, 3, D)
    pca = TextPca(queries[:100], dims=8)
    for changed in (
        gaussian_noise(absent, (1.0, 2.0), seeded()),
        dropout(absent, (0.5, 0.5), seeded()),
        pca.reduce(absent),
        pca.restore(absent),
    ):
        assert (changed == 0).all()


@pytest.mark.parametrize("kind", ["noise", "dropout"])
def test_ranges_for_smaller_embeddings_disturb_a_direction_as_much_as_the_papers(kind):
    config, generator, spread = ManipulationConfig(kind=kind), seeded(0), []
    for dim in (512, 1024):
        assert for_size(config, dim).noise == pytest.approx(config.noise)
        assert for_size(config, dim).dropout == pytest.approx(config.dropout)
    for dim in (128, 512):
        query = torch.nn.functional.normalize(torch.ones(4000, dim), dim=1)
        direction = torch.randn(dim, generator=generator).sign() / dim**0.5
        spread.append(float(((manipulate(query, config, generator) - query) @ direction).std()))
    assert spread[0] == pytest.approx(spread[1], rel=0.1)
