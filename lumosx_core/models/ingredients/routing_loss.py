"""The routing loss: cross entropy between the router's logits and the face that each token shows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import LumosXError

IGNORED = -1


def routing_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the layers of the cross entropy between logits and labels.

    Args:
        logits: (layers, [B,] tokens, faces), as `IngredientsModel` returns them.
        labels: ([B,] tokens) integers: the index of the face that a token shows, -1 where it shows none (ignored);
            (1, tokens) also for logits of one row, which have no axis of rows.

    Returns:
        A scalar, float32; 0, with gradients of 0, if every token is ignored.

    Raises:
        LumosXError: shapes that do not fit, or a label without a face.

    Source: Ingredients (arXiv 2501.01790), section 3.4.
    """
    return routing_losses(logits, labels).mean()


def routing_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """The same for each layer: (layers,)."""
    expected = tuple(logits.shape[1:-1])
    fits = logits.ndim in (3, 4) and tuple(labels.shape) in (expected, (1, *expected))
    if not fits or labels.is_floating_point():
        raise LumosXError(
            f"logits have shape {tuple(logits.shape)} and labels {tuple(labels.shape)} ({labels.dtype}), expected "
            f"(layers, [batch,] tokens, faces) and integers ([batch,] tokens)."
        )
    labels = labels.to(logits.device).long().flatten()
    faces = logits.shape[-1]
    smallest, largest = (int(labels.min()), int(labels.max())) if labels.numel() else (IGNORED, IGNORED)
    if smallest < IGNORED or largest >= faces:
        wrong = smallest if smallest < IGNORED else largest
        raise LumosXError(
            f"A label is {wrong}, expected 0 to {faces - 1}, one for each of the {faces} faces, or -1 for a token that "
            f"shows none."
        )
    scores = logits.float().flatten(1, -2)  # (layers, B*tokens, faces)
    if largest == IGNORED:
        # Their mean would be 0/0; the sum of nothing is a 0 that gradients flow through.
        return scores[:, :0].sum(dim=(1, 2))
    return torch.stack([F.cross_entropy(layer, labels, ignore_index=IGNORED) for layer in scores])
