"""The public scheme, to compare with: CLAPSep on laion-clap's HTSAT class, one whole forward pass per query.

Modules are named as in published checkpoints. Encoder and attention blocks are laion-clap's, with their attention maps,
spectrograms are torchlibrosa's, adapters stay beside the weights that they change, all as in the public code.

Source: Ma et al. 2024, https://arxiv.org/abs/2402.17455.

Example::

    reference = ClapSep(SeparatorConfig(...)).eval()
    track = reference(mixture, query)               # (B, T) and (B, 2 D) -> (B, T)
    torch.save(reference.state_dict(), "clapsep.ckpt")
"""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
import torchaudio
from laion_clap.clap_module import htsat
from torch import Tensor, nn
from torchlibrosa.stft import ISTFT, STFT, magphase

from data_specs.config import HTSATConfig, SeparatorConfig


def laion_htsat(config: HTSATConfig) -> nn.Module:
    """laion-clap's encoder class at the size of ``config``."""
    audio = SimpleNamespace(
        window_size=config.n_fft,
        hop_size=config.hop_length,
        sample_rate=config.sample_rate_hz,
        mel_bins=config.mel_bins,
        fmin=config.f_min_hz,
        fmax=config.f_max_hz,
        class_num=527,
        enable_fusion=False,
        fusion_type="None",
    )
    return htsat.HTSAT_Swin_Transformer(
        spec_size=config.spec_size,
        patch_size=config.patch_size,
        embed_dim=config.width,
        depths=list(config.depths),
        num_heads=list(config.heads),
        config=audio,
    )


