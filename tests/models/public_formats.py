"""Checkpoints as others publish them, with random weights: the packages' own classes, in the files' own layout."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from data_specs.labels import label_table
from models.laion import laion_package
from models.panns import panns_package

TOKENS = 500
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def write_tokenizer(path: Path, vocab_size: int = TOKENS) -> None:
    """RoBERTa's kind of tokenizer with few tokens, as a ``tokenizer.json``."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(label_table().names, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))


def write_laion_clap(path: Path, monkeypatch: Any, *, seed: int = 0) -> Any:
    """A LAION-CLAP checkpoint with HTSAT-tiny and one layer of text encoder; returns the package's own model.

    The package asks for ``roberta-base``, which is also the name of a folder: one is put where the process stands.
    """
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(seed)
    folder = path.parent / "asked-for"
    text = RobertaConfig(
        vocab_size=TOKENS,
        hidden_size=768,
        num_hidden_layers=1,
        intermediate_size=64,
        max_position_embeddings=100,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    RobertaModel(text).save_pretrained(folder / "roberta-base")
    sizes = json.loads((Path(laion_package().__file__).parent / "model_configs" / "HTSAT-tiny.json").read_text())
    sizes["text_cfg"]["model_type"] = "roberta"
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        clap = laion_package().CLAP(**sizes).eval()
    weights = {f"module.{name}": value for name, value in clap.state_dict().items()}
    weights["module.text_branch.embeddings.position_ids"] = torch.arange(100).unsqueeze(0)  # as in files of 2023
    torch.save({"epoch": 15, "name": "random", "best": np.float64(0.9), "state_dict": weights}, path)
    return clap


def write_cnn14(path: Path, *, seed: int = 0) -> Any:
    """A PANNs Cnn14 checkpoint in PyTorch's format of 2020; returns the package's own model."""
    torch.manual_seed(seed)
    cnn14 = panns_package().Cnn14(32_000, 1024, 320, 64, 50, 14_000, 527).eval()
    torch.save({"iteration": 600_000, "model": cnn14.state_dict()}, path, _use_new_zipfile_serialization=False)
    return cnn14
