"""The whole network a second time: slow, dense, one token or one picture at a time where that is clearest.

It shares no code with `lumosx_core`, so a mistake would have to be made twice to go unnoticed. Every mask is written
out in full: self attention over all tokens x all tokens, cross attention with a bias of all tokens x all words. It
computes in the dtype of its weights; float64 makes it an arbiter of rounding.

Legend: T video frames, R reference pictures, h x w tokens a frame, L = (T + R) h w tokens, D width, n heads, d = D / n
channels a head, G subjects.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import gelu, silu

CELL = 8  # MCAM pools queries over 8 x 8 tokens


class Switches(NamedTuple):
    """Switches of the relational parts."""

    mcam_ratio: float = 0.5
    r2pe: bool = True
    csam: bool = True


def dense_forward(
    weights: dict[str, Tensor],
    heads: int,
    text_len: int,
    video: Tensor,
    timestep: Tensor,
    text: Tensor,
    references: Tensor | None = None,
    standalone: int = 0,
    subjects: tuple[int, ...] = (),
    phrase_mask: Tensor | None = None,
    switches: Switches = Switches(),  # noqa: B008 - immutable
    trace: dict[str, Tensor] | None = None,
) -> Tensor:
    """Velocity of all frames, video and references.

    Args:
        weights: state dict under Wan's native names; its dtype is the dtype of the computation.
        video: (B, 16, T, H, W); timestep: (B,); text: (B, <=text_len, text_dim).
        references: (B or 1, 16, R, H, W): standalone pictures first, then subject by subject.
        standalone, subjects: how many pictures stand alone, and how many each subject has.
        phrase_mask: (R, text_len), the words each picture is bound to.
        trace: filled with the intermediates of the last sample, named as in the reference numbers.

    Returns:
        (B, 16, T + R, H, W)
    """
    samples = []
    for b in range(video.shape[0]):
        frames = video[b]
        if references is not None:
            frames = torch.cat([frames, references[b if references.shape[0] > 1 else 0]], dim=1)
        samples.append(
            one_sample(
                weights,
                heads,
                text_len,
                frames,
                timestep[b],
                text[b],
                Pictures(video.shape[2], standalone, subjects),
                phrase_mask,
                switches,
                {} if trace is None else trace,
            )
        )
    return torch.stack(samples)


class Pictures(NamedTuple):
    """Which frame is what: `frames` of video, then `standalone` pictures, then the members of each subject."""

    frames: int
    standalone: int
    subjects: tuple[int, ...]

    def owners(self) -> list[tuple[int, int] | None]:
        """For each picture (subject, member) or None when it stands alone."""
        members = [(s, j) for s, size in enumerate(self.subjects) for j in range(size)]
        return [None] * self.standalone + members


def one_sample(weights, heads, text_len, frames, timestep, text, pictures, phrase_mask, switches, trace) -> Tensor:
    dtype = weights["patch_embedding.weight"].dtype
    frames = frames.to(dtype)
    height, width = frames.shape[-2:]

    # tokens
    x, (h, w) = patches(frames)
    x = linear(weights, "patch_embedding", x)
    trace["tokens0"] = x

    # time: one vector e for the head, six for the blocks
    e = linear(weights, "time_embedding.2", silu(linear(weights, "time_embedding.0", time_waves(timestep).to(dtype))))
    e6 = linear(weights, "time_projection.1", silu(e)).reshape(6, -1)
    trace["time_embedded"] = e

    # text: zero rows up to text_len become constant rows, and those are attended
    padded = torch.zeros(text_len, text.shape[-1], dtype=dtype)
    padded[: text.shape[0]] = text.to(dtype)
    context = linear(weights, "text_embedding.2", tanh_gelu(linear(weights, "text_embedding.0", padded)))
    trace["text_embedded"] = context

    # relations
    position = token_positions(pictures, h, w, shifted=switches.r2pe)
    allowed = self_mask(pictures, h * w) if switches.csam else torch.ones(len(x), len(x), dtype=torch.bool)
    words = relation_weights(pictures, phrase_mask, dtype)
    trace["rope.pos"] = position
    trace["rope.angles"] = token_angles(position, x.shape[-1] // heads)
    trace["self_mask"] = allowed

    for i in range(1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))):
        block = {name[len(f"blocks.{i}.") :]: t for name, t in weights.items() if name.startswith(f"blocks.{i}.")}
        m = block["modulation"][0] + e6
        attended = self_attention(block, heads, layer_norm(x) * (1 + m[1]) + m[0], trace["rope.angles"], allowed)
        x = x + attended * m[2]
        asked = layer_norm(x) * block["norm3.weight"] + block["norm3.bias"]
        heard, bias = cross_attention(block, heads, asked, context, words, pictures, (h, w), switches.mcam_ratio)
        x = x + heard
        inner = tanh_gelu(linear(block, "ffn.0", layer_norm(x) * (1 + m[4]) + m[3]))
        x = x + linear(block, "ffn.2", inner) * m[5]
        trace |= {f"b{i}.self_attn": attended, f"b{i}.cross_attn": heard, f"b{i}.mcam_bias": bias, f"b{i}.out": x}

    m = weights["head.modulation"][0] + e
    x = linear(weights, "head.head", layer_norm(x) * (1 + m[1]) + m[0])
    return unpatch(x, frames.shape[1], h, w)[:, :, :height, :width]


# small layers


def linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight = weights[f"{name}.weight"]
    return x @ weight.reshape(weight.shape[0], -1).T + weights[f"{name}.bias"]


def tanh_gelu(x: Tensor) -> Tensor:
    return gelu(x, approximate="tanh")


def layer_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + eps)


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    """Over the full width, before the heads are split."""
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + eps) * weight


def split(x: Tensor, heads: int) -> Tensor:
    return x.reshape(len(x), heads, -1).permute(1, 0, 2)  # (L, D) -> (n, L, d)


def join(x: Tensor) -> Tensor:
    return x.permute(1, 0, 2).flatten(1)  # (n, L, d) -> (L, D)


def time_waves(timestep: Tensor) -> Tensor:
    angle = float(timestep) * torch.tensor([10000 ** (-i / 128) for i in range(128)], dtype=torch.float64)
    return torch.cat([angle.cos(), angle.sin()])


def patches(frames: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """(16, F, H, W) -> (F h w, 16 * 4), tokens in (frame, row, column) order; odd edges are padded with zeros."""
    channels, count, height, width = frames.shape
    h, w = math.ceil(height / 2), math.ceil(width / 2)
    even = torch.zeros(channels, count, 2 * h, 2 * w, dtype=frames.dtype)
    even[:, :, :height, :width] = frames
    tokens = even.reshape(channels, count, h, 2, w, 2).permute(1, 2, 4, 0, 3, 5)
    return tokens.reshape(count * h * w, channels * 4), (h, w)


def unpatch(tokens: Tensor, count: int, h: int, w: int) -> Tensor:
    """(F h w, 4 * 16) -> (16, F, 2h, 2w); a token's features are ordered (row, column, channel)."""
    return tokens.reshape(count, h, w, 2, 2, -1).permute(5, 0, 1, 3, 2, 4).reshape(-1, count, 2 * h, 2 * w)


