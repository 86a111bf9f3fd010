"""Low-rank adapters on the encoder's attention, by the peft library.

Training sees ``with_lora(separator)``; ``merge_lora`` folds the adapters into the weights, so that a checkpoint needs
no adapter code to load and the next round starts with fresh ones. Only the ClearSep separator has a pre-trained encoder
that calls for adapters; the extractors pass through unchanged and train as a whole.

Source: Hu et al. 2021, https://arxiv.org/abs/2106.09685; A.1 of the ClearSep paper.
"""

from typing import TypeVar

from models.architectures import AnySeparator
from models.separator import Separator

SeparatorT = TypeVar("SeparatorT", bound=AnySeparator)

ATTENTION = r".*\.attn\.(qkv|proj)"  # query, key, value and output projections (A.1)


def with_lora(separator: SeparatorT) -> SeparatorT:
    """Freeze the encoder and, for a rank above 0, put trainable adapters into it, in place."""
    if not isinstance(separator, Separator):
        return separator
    separator.encoder.requires_grad_(False)
    rank = separator.config.lora_rank
    if rank > 0:
        from peft import LoraConfig, inject_adapter_in_model  # seconds to import, and only training needs it

        inject_adapter_in_model(
            LoraConfig(r=rank, lora_alpha=rank, target_modules=ATTENTION, bias="none"), separator.encoder
        )
    return separator


def merge_lora(separator: SeparatorT) -> SeparatorT:
    """Fold the adapters into the encoder's weights and remove them, in place."""
    if not isinstance(separator, Separator):
        return separator
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in list(separator.encoder.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, BaseTunerLayer):
                child.merge()
                setattr(module, name, child.get_base_layer())
    return separator.requires_grad_(True)
