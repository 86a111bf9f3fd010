"""Words in, tracks out: queries are built as the paper says, batches equal single calls."""

import pytest
import torch

from data_specs.config import ModelConfig, SeparatorConfig
from models.checkpoints import checkpoint_hash
from models.label_separator import LabelSeparator, others, silenced
from models.queries import Query, query
from models.separator import Separator


class NamesEncoder:
    """Embeds ``a``, ``b`` and ``c`` as the axes of a space."""

    dim = 3

    def embed_text(self, texts):
        return torch.eye(3)[["abc".index(text) for text in texts]]

    def embed_audio(self, waveforms):
        raise AssertionError("no audio queries here")


@pytest.fixture(scope="module")
def separator() -> LabelSeparator:
    torch.manual_seed(0)
    return LabelSeparator(Separator(SeparatorConfig(query_dim=3)), NamesEncoder(), "hash")


def test_a_query_is_the_positive_embedding_and_the_mean_of_the_negative_ones():
    assert query(NamesEncoder(), "a", ["b", "c"]).tolist() == [1, 0, 0, 0, 0.5, 0.5]
    assert query(NamesEncoder(), "b", []).tolist() == [0, 1, 0, 0, 0, 0]
    assert query(NamesEncoder(), None, ["c"]).tolist() == [0, 0, 0, 0, 0, 1]


def test_what_is_far_below_the_mixture_is_silence():
    mixture = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    tracks = torch.stack([0.5 * mixture, 0.1 * mixture])  # 6 and 20 dB below
    loud, quiet = silenced(tracks, mixture, -16.0)
    torch.testing.assert_close(loud, tracks[0], rtol=0, atol=0)
    assert not quiet.any()
    assert silenced(torch.zeros(2, 10), torch.zeros(10), -16.0).eq(0).all()


def test_tracks_are_silenced_where_a_floor_is_asked_for(separator):
    mixture = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
    (plain,) = separator.separate_batch(mixture, [["a", "b"]])
    floored = LabelSeparator(separator.separator, NamesEncoder(), "hash", silence_floor_db=-0.01)
    (found,) = floored.separate_batch(mixture, [["a", "b"]])
    assert plain.any(dim=1).all()
    assert not found.any()
    (raw,) = floored.answer(mixture, [[Query("a", ("b",)), Query("b", ("a",))]])
    torch.testing.assert_close(raw, plain)


def test_labels_are_negative_queries_for_one_another():
    assert others(["a", "b", "c"]) == [["b", "c"], ["a", "c"], ["a", "b"]]
    assert others(["a"]) == [[]]


def test_a_batch_of_clips_with_different_labels_gives_what_single_calls_give(separator):
    mixtures = torch.randn(2, 40_000)
    together = separator.separate_batch(mixtures, [["a", "b", "c"], ["b"]])
    assert [tuple(tracks.shape) for tracks in together] == [(3, 40_000), (1, 40_000)]
    torch.testing.assert_close(together[0], separator.separate(mixtures[0], ["a", "b", "c"]), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(together[1], separator.separate(mixtures[1], ["b"]), atol=1e-4, rtol=1e-3)


def test_negatives_can_be_given_or_left_out(separator):
    mixture = torch.randn(40_000)
    default = separator.separate(mixture, ["a", "b"])
    torch.testing.assert_close(separator.separate(mixture, ["a", "b"], negatives=[["b"], ["a"]]), default)
    assert (separator.separate(mixture, ["a", "b"], negatives=[[], []]) - default).abs().max() > 0


def test_a_query_may_lack_its_positive_text(separator):
    mixture = torch.randn(1, 40_000)
    both, background = separator.answer(mixture, [[Query("a", ("b",)), Query(None, ("a", "b"))]])[0]
    torch.testing.assert_close(both, separator.separate(mixture[0], ["a", "b"])[0], atol=1e-4, rtol=1e-3)
    assert (both - background).abs().max() > 0


@pytest.mark.parametrize("labels", [[], [[]]])
def test_no_labels_is_an_error(separator, labels):
    with pytest.raises(ValueError, match="at least one label"):
        separator.separate_batch(torch.randn(len(labels), 1000), labels)


def test_the_shipped_weights_load_and_take_free_text():
    separator = LabelSeparator.load(ModelConfig())
    assert separator.checkpoint_hash == checkpoint_hash("embedded")
    assert separator.sample_rate_hz == 32_000
    tracks = separator.separate(0.1 * torch.randn(64_000), ["a dog barks far away", "Rain"])
    assert tracks.shape == (2, 64_000)
    assert tracks.isfinite().all()
