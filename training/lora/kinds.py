"""Changes of a layer as files hold them: LoRA, and the products of LyCORIS (LoKr, LoHa)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError


@dataclass(frozen=True, eq=False)
class LoraLayer:
    """The change of one layer: alpha / rank * up @ down.

    Args:
        down: (rank, inputs), the A matrix; more dimensions for a convolution.
        up: (outputs, rank), the B matrix.
    """

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Outputs and inputs."""
        return self.up.shape[0], math.prod(self.down.shape[1:])

    def change(self) -> Tensor:
        """(outputs, inputs) float32."""
        return (self.up.float().flatten(1) @ self.down.float().flatten(1)) * (self.alpha / self.rank)


@dataclass(frozen=True, eq=False)
class ProductLayer:
    """The change of one layer as a product of two matrices: scale * (first x second).

    Args:
        kind: "LoKr", the Kronecker product, or "LoHa", the product of each value with the other's.
        first, second: the matrices, or two factors of one, the second of (rank, ...).
    """

    kind: Literal["LoKr", "LoHa"]
    first: tuple[Tensor, ...]
    second: tuple[Tensor, ...]
    scale: float

    @property
    def size(self) -> tuple[int, int]:
        """Outputs and inputs."""
        (rows, columns), (others, inner) = _size(self.first), _size(self.second)
        return (rows * others, columns * inner) if self.kind == "LoKr" else (rows, columns)

    def change(self) -> Tensor:
        """(outputs, inputs) float32."""
        first, second = _product(self.first), _product(self.second)
        both = torch.kron(first, second) if self.kind == "LoKr" else first * second
        return both.flatten(1) * self.scale


def _product(factors: tuple[Tensor, ...]) -> Tensor:
    if len(factors) == 1:
        return factors[0].float()
    return factors[0].float() @ factors[1].float().flatten(1)


def _size(factors: tuple[Tensor, ...]) -> tuple[int, int]:
    return factors[0].shape[0], math.prod(factors[-1].shape[1:])


Layer = LoraLayer | ProductLayer


def lora_layer(name: str, parts: Mapping[str, Tensor], alpha: float) -> LoraLayer:
    """The change that the two matrices, or the three of a convolution, of a layer are.

    Raises:
        LumosXError: they do not fit each other.
    """
    down, up = parts["down"], parts["up"]
    if "mid" in parts:
        mid = parts["mid"]
        if mid.ndim < 2 or down.ndim < 2 or mid.shape[1] != down.shape[0] or math.prod(down.shape[2:]) != 1:
            raise _unfit(name, mid, down)
        down = torch.einsum("om...,mi->oi...", mid.float(), down.float().flatten(1))
    if down.ndim < 2 or up.ndim < 2 or not down.shape[0] or math.prod(up.shape[1:]) != down.shape[0]:
        raise _unfit(name, down, up)
    return LoraLayer(down, up, alpha)


def product_rank(parts: Mapping[str, Tensor]) -> int | None:
    """The inner size of the factors of a LoKr or LoHa; None where both matrices are whole: they have no alpha then."""
    for name in ("hada_w1_b", "lokr_w1_b", "lokr_w2_b"):
        if name in parts:
            return parts[name].shape[0] if parts[name].ndim else None
    return None


def product_layer(name: str, parts: Mapping[str, Tensor], alpha: float) -> ProductLayer:
    """The change that the matrices of LoKr or LoHa are.

    Raises:
        LumosXError: one is missing, or they do not fit each other.
    """
    kind: Literal["LoKr", "LoHa"] = "LoHa" if any(part.startswith("hada") for part in parts) else "LoKr"
    start = "hada" if kind == "LoHa" else "lokr"
    factors: list[tuple[Tensor, ...]] = []
    for matrix in ("w1", "w2"):
        whole, left, right = (parts.get(f"{start}_{matrix}{end}") for end in ("", "_a", "_b"))
        if whole is not None and left is None and right is None and kind == "LoKr":
            factors.append((whole,))
        elif whole is None and left is not None and right is not None:
            factors.append((left, right))
        else:
            raise LumosXError(f"{name!r} has not all matrices of a {kind}")
    for pair in factors:
        if any(factor.ndim != 2 for factor in pair) or (len(pair) == 2 and pair[0].shape[1] != pair[1].shape[0]):
            raise LumosXError(f"the matrices of {name!r} have shapes that do not fit, or are those of a convolution")
    first, second = factors
    if kind == "LoHa" and _size(first) != _size(second):
        raise _unfit(name, first[0], second[0])
    rank = product_rank(parts)
    return ProductLayer(kind, first, second, alpha / rank if rank else 1.0)


def _unfit(name: str, first: Tensor, second: Tensor) -> LumosXError:
    return LumosXError(
        f"the matrices of {name!r} have shapes {tuple(first.shape)} and {tuple(second.shape)}, which do not share a "
        f"rank"
    )
