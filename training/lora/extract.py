"""Extracts a LoRA from what training changed in a model.

Tensors are read one by one, so that memory holds the LoRA and a few of the models' tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.file_hash import sha256_of
from lumosx_core.models.lumosx.weights.load import open_network

from .files import BASE_SHA256, LoraFile, check_destination
from .kinds import LoraLayer


@dataclass(frozen=True)
class Extraction:
    """What a LoRA of the wanted rank holds of the change.

    Args:
        layers: how many matrices became a LoRA.
        differences: how many other tensors (biases, norms, modulation) are kept as plain differences.
        residual: the part of the matrices' change that is lost, ||change - LoRA|| / ||change||, over all layers.
        worst: the layer that loses most, and its part.
        unused: tensors among the differences that ComfyUI's stock loader accepts but does not apply: the modulation
            tables. `merge_lora` applies them.
    """

    layers: int
    differences: int
    residual: float
    worst: tuple[str, float]
    unused: int


def extract_lora(
    base: str | Path,
    tuned: str | Path,
    out: str | Path,
    rank: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device | None = None,
    overwrite: bool = False,
) -> Extraction:
    """Write the difference of two models as a LoRA.

    Each matrix's difference becomes its best approximation of that rank (truncated singular value decomposition).
    Biases, norms and modulation, which a LoRA has no matrices for, are kept whole as ComfyUI's `.diff` and `.diff_b`.

    Args:
        base, tuned: two networks of the same size, of any format that `open_network` reads.
        rank: at most this; a matrix's own size is the limit.
        dtype: of the file.
        device: where to compute; None: CUDA if there is one.

    Raises:
        LumosXError: the two are not the same network, or do not differ, or a file cannot be read or written.
    """
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise LumosXError(f"rank {rank!r} is not possible. Use a whole number of 1 or more, such as 32.")
    out = check_destination(out, overwrite=overwrite)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    untrained, trained = open_network(base), open_network(tuned)
    if untrained.config != trained.config:
        raise LumosXError(
            f"{base} and {tuned} are networks of different sizes. Give the model that the other was trained from."
        )
    layers, differences, losses = {}, {}, {}
    for name, tensor in untrained.tensors.items():
        change = trained.tensors[name].load().to(device, torch.float32) - tensor.load().to(device, torch.float32)
        if not change.any():
            continue
        if name.endswith(".weight") and change.ndim == 2:
            layer = name.removesuffix(".weight")
            layers[layer], lost = low_rank(change, rank)
            losses[layer] = (lost, change.norm().item())
        else:
            differences[name] = change.cpu()
    if not layers and not differences:
        raise LumosXError(f"{base} and {tuned} hold the same weights: there is nothing to extract.")
    metadata = {"lumosx_extracted_from": Path(tuned).name}
    if Path(base).is_file():
        metadata[BASE_SHA256] = sha256_of(base)
    LoraFile(layers, differences).write(out, metadata, dtype)
    whole = sum(norm**2 for _, norm in losses.values()) ** 0.5
    parts = {layer: lost / norm for layer, (lost, norm) in losses.items()}
    worst = max(parts.items(), key=lambda part: part[1], default=("", 0.0))
    residual = sum(lost**2 for lost, _ in losses.values()) ** 0.5 / whole if whole else 0.0
    unused = sum(name.endswith("modulation") for name in differences)
    return Extraction(len(layers), len(differences), residual, worst, unused)


def low_rank(change: Tensor, rank: int) -> tuple[LoraLayer, float]:
    """The best approximation of a matrix by one of that rank, and the Frobenius norm of what it misses.

    With V the leading eigenvectors of M'M, M V V' is the truncated singular value decomposition: no division by small
    singular values, and exact at full rank. In float64, as squaring halves the digits.
    """
    matrix = change.double()
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    eigenvalues, vectors = torch.linalg.eigh(tall.T @ tall)
    vectors = vectors.flip(1)[:, :rank]
    # Both matrices get the root of the singular values, so that neither is hard to hold in few bits. Any value would do
    # for the product; the smallest eigenvalues are rounding errors.
    root = eigenvalues.flip(0)[: vectors.shape[1]].clamp(min=1e-20 * eigenvalues.max().item()).sqrt().sqrt()
    left, right = tall @ vectors / root, vectors * root
    missed = (tall - left @ right.T).norm().item()
    up, down = (left, right.T) if tall is matrix else (right, left.T)
    return LoraLayer(down.float().cpu(), up.float().cpu(), float(vectors.shape[1])), missed
