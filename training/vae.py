"""The autoencoder in diffusers' class: the linear codec written into its encoder, a decoder that is trained.

The decoder learns two things: pictures from clean latents, and true frames from what the denoiser really gives for
them, so that its layers over time take out the grain.

Small networks have few channels in each of GroupNorm's 32 groups, so normalising throws away absolute brightness. A
constant in the last channel of a group of three or more, large against the signal, makes normalisation all but linear;
`project` keeps those constants after every step, and keeps what follows a normalisation from seeing them. (In a group
of two, signal and constant, the signal's mean would still be lost.)
"""

from __future__ import annotations

import math

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import nn
from torch.nn import functional as F

from training.codec import CHANNELS, LATENTS, PATCH, Codec
from training.optim import Trainer

WIDTHS = (96, 64, 64, 192)  # channels at full size, a half, a quarter, an eighth
CONSTANT = 30.0
ENCODER_CONSTANT = 40.0


def constants(channels: int) -> torch.Tensor:
    """Which of a layer's channels are constant: the last of each of 32 groups, where a group is three or more."""
    mask, size = torch.zeros(channels, dtype=torch.bool), channels // 32
    if size > 2:
        mask[size - 1 :: size] = True
    return mask


def build() -> AutoencoderKLTemporalDecoder:
    """Untrained, 6.7 M parameters."""
    return AutoencoderKLTemporalDecoder(
        block_out_channels=WIDTHS,
        down_block_types=("DownEncoderBlock2D",) * len(WIDTHS),
        layers_per_block=1,
        latent_channels=CHANNELS,
        sample_size=256,
        scaling_factor=1.0,
        force_upcast=True,
    )


