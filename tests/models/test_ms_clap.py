"""MS-CLAP behind our interface: what the package's networks compute from the same file, for audio of any length."""

import pytest
import torch
import torch.nn.functional as F
import torchaudio.functional as AF
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data_specs.errors import UserError
from data_specs.labels import label_table
from data_specs.objectives import ManipulationConfig
from models.audio_embedding import embed_sounds
from models.clap_parts import load_networks
from models.ms_clap import _AUDIO, WINDOW_LENGTH, MsClap, ms_networks
from models.query_encoders import GradientEncoder, SpectrogramEncoder, load_query_encoder, query_encoder_id

TOKENS, HIDDEN, DIM = 400, 64, 32


def write_gpt2_tokenizer(path) -> None:
    """GPT-2's kind of tokenizer with few tokens: "!" is the first, the end of a text the last."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=TOKENS - 1, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(label_table().names, trainer)
    tokenizer.add_special_tokens(["<|endoftext|>"])
    path.parent.mkdir(parents=True)
    tokenizer.save(str(path))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A checkpoint as it is published, with random weights and one layer of text encoder; and the package's model."""
    from transformers import GPT2Config, GPT2Model

    folder = tmp_path_factory.mktemp("ms-clap")
    write_gpt2_tokenizer(folder / "gpt2" / "tokenizer.json")
    torch.manual_seed(0)
    text = GPT2Config(vocab_size=TOKENS, n_positions=100, n_embd=HIDDEN, n_layer=1, n_head=1)
    GPT2Model(text).save_pretrained(folder / "gpt2")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # the package asks for "gpt2", which is also the name of a folder
        clap = ms_networks().CLAP(**_AUDIO, text_model="gpt2", transformer_embed_dim=HIDDEN, d_proj=DIM).eval()
    weights = clap.state_dict()
    weights["caption_encoder.base.h.0.attn.bias"] = torch.ones(1, 1, 100, 100)  # as older transformers saved it
    path = folder / "CLAP_weights_2023.pth"
    torch.save({"model": weights}, path)
    return path, clap


@pytest.fixture(scope="module")
def encoder(published):
    return load_query_encoder(str(published[0]))


def noise(*shape: int) -> torch.Tensor:
    return 0.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("seconds", [1.3, 7.0])
def test_audio_up_to_seven_seconds_is_embedded_as_by_the_package(encoder, published, seconds):
    waveforms = noise(2, round(seconds * 32_000))
    resampled = AF.resample(waveforms, 32_000, 44_100)
    repeated = resampled.repeat(1, -(-WINDOW_LENGTH // resampled.shape[1]))[:, :WINDOW_LENGTH]
    with torch.inference_mode():
        expected = F.normalize(published[1].audio_encoder(repeated)[0], dim=-1)
    embedded = encoder.embed_audio(waveforms)
    assert embedded.shape == (2, encoder.dim) == (2, DIM)
    torch.testing.assert_close(embedded, expected, atol=1e-5, rtol=1e-4)


def test_long_audio_is_heard_from_its_start_to_its_end_and_always_the_same(encoder):
    waveforms = noise(1, 10 * 32_000)
    windows = encoder.embed_windows(waveforms)
    assert windows.shape == (1, 2, DIM)
    torch.testing.assert_close(windows[:, 0], encoder.embed_audio(waveforms[:, : 7 * 32_000]), atol=1e-3, rtol=0)
    assert torch.equal(encoder.embed_audio(waveforms), encoder.embed_audio(waveforms))


def test_text_is_embedded_as_by_the_package(encoder, published):
    from transformers import GPT2TokenizerFast

    tokenizer = GPT2TokenizerFast(tokenizer_file=str(published[0].parent / "gpt2" / "tokenizer.json"))
    tokenizer.add_special_tokens({"pad_token": "!"})
    texts = ["rain on a roof", "a dog barks " * 40]  # the second one is longer than the text encoder reads
    said = [text + " <|endoftext|>" for text in texts]
    tokens = tokenizer(said, max_length=77, padding="max_length", truncation=True, return_tensors="pt")
    with torch.inference_mode():
        expected = F.normalize(published[1].caption_encoder(dict(tokens)), dim=-1)
    torch.testing.assert_close(encoder.embed_text(texts), expected, atol=1e-5, rtol=1e-4)


def test_a_label_is_said_as_a_sentence_and_an_empty_text_is_refused(encoder):
    label, sentence, text = encoder.embed_text(["Bark", "this is the sound of Bark", "bark"])
    torch.testing.assert_close(label, sentence)
    assert not torch.allclose(label, text)
    with pytest.raises(ValueError, match="no word"):
        encoder.embed_text([" "])


def test_it_judges_estimates_with_a_gradient_and_takes_masks_on_its_spectrogram(encoder):
    waveforms = noise(1, 32_000).requires_grad_()
    assert isinstance(encoder, GradientEncoder)
    encoder.embed_audio_with_gradient(waveforms)[0, 0].backward()
    assert waveforms.grad.isfinite().all()
    assert waveforms.grad.any()
    assert isinstance(encoder, SpectrogramEncoder)
    sounds, generator = noise(1, 32_000), torch.Generator().manual_seed(0)
    masked = embed_sounds(encoder, sounds, ManipulationConfig(kind="spec_augment"), generator)
    assert not torch.allclose(masked, encoder.embed_audio(sounds))


def test_a_folder_names_it_and_what_its_vectors_depend_on(published, encoder):
    folder = str(published[0].parent)
    assert query_encoder_id(folder) == query_encoder_id(str(published[0]))
    torch.testing.assert_close(load_query_encoder(folder).embed_text(["Bark"]), encoder.embed_text(["Bark"]))


def test_files_that_are_something_else_are_refused_in_one_line(published, tmp_path):
    other = tmp_path / "CLAP_weights_other.pth"
    torch.save({"model": {"conv.weight": torch.zeros(1)}}, other)
    tokenizer = published[0].parent / "gpt2" / "tokenizer.json"
    with pytest.raises(UserError, match=r"expected GPT-2's tokenizer.json with 1 tokens|found other weights"):
        MsClap.load(other, tokenizer)
    with pytest.raises(UserError, match="found no file"):
        MsClap.load(published[0], tmp_path / "tokenizer.json")


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(UserError, match="install it"):
        load_networks("a_package_that_is_not_there", "models", name="none", missing="install it")
