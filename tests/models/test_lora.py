"""Adapters train, the encoder stays, and merging changes nothing that is heard."""

import torch

from data_specs.config import SeparatorConfig
from models.lora import merge_lora, with_lora
from models.separator import Separator


def test_only_adapters_of_the_encoder_are_trained():
    separator = with_lora(Separator(SeparatorConfig(lora_rank=4)))
    trained = {name for name, weight in separator.encoder.named_parameters() if weight.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    blocks = sum(SeparatorConfig().encoder.depths)
    assert len(trained) == blocks * 2 * 2, "query-key-value and output projection, two matrices each"
    assert all(weight.requires_grad for weight in separator.decoder.parameters())


def test_a_new_adapter_changes_nothing_and_a_merged_one_keeps_what_it_learned():
    torch.manual_seed(0)
    separator = Separator(SeparatorConfig()).eval()
    names = set(separator.state_dict())
    mixture, queries = torch.randn(1, 64_000), torch.randn(1, 2, 256)
    with torch.no_grad():
        before = separator(mixture, queries)
        with_lora(separator).eval()
        torch.testing.assert_close(separator(mixture, queries), before)
        for name, weight in separator.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.3)
        learned = separator(mixture, queries)
        merge_lora(separator).eval()
        torch.testing.assert_close(separator(mixture, queries), learned, atol=1e-4, rtol=1e-3)
    assert set(separator.state_dict()) == names


def test_with_a_frozen_encoder_statistics_of_the_spectrum_stay_once_they_are_measured():
    separator = with_lora(Separator(SeparatorConfig()))
    norm = separator.mask_net.spec_norm

    def change_in_training() -> float:
        before = norm.running_mean.clone()
        separator.train()(torch.randn(2, 64_000), torch.randn(2, 1, 256))
        return float((norm.running_mean - before).abs().max())

    assert change_in_training() > 0, "nothing is known of the spectrum yet"
    norm.num_batches_tracked.fill_(separator.batches_measured)
    assert change_in_training() == 0
    assert separator.encoder.bn0.num_batches_tracked == 0