class LoraLinear(nn.Linear):
    """A frozen linear layer and its adapter, added at every call with loralib's scaling 1 / r."""

    def __init__(self, layer: nn.Linear, rank: int):
        super().__init__(layer.in_features, layer.out_features)
        self.weight, self.bias = layer.weight, layer.bias
        self.weight.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.lora_B = nn.Parameter(torch.randn(layer.out_features, rank) / layer.in_features**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x @ self.lora_A.T @ self.lora_B.T / len(self.lora_A)


class Film(nn.Module):
    def __init__(self, query_dim: int, dim: int):
        super().__init__()
        self.beta = nn.Linear(query_dim, dim)
        self.gamma = nn.Linear(query_dim, dim)

    def forward(self, x: Tensor, query: Tensor) -> Tensor:
        return self.gamma(query)[:, None] * x + self.beta(query)[:, None]


class Skip(nn.Module):
    def __init__(self, feature_dim: int, dim: int, query_dim: int):
        super().__init__()
        self.skip_conv = Film(query_dim, dim)
        self.feature_proj = nn.Linear(feature_dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, feature: Tensor, query: Tensor, x: Tensor | None = None) -> Tensor:
        out = self.skip_conv(self.feature_proj(feature), query)
        return self.norm(out if x is None else out + x)


class Expand(nn.Module):
    """Every token to a 2 x 2 square, in the order that laion-clap's patch merging has."""

    def __init__(self, dim: int, side: int):
        super().__init__()
        self.side = side
        self.expand = nn.Linear(dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(dim // 2)

    def forward(self, x: Tensor) -> Tensor:
        squares = self.expand(x).unflatten(1, (self.side, self.side))  # (B, H, W, 2 C)
        top_left, bottom_left, top_right, bottom_right = squares.chunk(4, dim=-1)
        top = torch.stack([top_left, top_right], dim=3).flatten(2, 3)  # (B, H, 2 W, C / 2)
        bottom = torch.stack([bottom_left, bottom_right], dim=3).flatten(2, 3)
        return self.norm(torch.stack([top, bottom], dim=2).flatten(1, 3))


class Stage(nn.Module):
    def __init__(self, dim: int, side: int, depth: int, heads: int, expand: bool):
        super().__init__()
        self.downsample = Expand(2 * dim, side // 2) if expand else None
        self.blocks = nn.ModuleList(
            htsat.SwinTransformerBlock(dim, (side, side), heads, window_size=8, shift_size=4 * (i % 2))
            for i in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.downsample is not None:
            x = self.downsample(x)
        attention = []
        for block in self.blocks:
            x, attention_map = block(x)
            attention.append(attention_map)
        if not self.training:
            torch.stack(attention).mean(dim=0)  # the public code does this and drops it
        return x


class ToImage(nn.Module):
    def __init__(self, dim: int, patch_size: int):
        super().__init__()
        self.proj = nn.ConvTranspose2d(dim, 1, patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        side = round(x.shape[1] ** 0.5)
        return self.proj(self.norm(x).transpose(1, 2).unflatten(2, (side, side)).contiguous())


class DecoderModel(nn.Module):
    """Features and one query per mixture to a mask."""

    def __init__(self, config: SeparatorConfig):
        super().__init__()
        encoder, query_dim, bins = config.encoder, 2 * config.query_dim, config.n_fft // 2 + 1
        side, last = encoder.spec_size // encoder.patch_size, len(config.decoder_depths) - 1
        dims = [config.decoder_width * 2**i for i in range(last + 1)]
        self.mel_bins = encoder.mel_bins
        self.layers = nn.ModuleList(
            Stage(dims[i], side // 2**i, config.decoder_depths[i], config.decoder_heads[i], expand=i < last)
            for i in range(last, -1, -1)
        )
        self.skip = nn.ModuleList(Skip(encoder.width * 2**i, dims[i], query_dim) for i in range(last, -1, -1))
        self.film = Skip(encoder.width * 2**last, dims[last], query_dim)
        self.inverse_patch_embed = ToImage(config.decoder_width, encoder.patch_size)
        self.spec_norm = nn.BatchNorm2d(bins, momentum=0.01)
        width = config.mask_width
        layer = nn.TransformerEncoderLayer(width, config.mask_heads, 4 * width, dropout=0, batch_first=True)
        self.mask_net = nn.Sequential(
            nn.Linear(bins + encoder.mel_bins, width),
            nn.LayerNorm(width),
            nn.TransformerEncoder(layer, config.mask_layers),
            nn.Linear(width, bins),
        )

    def forward(self, features: list[Tensor], query: Tensor, magnitude: Tensor) -> Tensor:
        """Features of the patch embedding and the stages, query (B, 2 D), magnitude (B, 1, N, F) to (B, 1, N, F)."""
        *skips, hidden = features
        x = self.film(hidden, query)
        for layer, feature, skip in zip(self.layers, reversed(skips), self.skip, strict=True):
            x = skip(feature, query, layer(x))
        image = self.inverse_patch_embed(x)  # (B, 1, folds * M, N / folds)
        target = image.unflatten(2, (-1, self.mel_bins)).permute(0, 1, 3, 2, 4).flatten(3).squeeze(1).transpose(1, 2)
        target = target[:, : magnitude.shape[2]]  # (B, N, M)
        spectrum = self.spec_norm(magnitude.transpose(1, 3)).transpose(1, 3).squeeze(1)
        return torch.sigmoid(self.mask_net(torch.cat([spectrum, target], dim=-1)).unsqueeze(1))


class ClapSep(nn.Module):
    """The whole separator; encoder and decoder run once for every query."""

    def __init__(self, config: SeparatorConfig):
        super().__init__()
        self.config = config
        self.resampler = torchaudio.transforms.Resample(config.sample_rate_hz, config.encoder.sample_rate_hz)
        self.audio_branch = laion_htsat(config.encoder)
        for module in self.audio_branch.modules():
            if isinstance(module, htsat.WindowAttention):
                module.qkv = LoraLinear(module.qkv, config.lora_rank)
                module.proj = LoraLinear(module.proj, config.lora_rank)
        self.decoder_model = DecoderModel(config)
        self.stft = STFT(config.n_fft, config.hop_length, freeze_parameters=True)
        self.istft = ISTFT(config.n_fft, config.hop_length, freeze_parameters=True)
        self.features: list[Tensor] = []
        frames = config.encoder.frames
        self.audio_branch.spectrogram_extractor.register_forward_hook(
            lambda _module, _inputs, power: F.pad(power, (0, 0, 0, frames - power.shape[2]))
        )
        self.audio_branch.patch_embed.register_forward_hook(
            lambda _module, _inputs, tokens: self.features.append(tokens)
        )
        for layer in self.audio_branch.layers:
            layer.register_forward_hook(lambda _module, _inputs, outputs: self.features.append(outputs[0]))

    def forward(self, mixture: Tensor, query: Tensor) -> Tensor:
        """Mixture (B, T) and one query each (B, 2 D) to (B, T)."""
        magnitude, cos, sin = magphase(*self.stft(mixture))  # (B, 1, N, F) each
        self.features.clear()
        self.audio_branch({"waveform": self.resampler(mixture)})
        mask = self.decoder_model(self.features, query, magnitude)
        masked = torch.relu(magnitude * mask)
        return self.istft(masked * cos, masked * sin, length=mixture.shape[1])


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Weights at which every part is heard: fresh networks hardly listen to their queries or their own biases."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if not any(part in name for part in ("stft", "extractor")):
                scale = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.1
                tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=scale)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.add_(torch.randn(module.running_mean.shape, generator=generator))
                module.running_var.add_(torch.rand(module.running_var.shape, generator=generator))
    return model