# R2PE


def token_positions(pictures: Pictures, h: int, w: int, shifted: bool) -> Tensor:
    """(L, 3) integers (t, y, x)."""
    corners = [(f, 0, 0) for f in range(pictures.frames)]
    for i, owner in enumerate(pictures.owners()):
        if owner is None or not shifted:
            corners.append((pictures.frames + i, 0, 0))
        else:  # one moment for the whole group, its members side by side on the diagonal
            subject, member = owner
            corners.append((pictures.frames + pictures.standalone + subject, member * h, member * w))
    return torch.tensor([(t, top + y, left + x) for t, top, left in corners for y in range(h) for x in range(w)])


def token_angles(position: Tensor, d: int) -> Tensor:
    """(L, d / 2) rotary angles in float64: channels shared out as 44 for t, 42 for y, 42 for x when d is 128."""
    columns = []
    for axis, channels in enumerate((d - 4 * (d // 6), 2 * (d // 6), 2 * (d // 6))):
        columns += [position[:, axis].double() * 10000 ** (-2 * k / channels) for k in range(channels // 2)]
    return torch.stack(columns, dim=1)


def rotate(x: Tensor, angle: Tensor) -> Tensor:
    """Neighbouring channels of x (n, L, d) are real and imaginary parts; the product is taken in complex128."""
    turned = torch.view_as_complex(x.double().reshape(*x.shape[:-1], -1, 2)) * torch.polar(angle * 0 + 1, angle)
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


# CSAM


def self_mask(pictures: Pictures, tokens: int) -> Tensor:
    """(L, L) boolean: video sees everything; a picture sees its own group."""
    group = [-1] * pictures.frames  # the video
    for i, owner in enumerate(pictures.owners()):
        group.append(i if owner is None else pictures.standalone + owner[0])
    group = torch.tensor(group).repeat_interleave(tokens)
    return (group[:, None] == -1) | (group[:, None] == group[None, :])


def self_attention(block, heads: int, y: Tensor, angle: Tensor, allowed: Tensor) -> Tensor:
    q = split(rms_norm(linear(block, "self_attn.q", y), block["self_attn.norm_q.weight"]), heads)
    k = split(rms_norm(linear(block, "self_attn.k", y), block["self_attn.norm_k.weight"]), heads)
    v = split(linear(block, "self_attn.v", y), heads)
    logits = rotate(q, angle) @ rotate(k, angle).transpose(1, 2) / math.sqrt(q.shape[-1])
    logits = logits.masked_fill(~allowed, -math.inf)
    return linear(block, "self_attn.o", join(logits.softmax(-1) @ v))


# MCAM


def relation_weights(pictures: Pictures, phrase_mask: Tensor | None, dtype: torch.dtype) -> list[Tensor]:
    """For each picture (text_len,): +1 for the words of its own group, minus the mean of the other subjects' words."""
    owners = pictures.owners()
    if not owners:
        return []
    unions = []
    for s in range(len(pictures.subjects)):
        own = [phrase_mask[c] for c, owner in enumerate(owners) if owner is not None and owner[0] == s]
        union = torch.zeros(phrase_mask.shape[1], dtype=torch.bool)
        for mask in own:
            union = union | mask
        unions.append(union.to(dtype))
    weights = []
    for c, owner in enumerate(owners):
        if owner is None:
            weights.append(phrase_mask[c].to(dtype))
            continue
        others = [union for s, union in enumerate(unions) if s != owner[0]]
        weights.append(unions[owner[0]] - (sum(others) / len(others) if others else 0))
    return weights


def cross_attention(block, heads: int, y, context, words, pictures: Pictures, grid, ratio: float):
    """Attention to the words with the full bias (n, L, text_len); returns it beside the output."""
    q = split(rms_norm(linear(block, "cross_attn.q", y), block["cross_attn.norm_q.weight"]), heads)
    k = split(rms_norm(linear(block, "cross_attn.k", context), block["cross_attn.norm_k.weight"]), heads)
    v = split(linear(block, "cross_attn.v", context), heads)
    bias = torch.zeros(heads, len(y), len(context), dtype=y.dtype)
    tokens = grid[0] * grid[1]
    for c, weight in enumerate(words):
        start = (pictures.frames + c) * tokens
        bias[:, start : start + tokens] = ratio * cell_similarity(q[:, start : start + tokens], k, grid).abs() * weight
    logits = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]) + bias
    return linear(block, "cross_attn.o", join(logits.softmax(-1) @ v)), bias


def cell_similarity(q: Tensor, k: Tensor, grid: tuple[int, int]) -> Tensor:
    """Similarity of one picture's queries (n, h w, d), averaged over 8 x 8 cells, to each word: (n, h w, text_len).

    The average divides by 64 also where a cell reaches over the edge. A token looks its cell up by its running number
    as if rows were as long as the padded grid's: that is what the released weights were trained with.
    """
    h, w = grid
    down, across = math.ceil(h / CELL), math.ceil(w / CELL)
    cells = torch.zeros(q.shape[0], down, across, q.shape[-1], dtype=q.dtype)
    for row in range(h):
        for column in range(w):
            cells[:, row // CELL, column // CELL] += q[:, row * w + column] / CELL**2
    similarity = cells.flatten(1, 2) @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    padded_width = across * CELL
    cell = [(p // padded_width // CELL) * across + (p % padded_width) // CELL for p in range(h * w)]
    return similarity[:, cell]