@torch.no_grad()
def set_encoder(vae: AutoencoderKLTemporalDecoder, codec: Codec) -> None:
    """Writes the linear map into the encoder's convolutions; its residual branches stay shut.

    Each of the first two downsamplers takes blocks of 2×2 apart into channels, the third takes the principal
    components of what is then a patch of 8×8.
    """
    encoder = vae.encoder
    _shut_residuals(encoder)
    downs = [block.downsamplers[0].conv for block in encoder.down_blocks[:-1]]
    shortcuts = [block.resnets[0].conv_shortcut for block in encoder.down_blocks[1:]]
    narrow = [
        layer for layer in shortcuts if layer is not None
    ]  # where the width does not change, nothing is done
    for layer in (encoder.conv_in, *downs, *narrow, encoder.conv_out, vae.quant_conv):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    for colour in range(3):
        encoder.conv_in.weight[colour, colour, 1, 1] = 1
    for level, channels in enumerate((3, 12)):
        for place in range(4 * channels):
            channel, y, x = place // 4, place // 2 % 2, place % 2
            downs[level].weight[place, channel, y, x] = 1
            if shortcuts[level] is not None:
                shortcuts[level].weight[place, place, 0, 0] = 1
    for colour in range(3):
        for y in range(PATCH):
            for x in range(PATCH):
                outer = (colour * 4 + y % 2 * 2 + x % 2) * 4 + y // 2 % 2 * 2 + x // 2 % 2
                row = codec.matrix[colour * PATCH**2 + y * PATCH + x]
                downs[2].weight[:LATENTS, outer, y // 4, x // 4] = row
    # Groups that begin with x and -x and end with a constant. SiLU(x) - SiLU(-x) is x: the last convolution gets the
    # signal back.
    size, norm, widen = WIDTHS[-1] // 32, encoder.conv_norm_out, shortcuts[-1]
    norm.weight.fill_(ENCODER_CONSTANT * math.sqrt(size - 1) / size)
    norm.bias.fill_(ENCODER_CONSTANT / size)
    mask = constants(WIDTHS[-1])
    norm.weight[mask], norm.bias[mask] = 1, 0
    widen.bias[mask] = ENCODER_CONSTANT
    for j in range(LATENTS):
        widen.weight[size * j, j, 0, 0], widen.weight[size * j + 1, j, 0, 0] = 1, -1
        encoder.conv_out.weight[j, size * j, 1, 1], encoder.conv_out.weight[j, size * j + 1, 1, 1] = 1, -1
        vae.quant_conv.weight[j, j, 0, 0] = 1
    vae.quant_conv.bias[CHANNELS:] = -10  # next to no variance


@torch.no_grad()
def codec_of(vae: AutoencoderKLTemporalDecoder) -> Codec:
    """The linear map that `set_encoder` wrote, read back from any autoencoder made like this one."""
    encoder, levels = vae.encoder, len(vae.config.block_out_channels)
    patch, channels = 2 ** (levels - 1), vae.config.latent_channels
    latents = int(
        vae.quant_conv.weight[:channels].count_nonzero()
    )  # it lets the picture's through, and no other
    h = encoder.conv_in(F.pixel_shuffle(torch.eye(3 * patch**2)[..., None, None], patch))
    for block in encoder.down_blocks:
        shortcut = block.resnets[0].conv_shortcut
        h = h if shortcut is None else shortcut(h)
        h = block.downsamplers[0](h) if block.downsamplers else h
    size = encoder.conv_norm_out.num_channels // 32
    matrix = h[:, : size * latents : size, 0, 0].clone()
    return Codec(matrix, float(vae.config.scaling_factor), channels - latents)


def _shut_residuals(module: nn.Module) -> None:
    for name, layer in module.named_modules():
        if name.endswith(("conv2", "to_out.0")):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


def vae_trainer(vae: AutoencoderKLTemporalDecoder, rate: float = 1.0) -> Trainer:
    """The encoder stays as it was set, and so does the last mixing over time."""
    for part in (vae.encoder, vae.quant_conv, vae.decoder.time_conv_out):
        part.requires_grad_(False)
    return Trainer(vae, matrix_lr=2.4e-4 * rate, vector_lr=2.4e-4 * rate, average=0.998)


@torch.no_grad()
def set_decoder(vae: AutoencoderKLTemporalDecoder) -> None:
    """A start from which training is quick: residual branches shut, normalisation undone, no mixing over time."""
    decoder = vae.decoder
    _shut_residuals(decoder)
    for name, norm in decoder.named_modules():
        if name.endswith(("norm1", "group_norm")) or name == "conv_norm_out":
            size, mask = norm.num_channels // 32, constants(norm.num_channels)
            if mask.any():
                norm.weight.fill_(CONSTANT * math.sqrt(size - 1) / size)
                norm.bias.fill_(CONSTANT / size)
                norm.bias[mask] = 0
    nn.init.zeros_(decoder.conv_out.bias)
    nn.init.zeros_(decoder.time_conv_out.weight)
    nn.init.zeros_(decoder.time_conv_out.bias)
    for colour in range(3):
        decoder.time_conv_out.weight[colour, colour, 1, 0, 0] = 1
    project(vae)


def main_path(vae: AutoencoderKLTemporalDecoder) -> list[nn.Conv2d]:
    """The decoder's convolutions that no skip goes around."""
    decoder, path = vae.decoder, [vae.decoder.conv_in]
    for block in decoder.up_blocks:
        shortcut = block.resnets[0].spatial_res_block.conv_shortcut
        path += [shortcut] if shortcut is not None else []
        path += [block.upsamplers[0].conv] if block.upsamplers else []
    return path


@torch.no_grad()
def project(vae: AutoencoderKLTemporalDecoder) -> None:
    """Puts the constants back: nothing writes into them, no plain convolution reads them."""
    decoder = vae.decoder
    for index, layer in enumerate(main_path(vae)):
        mask = constants(layer.out_channels)
        layer.weight[mask], layer.bias[mask] = 0, CONSTANT
        if index:
            layer.weight[:, constants(layer.in_channels)] = 0
    for name, layer in decoder.named_modules():
        if name.endswith(("conv2", "to_out.0")):
            mask = constants(layer.weight.shape[0])
            layer.weight[mask], layer.bias[mask] = 0, 0
        if name.endswith("norm1") or name == "conv_norm_out":
            layer.weight[constants(layer.num_channels)] = 0
    for name, block in decoder.named_modules():
        if name.endswith("res_block"):
            _make_blind(block.conv1)
    _make_blind(decoder.conv_out)
    decoder.conv_in.weight[:, LATENTS:] = 0


def _make_blind(layer: nn.Conv2d | nn.Conv3d) -> None:
    """Makes a convolution blind to what all its channels share: after such a normalisation they stand at one height.

    That height is large against the signal; a layer that sees it answers with its own errors of brightness, and with
    frames around the picture where its padding begins.
    """
    mask = constants(layer.in_channels)
    if mask.any():
        layer.weight[:, mask] = 0
        layer.weight[:, ~mask] -= layer.weight[:, ~mask].mean(1, keepdim=True)


def skeleton(vae: AutoencoderKLTemporalDecoder, latents: torch.Tensor) -> torch.Tensor:
    """The decoder without its residual branches: nearly linear."""
    h = latents
    for layer in main_path(vae):
        before = h if layer.kernel_size == (1, 1) or h is latents else F.interpolate(h, scale_factor=2.0)
        h = layer(before)
    return vae.decoder.conv_out(F.silu(vae.decoder.conv_norm_out(h)))


def reconstruction_loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """L1 + 2·MSE + half the L1 of the gradients."""
    d = made - wanted
    edges = (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
    return d.abs().mean() + 2 * d.pow(2).mean() + 0.5 * edges


@torch.no_grad()
def psnr(vae: AutoencoderKLTemporalDecoder, pictures: torch.Tensor) -> torch.Tensor:
    """dB of decode(encode(x)) for each picture (n, 3, h, w) in -1…1."""
    made = []
    for picture in pictures.split(1):
        latents = vae.encode(picture).latent_dist.mode()
        made.append(vae.decode(latents, num_frames=1).sample.clamp(-1, 1))
    return -10 * torch.log10(((torch.cat(made) - pictures) / 2).pow(2).mean((1, 2, 3)))
