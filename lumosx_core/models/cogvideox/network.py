"""The CogVideoX-5B-I2V transformer, with a place behind each block where a system built on it adds to the image.

Shapes: B rows, F latent frames, H x W latent pixels, h x w tokens a frame, S = F*h*w image tokens, J text tokens,
D channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import LumosXError
from .config import CogVideoXConfig
from .layers import AttentionFunction, Block, FinalNorm, PatchEmbedding, TimeEmbedding, attention
from .positions import check_size, timestep_embedding

AfterBlock = Callable[[int, Tensor], Tensor]
"""Index of a block and its image tokens (B, S, D), to the image tokens that the next block receives."""


class CogVideoXNetwork(nn.Module):
    """Predicts v of a video from its noisy latents, the latents of an image and a text.

    State-dict names are those of diffusers' release. Everything is computed in the dtype of the weights; where
    `operations` casts weights as they are used, in the dtype of `latents`. Set `attention` to compute with another
    AttentionFunction.

    Args:
        operations: Linear, LayerNorm and Conv2d of `torch.nn`, or a host's classes of the same signatures.

    Source: CogVideoX (arXiv 2408.06072).
    """

    def __init__(self, config: CogVideoXConfig, *, device=None, dtype=None, operations: Any = nn):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self.sizes = config
        self.attention: AttentionFunction = attention
        self.operations_cast = operations is not nn
        self.patch_embed = PatchEmbedding(config, operations, **factory)
        self.time_embedding = TimeEmbedding(config, operations, **factory)
        self.transformer_blocks = nn.ModuleList(Block(config, operations, **factory) for _ in range(config.num_layers))
        self.norm_final = operations.LayerNorm(config.width, eps=config.norm_eps, **factory)
        self.norm_out = FinalNorm(config, operations, **factory)
        self.proj_out = operations.Linear(config.width, config.patch_size**2 * config.out_channels, **factory)

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks, under the name that training knows."""
        return self.transformer_blocks

    def computing_dtype(self, x: Tensor) -> torch.dtype:
        """The dtype in which `x` is computed with."""
        return x.dtype if self.operations_cast else self.patch_embed.proj.weight.dtype

    def predict(
        self,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor,
        rope: tuple[Tensor, Tensor] | None = None,
        after_block: AfterBlock | None = None,
    ) -> Tensor:
        """Predict v.

        Args:
            latents: (B, F, C, H, W), noisy latents and behind them, in the channels, the image latents.
            timestep: (B,), 0 (clean) to 999 (noise).
            text: (B, J, text_dim), padded to the network's length; the padding is attended to.
            rope: cos and sin of `rotary_table`; None: queries and keys are not rotated.
            after_block: called behind each block.

        Returns:
            (B, F, out_channels, H, W), in the dtype of the computation.

        Raises:
            LumosXError: shapes that do not fit the network or one another.
        """
        self.check(latents, timestep, text, rope)
        dtype = self.computing_dtype(latents)
        latents, text = latents.to(dtype), text.to(device=latents.device, dtype=dtype)
        sinusoids = timestep_embedding(timestep.to(latents.device), self.sizes.width)
        time = self.time_embedding(sinusoids.to(dtype))
        if rope is not None:
            rope = (rope[0].to(latents.device), rope[1].to(latents.device))

        tokens = self.patch_embed(text, latents)
        split = text.shape[1]
        image, words = tokens[:, split:], tokens[:, :split]
        for index, block in enumerate(self.transformer_blocks):
            image, words = block(image, words, time, rope, self.attention)
            if after_block is not None:
                image = after_block(index, image)
        return self.unpatchify(self.proj_out(self.norm_out(self.norm_final(image), time)), latents)

    def unpatchify(self, patches: Tensor, latents: Tensor) -> Tensor:
        """(B, S, out_channels*patch*patch) -> (B, F, out_channels, H, W) in the size of the latents."""
        batch, frames, _, height, width = latents.shape
        patch = self.sizes.patch_size
        pixels = patches.reshape(batch, frames, height // patch, width // patch, -1, patch, patch)
        return pixels.permute(0, 1, 4, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4)

    def check(self, latents: Tensor, timestep: Tensor, text: Tensor, rope: tuple[Tensor, Tensor] | None) -> None:
        """Raise LumosXError for shapes that do not fit."""
        config = self.sizes
        if latents.ndim != 5 or latents.shape[2] != config.in_channels:
            raise LumosXError(
                f"latents have shape {tuple(latents.shape)}, expected (B, F, {config.in_channels}, "
                f"{config.sample_height}, {config.sample_width}): frames before channels."
            )
        batch, frames, _, height, width = latents.shape
        check_size(config, height, width)
        if timestep.shape != (batch,):
            raise LumosXError(f"timestep has shape {tuple(timestep.shape)}, expected ({batch},): one for each row.")
        if text.shape != (batch, config.max_text_seq_length, config.text_embed_dim):
            raise LumosXError(
                f"text has shape {tuple(text.shape)}, expected ({batch}, {config.max_text_seq_length}, "
                f"{config.text_embed_dim}). Pad the prompt to {config.max_text_seq_length} tokens, or shorten it."
            )
        expected = (frames * (height // config.patch_size) * (width // config.patch_size), config.attention_head_dim)
        if rope is not None and any(tuple(part.shape) != expected for part in rope):
            raise LumosXError(
                f"rope has shapes {[tuple(part.shape) for part in rope]}, expected {expected} twice. Make the table "
                f"with rotary_table for {frames} latent frames."
            )
