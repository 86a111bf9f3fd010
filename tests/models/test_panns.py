"""PANNs Cnn14 behind our interface: what the package computes from the same file, and refusals of other files."""

import pytest
import torch

from data_specs.config import Config, ModelConfig, TagConfig
from data_specs.errors import UserError
from data_specs.labels import label_table
from models.panns import PannsTagger
from models.taggers import load_tagger


@pytest.fixture(scope="module")
def tagger(cnn14):
    return PannsTagger.load(cnn14.path)


def noise(*shape: int) -> torch.Tensor:
    return 0.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_scores_are_those_of_the_package(tagger, cnn14):
    waveforms = noise(3, 64_000)
    with torch.inference_mode():
        expected = cnn14.model(waveforms)["clipwise_output"]
    scores = tagger.scores(waveforms)
    assert scores.shape == (3, len(label_table()))
    assert ((scores >= 0) & (scores <= 1)).all()
    torch.testing.assert_close(scores, expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(tagger.scores(waveforms), scores)


def test_the_package_has_our_labels_in_our_order(tagger):
    import panns_inference

    assert tuple(panns_inference.labels) == label_table().names
    assert panns_inference.config.classes_num == 527
    assert panns_inference.config.id_to_ix["/m/05tny_"] == label_table().index("Bark")


def test_the_shortest_clips_are_scored(tagger):
    for length in (1, 9_919, 9_920, 16_000):
        assert tagger.scores(noise(1, length)).isfinite().all()


def test_the_configuration_chooses_it(cnn14, own_cache):
    config = Config(tag=TagConfig(tagger="panns"), model=ModelConfig(panns=str(cnn14.path)))
    tagger = load_tagger(config)
    assert tagger.source == "panns"
    assert tagger.scores(noise(1, 16_000)).shape == (1, 527)


def test_without_the_file_the_error_says_what_to_put_where(own_cache):
    with pytest.raises(UserError, match=r"put Cnn14_mAP=0.431.pth from https://zenodo.org/.* into .*cache"):
        load_tagger(Config(tag=TagConfig(tagger="panns")))


def test_a_checkpoint_of_another_network_is_named(tmp_path):
    torch.save({"model": {"conv.weight": torch.zeros(2)}}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"a PANNs Cnn14 checkpoint at .* another size .* left over: conv.weight"):
        PannsTagger.load(tmp_path / "other.pth")
