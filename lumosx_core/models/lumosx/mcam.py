"""MCAM: cross-attention in which each group of images attends more to its own words (LumosX, section 3.3).

An image's queries get an additive bias on their logits: positive on the words of their own group, negative on the
words of other subjects, in proportion to how much an 8x8 cell of queries already attends to the word. Video queries
have no bias, so they take the plain path.

Shapes: B videos, N heads, R images of P = h*w tokens, J text tokens, d channels a head, C cells of 8x8 tokens.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from ...scene.layout import ReferenceLayout
from .csam import AttentionFunction, scaled_dot_product_attention

CELL = 8  # tokens along each side of a cell
NEVER = -1e4  # added to a logit: no weight, in any dtype


def word_weights(phrase_mask: Tensor, layout: ReferenceLayout) -> Tensor:
    """How strongly each image is drawn to (positive) or kept from (negative) each text token.

    A standalone image: 1 on its own phrase. An image of a subject: 1 on the words of any image of the subject,
    minus the mean of that over all other subjects.

    Args:
        phrase_mask: (..., R, J) bool, the tokens of each image's phrase.

    Returns:
        (..., R, J) float32.
    """
    weights = phrase_mask.float()
    subjects = layout.groups[layout.standalone :]
    if not subjects:
        return weights
    words = torch.stack([phrase_mask[..., group.start : group.stop, :].any(dim=-2) for group in subjects], dim=-2)
    words = words.float()
    if len(subjects) > 1:
        words = words - (words.sum(dim=-2, keepdim=True) - words) / (len(subjects) - 1)
    sizes = torch.tensor(layout.subjects, device=words.device)
    return torch.cat([weights[..., : layout.standalone, :], words.repeat_interleave(sizes, dim=-2)], dim=-2)


def cell_bias(q: Tensor, k: Tensor, weights: Tensor, grid: tuple[int, int], ratio: float) -> Tensor:
    """The bias of every cell of every image.

    Args:
        q: (B, N, R*P, d), the images' queries.
        k: (B, N, J, d), the text's keys.
        weights: (R, J) or (B, R, J), from word_weights.
        grid: (h, w), the size of an image in tokens.
        ratio: strength; 0.5 in the released model.

    Returns:
        (B, R, C, N, J) in the dtype of q; C counts cells row by row.
    """
    height, width = grid
    maps = rearrange(q, "b n (r h w) d -> b r h w n d", h=height, w=width)
    # Outside the image queries count as zero and still divide the mean: each cell is a sum over 64, as released.
    maps = F.pad(maps, (0, 0, 0, 0, 0, -width % CELL, 0, -height % CELL))
    pooled = reduce(maps, "b r (y cy) (x cx) n d -> b n (r y x) d", "mean", cy=CELL, cx=CELL)
    scores = (pooled @ k.transpose(-1, -2)).float() / math.sqrt(q.shape[-1])
    scores = rearrange(scores, "b n (r c) j -> b r c n j", r=weights.shape[-2])
    return (ratio * scores.abs() * weights[..., None, None, :]).to(q.dtype)


def biased_cross_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    weights: Tensor,
    grid: tuple[int, int],
    ratio: float,
    attention: AttentionFunction = scaled_dot_product_attention,
    text_bias: Tensor | None = None,
    image_text_bias: Tensor | None = None,
) -> Tensor:
    """Cross-attention of video and image tokens over the text, with the bias of MCAM on the images' part.

    Args:
        q: (B, N, V + R*P, d).
        k, v: (B, N, J, d).
        weights, grid, ratio: as in cell_bias.
        text_bias: (J,), added to the logits of each text token for all queries; None: nothing is added.
        image_text_bias: (B, R, J), added to those of each image's queries; None: nothing is added.

    Returns:
        (B, N, V + R*P, d).
    """
    images, image_tokens = weights.shape[-2], grid[0] * grid[1]
    video_tokens = q.shape[2] - images * image_tokens
    if text_bias is not None:
        text_bias = text_bias.to(q.dtype).view(1, 1, 1, -1)
    if not images or (ratio == 0 and image_text_bias is None):
        return attention(q, k, v, attn_mask=text_bias)
    video = attention(q[:, :, :video_tokens], k, v, attn_mask=text_bias)

    q = q[:, :, video_tokens:]
    bias = cell_bias(q, k, weights, grid, ratio)  # (B, R, C, N, J)
    if text_bias is not None:
        bias = bias + text_bias
    if image_text_bias is not None:
        bias = bias + image_text_bias.to(bias.dtype)[:, :, None, None]
    columns = -(-grid[1] // CELL)
    rows = -(-image_tokens // (columns * CELL * CELL))
    bias = bias[:, :, : rows * columns]
    if rows * columns == 1:
        # Images of one cell: a mask row for each query is small, and filling up cells is not.
        bias = rearrange(bias, "b r 1 n j -> b n r 1 j").expand(-1, -1, -1, image_tokens, -1).flatten(2, 3)
        return torch.cat([video, attention(q, k, v, attn_mask=bias)], dim=2)
    cells = queries_by_cell(q, image_tokens, rows, columns)
    cells = attend_by_cell(cells, k, v, bias, attention)
    return torch.cat([video, queries_by_token(cells, images, image_tokens, columns)], dim=2)


def unread_text(text: Tensor, unread: Tensor) -> Tensor:
    """A bias by which some images read nothing of the prompt, only the padding behind it.

    Args:
        text: (B, J, D), whose last row is padding; rows like it are padding, too.
        unread: (R,) bool, the images that read nothing.

    Returns:
        (B, R, J) float32, for `biased_cross_attention`.
    """
    last = text[:, -1:].float()
    # Not exactly equal: a matrix product may round equal rows differently.
    words = (text.float() - last).abs().amax(dim=-1) > 0.01 * last.abs().amax(dim=-1)  # (B, J)
    return NEVER * (unread.to(text.device)[:, None] & words[:, None]).float()


def queries_by_cell(q: Tensor, image_tokens: int, rows: int, columns: int) -> Tensor:
    """Queries side by side by the cell whose bias they get: the bias is constant in a cell.

    The released code looks the cell of token p up on the padded grid as if p counted padded columns, too; that puts a
    token into another cell than the one it was pooled into wherever w is not a multiple of 8. Padding the row of
    tokens at its end, and not each line, reproduces it.

    Args:
        q: (B, N, R*P, d).

    Returns:
        (B, R*rows*columns, N, 64, d).
    """
    q = rearrange(q, "b n (r p) d -> b r n p d", p=image_tokens)
    q = F.pad(q, (0, 0, 0, rows * columns * CELL * CELL - image_tokens))
    return rearrange(q, "b r n (y cy x cx) d -> b (r y x) n (cy cx) d", cy=CELL, cx=CELL, x=columns)


def attend_by_cell(cells: Tensor, k: Tensor, v: Tensor, bias: Tensor, attention: AttentionFunction) -> Tensor:
    """Attention over the text with one bias for each cell.

    Args:
        cells: (B, R*C, N, 64, d).
        k, v: (B, N, J, d).
        bias: (B, R, C, N, J).

    Returns:
        (B, R*C, N, 64, d).
    """
    count = cells.shape[1]
    bias = rearrange(bias, "b r c n j -> b (r c) n 1 j")
    return torch.stack(
        [  # one video at a time: keys shared by all cells stay a view only while the batch is nothing but cells
            attention(q_, k_.expand(count, -1, -1, -1), v_.expand(count, -1, -1, -1), attn_mask=bias_)
            for q_, k_, v_, bias_ in zip(cells, k, v, bias, strict=True)
        ]
    )


def queries_by_token(cells: Tensor, images: int, image_tokens: int, columns: int) -> Tensor:
    """The inverse of `queries_by_cell`: (B, R*rows*columns, N, 64, d) -> (B, N, R*P, d)."""
    tokens = rearrange(cells, "b (r y x) n (cy cx) d -> b n r (y cy x cx) d", r=images, x=columns, cy=CELL, cx=CELL)
    return tokens[:, :, :, :image_tokens].flatten(2, 3)
