"""How many floating-point operations a training step needs, for model-FLOPs utilisation.

Counted are the matrix products, a multiplication and an addition as two; everything else is below 1 %. What is
computed again under checkpointing is not counted: utilisation is work that was needed over what the device could do.

Notation: D = dim, F = ffn_dim, J = text_len, P tokens a frame, V = frames * P video tokens, R references of P tokens in
groups of g_1, g_2, ..., L = V + R * P tokens, n layers. A forward pass is, to the leading terms (in the last layer the
references need only keys and values),

    self-attention, projections   n * 8 L D^2
    self-attention, core          n * 4 D (V L + P^2 (g_1^2 + g_2^2 + ...))     the video sees all, a group itself
    cross-attention               n * (4 L D^2 + 4 J D^2 + 4 L J D)
    feed-forward                  n * 4 L D F

which is 398.5 TFLOP for the released model at 81x480x832 with two subjects of three images, background and object
(399.7 if the last layer computed everything for the references, too).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from lumosx_core import LumosXConfig, ReferenceLayout, RelationalOptions
from lumosx_core.models.lumosx.mcam import CELL

RELEASED = RelationalOptions()


@dataclass(frozen=True)
class Product:
    """Matrix products of one kind.

    Args:
        part: what they belong to.
        flops: of the forward pass.
        layer: name of the linear layer whose weight is multiplied, or None for a product of two activations.
        tokens, inputs, outputs: of that layer.
        from_data: the layer's input is given, so that no gradient goes to it.
    """

    part: str
    flops: float
    layer: str | None = None
    tokens: int = 0
    inputs: int = 0
    outputs: int = 0
    from_data: bool = False


def forward_flops(
    config: LumosXConfig,
    layout: ReferenceLayout,
    frames: int,
    grid: tuple[int, int],
    options: RelationalOptions = RELEASED,
) -> dict[str, float]:
    """The operations of a forward pass for one video, by part of the network.

    Args:
        frames: latent frames of the video.
        grid: (h, w), the size of a frame in tokens.
    """
    parts: dict[str, float] = {}
    for product in _products(config, options, layout, frames, grid):
        parts[product.part] = parts.get(product.part, 0.0) + product.flops
    return parts


def step_flops(
    config: LumosXConfig,
    layout: ReferenceLayout,
    frames: int,
    grid: tuple[int, int],
    *,
    rank: int | None = None,
    targets: tuple[str, ...] = (),
    options: RelationalOptions = RELEASED,
) -> float:
    """The operations of forward and backward pass for one video.

    A product costs itself once more for each of its factors that gets a gradient. When everything is trained that is
    about three forward passes in all; a LoRA leaves out the gradients of the frozen weights.

    Args:
        rank, targets: of a LoRA, as in LoraSettings; the targets must begin with the first block's self-attention, as
            the usual ones do (with others a little less is needed). None: everything is trained.
    """
    total = 0.0
    for product in _products(config, options, layout, frames, grid):
        if product.layer is None:
            total += 3 * product.flops
            continue
        if rank is None:
            total += (2 if product.from_data else 3) * product.flops
            continue
        outside = not product.layer.startswith("blocks.")
        # Nothing before the first block's queries, keys and values is trained, nor is anything before the text's.
        first = product.layer in ("blocks.0.self_attn.q", "blocks.0.self_attn.k", "blocks.0.self_attn.v")
        text = product.layer.endswith(("cross_attn.k", "cross_attn.v"))
        from_data = first or text or (outside and product.layer != "head.head")
        total += (1 if from_data else 2) * product.flops
        if any(f".{product.layer}".endswith(f".{target}") for target in targets):
            down, up = (2 * product.tokens * rank * size for size in (product.inputs, product.outputs))
            total += (2 if from_data else 3) * down + 3 * up
    return total


def _products(
    config: LumosXConfig,
    options: RelationalOptions,
    layout: ReferenceLayout,
    frames: int,
    grid: tuple[int, int],
) -> Iterator[Product]:
    dim, words, frame = config.dim, config.text_len, math.prod(grid)
    pictures, video = layout.pictures, frames * frame
    tokens = video + pictures * frame
    patch = math.prod(config.patch_size)

    def linear(part: str, layer: str, count: int, inputs: int, outputs: int, from_data: bool = False) -> Product:
        return Product(part, 2.0 * count * inputs * outputs, layer, count, inputs, outputs, from_data)

    yield linear("embeddings", "patch_embedding", tokens, config.in_dim * patch, dim, True)
    yield linear("embeddings", "text_embedding.0", words, config.text_dim, dim, True)
    yield linear("embeddings", "text_embedding.2", words, dim, dim)
    yield linear("embeddings", "time_embedding.0", 1, config.freq_dim, dim, True)
    yield linear("embeddings", "time_embedding.2", 1, dim, dim)
    yield linear("embeddings", "time_projection.1", 1, dim, 6 * dim)
    if options.csam:
        pairs = video * tokens + sum(len(group) ** 2 for group in layout.groups) * frame**2
    else:
        pairs = tokens**2
    cells = math.prod(-(-size // CELL) for size in grid) if options.mcam_ratio else 0
    for index in range(config.num_layers):
        block, asking, biased = f"blocks.{index}", tokens, pictures
        if index == config.num_layers - 1:  # the last block computes nothing for the references but keys and values
            asking, biased, pairs = video, 0, video * tokens
        for name, count in (("q", asking), ("k", tokens), ("v", tokens), ("o", asking)):
            yield linear("self-attention projections", f"{block}.self_attn.{name}", count, dim, dim)
        yield Product("self-attention core", 4.0 * pairs * dim)
        for name, count in (("q", asking), ("k", words), ("v", words), ("o", asking)):
            yield linear("cross-attention", f"{block}.cross_attn.{name}", count, dim, dim)
        yield Product("cross-attention", 4.0 * asking * words * dim)
        yield Product("cross-attention", 2.0 * biased * cells * words * dim)  # the bias of MCAM
        yield linear("feed-forward", f"{block}.ffn.0", asking, dim, config.ffn_dim)
        yield linear("feed-forward", f"{block}.ffn.2", asking, config.ffn_dim, dim)
    yield linear("head", "head.head", video, dim, config.out_dim * patch)
