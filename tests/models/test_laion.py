"""LAION-CLAP behind our interface: what the package computes from the same files, for audio of any length."""

import warnings

import pytest
import torch
import torchaudio.functional as AF

from data_specs.config import Config, ModelConfig
from data_specs.errors import UserError
from data_specs.labels import label_table
from models.laion import WINDOW_LENGTH, LaionClap
from models.query_encoders import load_query_encoder, query_encoder_id
from models.taggers import load_tagger
from tests.models.public_formats import TOKENS, write_tokenizer

WIDTH = "audio_branch.patch_embed.proj.weight"
FUSION = "audio_branch.patch_embed.mel_conv2d.weight"


@pytest.fixture(scope="module")
def encoder(laion_clap):
    return LaionClap.load(laion_clap.path, laion_clap.path.parent / "roberta-base" / "tokenizer.json")


@pytest.fixture(scope="module")
def package_features():
    """The package's own preparation of audio, which needs its whole import."""
    with warnings.catch_warnings(action="ignore"):
        from laion_clap.training import data
    return data


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seconds", [1.3, 10.0])
def test_audio_up_to_ten_seconds_is_embedded_as_by_the_package(encoder, laion_clap, package_features, seconds):
    waveforms = noise(2, round(seconds * 32_000))
    prepared = []
    for resampled in AF.resample(waveforms, 32_000, 48_000).numpy():
        quantised = package_features.int16_to_float32(package_features.float32_to_int16(resampled))
        audio, settings = torch.from_numpy(quantised), laion_clap.model.audio_cfg
        prepared.append(
            package_features.get_audio_features({}, audio, WINDOW_LENGTH, "rand_trunc", "repeatpad", vars(settings))
        )
    with torch.inference_mode():
        expected = laion_clap.model.get_audio_embedding(prepared)
    embedded = encoder.embed_audio(waveforms)
    assert embedded.shape == (2, encoder.dim) == (2, 512)
    torch.testing.assert_close(embedded, expected, atol=1e-5, rtol=1e-4)


def test_text_is_embedded_as_by_the_package(encoder, laion_clap):
    from transformers import RobertaTokenizer

    tokenizer = RobertaTokenizer.from_pretrained(laion_clap.path.parent / "roberta-base")
    texts = ["rain on a roof", "a dog barks " * 40]  # the second one is longer than the text encoder reads
    tokens = tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
    with torch.inference_mode():
        expected = laion_clap.model.get_text_embedding(tokens)
    torch.testing.assert_close(encoder.embed_text(texts), expected, atol=1e-5, rtol=1e-4)


def test_a_label_is_said_as_a_sentence_and_other_text_as_it_is(encoder):
    label, sentence, text = encoder.embed_text(["Bark", "The sound of Bark", "bark"])
    assert torch.equal(label, sentence)
    assert not torch.equal(label, text)
    with pytest.raises(ValueError, match="no word"):
        encoder.embed_text([" "])


def test_the_company_of_a_text_does_not_change_its_vector(encoder):
    again = LaionClap(encoder.clap, encoder._tokenizer)
    company = again.embed_text(["rain", "a very long description of a storm that comes nearer", "rain"])
    torch.testing.assert_close(company[0], encoder.embed_text(["rain"])[0], atol=1e-6, rtol=1e-5)
    assert torch.equal(company[0], company[2])


def test_long_audio_is_heard_from_its_start_to_its_end_and_always_the_same(encoder):
    waveform = noise(1, 24 * 32_000)
    windows = encoder.embed_windows(waveform)
    assert windows.shape == (1, 3, 512)
    torch.testing.assert_close(windows[:, :1], encoder.embed_windows(waveform[:, : 10 * 32_000]), atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(
        windows[:, -1:], encoder.embed_windows(waveform[:, -10 * 32_000 :]), atol=1e-3, rtol=1e-2
    )
    assert torch.equal(encoder.embed_audio(waveform), encoder.embed_audio(waveform))
    torch.testing.assert_close(encoder.embed_audio(waveform).norm(dim=-1), torch.ones(1))


def test_silence_and_single_samples_are_heard_without_a_nan(encoder):
    for waveform in (torch.zeros(1, 1000), torch.ones(1, 1)):
        assert encoder.embed_audio(waveform).isfinite().all()


def test_a_folder_with_both_files_is_enough(laion_clap, own_cache):
    for name in (laion_clap.path, laion_clap.path.parent):
        encoder = load_query_encoder(str(name))
        assert encoder.embed_text(["Rain"]).shape == (1, 512)
    assert query_encoder_id(str(laion_clap.path)) == query_encoder_id(str(laion_clap.path.parent))
    assert query_encoder_id("embedded") != query_encoder_id(str(laion_clap.path))


def test_without_a_tokenizer_the_error_says_where_it_belongs(laion_clap, tmp_path, own_cache):
    path = tmp_path / "clap.pt"
    path.symlink_to(laion_clap.path)
    with pytest.raises(
        UserError, match=r"roberta-base .* put roberta-base/tokenizer.json from https://.* into .*cache"
    ):
        load_query_encoder(str(path))


def test_labels_are_tagged_by_their_cosine(laion_clap, own_cache):
    tagger = load_tagger(Config(model=ModelConfig(clap=str(laion_clap.path))))
    scores = tagger.scores(noise(2, 16_000))
    assert tagger.source == "clap"
    assert scores.shape == (2, len(label_table()))
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ({"conv.weight": torch.zeros(2)}, r"found other weights \(conv.weight, text_branch"),
        ({WIDTH: torch.zeros(40, 1, 4, 4)}, "found other weights"),
        ({WIDTH: torch.zeros(96, 1, 4, 4), FUSION: torch.zeros(96, 1, 4, 12)}, "found one for fused features"),
    ],
)
def test_checkpoints_of_another_architecture_are_named(laion_clap, tmp_path, weights, found):
    path, tokenizer = tmp_path / "other.pt", laion_clap.path.parent / "roberta-base" / "tokenizer.json"
    rows = torch.zeros(TOKENS, 1)
    torch.save({"state_dict": {**weights, "text_branch.embeddings.word_embeddings.weight": rows}}, path)
    with pytest.raises(UserError, match=f"expected a LAION-CLAP checkpoint without fusion .* at {path}, {found}"):
        LaionClap.load(path, tokenizer)


def test_a_checkpoint_that_lacks_a_weight_is_named(laion_clap, tmp_path):
    content = torch.load(laion_clap.path, weights_only=False)
    del content["state_dict"]["module.logit_scale_a"]
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(UserError, match="missing: logit_scale_a"):
        LaionClap.load(tmp_path / "other.pt", laion_clap.path.parent / "roberta-base" / "tokenizer.json")


def test_a_tokenizer_that_does_not_belong_is_named(laion_clap, tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(UserError, match="found no file"):
        LaionClap.load(laion_clap.path, path)
    for content in ("{}", ""):
        path.write_text(content)
        with pytest.raises(UserError, match="found another file"):
            LaionClap.load(laion_clap.path, path)
    write_tokenizer(path, vocab_size=TOKENS - 10)
    with pytest.raises(UserError, match=f"with {TOKENS} tokens at .*, found one with {TOKENS - 10}"):
        LaionClap.load(laion_clap.path, path)
