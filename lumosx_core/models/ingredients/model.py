"""The Ingredients (CogVideoX) network: CogVideoX-5B-I2V whose image tokens receive the faces of several people.

Shapes: B rows, F latent frames, H x W latent pixels, S image tokens, N faces, Q tokens of a face, E channels of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, overload

import torch
from torch import Tensor, nn

from ...errors import LumosXError
from ..cogvideox.network import CogVideoXNetwork
from .config import SCALES, IngredientsConfig
from .extractor import LocalFacialExtractor
from .router import FaceKeys, PerceiverCrossAttention, Router, face_keys, route

Observer = Callable[[int, Tensor], None]
"""Receives the index of an injection and the faces' weights there, (rows, S, N) float32."""

RowFeatures = tuple[Tensor, Tensor]
"""What `encode_faces` reads, with a row of the batch before each: (B, N, id_in) and (B, N, 5, T, vit_in)."""

GUIDANCE = ("shared", "per_branch")


@dataclass(frozen=True, eq=False)
class PreparedFaces:
    """What the network computes of a set of faces alone, for all steps of a video; made by `prepare_faces`."""

    count: int
    layers: tuple[FaceKeys, ...]

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> PreparedFaces:
        """The same on a device and, if one is named, in another dtype."""
        return PreparedFaces(self.count, tuple(layer.to(device, dtype) for layer in self.layers))


class IngredientsModel(CogVideoXNetwork):
    """Predicts v of a video in which each person has the face of a photo.

    Behind every second block the router weighs the faces for each image token, and the token receives the weighted
    sum of what it attends to in them. No weight depends on the number of faces. State-dict names are the release's.

    Source: Ingredients (arXiv 2501.01790); ConsisID (arXiv 2411.17440); CogVideoX (arXiv 2408.06072).
    """

    def __init__(self, config: IngredientsConfig, *, device=None, dtype=None, operations: Any = nn):
        super().__init__(config.transformer, device=device, dtype=dtype, operations=operations)
        factory = {"device": device, "dtype": dtype}
        self.config = config
        self.local_facial_extractor = LocalFacialExtractor(config.local_facial_extractor, operations, **factory)
        self.perceiver_cross_attention = nn.ModuleList(
            PerceiverCrossAttention(config, operations, **factory) for _ in range(config.injections)
        )
        self.router = nn.ModuleList(Router(config, operations, **factory) for _ in range(config.injections))

    def encode_faces(self, id_cond: Tensor, id_vit_hidden: Tensor) -> Tensor:
        """Face tokens of N faces; they depend on neither step nor prompt.

        Args:
            id_cond: (N, id_in), the face embedding of each.
            id_vit_hidden: (N, 5, T, vit_in), hidden states of the vision tower at five depths.

        Returns:
            (N, Q, E).

        Raises:
            LumosXError: shapes that do not fit the network or one another.
        """
        sizes = self.config.local_facial_extractor
        if id_cond.ndim != 2 or id_cond.shape[1] != sizes.id_in:
            raise LumosXError(f"id_cond has shape {tuple(id_cond.shape)}, expected (faces, {sizes.id_in}).")
        shape, faces = tuple(id_vit_hidden.shape), len(id_cond)
        if len(shape) != 4 or (shape[0], shape[1], shape[3]) != (faces, SCALES, sizes.vit_in):
            raise LumosXError(
                f"id_vit_hidden has shape {shape}, expected ({faces}, {SCALES}, tokens, {sizes.vit_in}): the hidden "
                f"states of each face at {SCALES} depths."
            )
        dtype = self.computing_dtype(id_cond)
        hidden = id_vit_hidden.to(device=id_cond.device, dtype=dtype).unbind(1)
        return self.local_facial_extractor(id_cond.to(dtype), hidden)

    def prepare_faces(self, faces: Tensor) -> PreparedFaces:
        """Keys and values of all injections for the face tokens (N, Q, E), to compute them once for a video.

        With (B, N, Q, E) each row of a batch has faces of its own.

        Raises:
            LumosXError: no faces, or tokens of another network.
        """
        sizes = self.config.local_facial_extractor
        expected = (sizes.num_queries, sizes.output_dim)
        if faces.ndim not in (3, 4) or not faces.shape[-3] or faces.shape[-2:] != expected:
            raise LumosXError(
                f"faces have shape {tuple(faces.shape)}, expected (1 or more, {sizes.num_queries}, "
                f"{sizes.output_dim}), as encode_faces returns them."
            )
        faces = faces.to(self.computing_dtype(faces))
        layers = (face_keys(*self.injection(index), faces) for index in range(self.config.injections))
        return PreparedFaces(faces.shape[-3], tuple(layers))

    def injection(self, index: int) -> tuple[Router, PerceiverCrossAttention]:
        """The router and the cross-attention of an injection."""
        return cast(Router, self.router[index]), cast(PerceiverCrossAttention, self.perceiver_cross_attention[index])

    @overload
    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor,
        faces: Tensor | PreparedFaces | RowFeatures,
        *,
        rope: tuple[Tensor, Tensor] | None = ...,
        guidance: str = ...,
        residual_rows: Sequence[int] | None = ...,
        observe: Observer | None = ...,
        return_router: Literal[False] = ...,
    ) -> Tensor: ...

    @overload
    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor,
        faces: Tensor | PreparedFaces | RowFeatures,
        *,
        rope: tuple[Tensor, Tensor] | None = ...,
        guidance: str = ...,
        residual_rows: Sequence[int] | None = ...,
        observe: Observer | None = ...,
        return_router: Literal[True],
    ) -> tuple[Tensor, Tensor]: ...

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor,
        faces: Tensor | PreparedFaces | RowFeatures,
        *,
        rope: tuple[Tensor, Tensor] | None = None,
        guidance: str = "shared",
        residual_rows: Sequence[int] | None = None,
        observe: Observer | None = None,
        return_router: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Predict v.

        Args:
            latents: (B, F, C, H, W), noisy latents and behind them, in the channels, the image latents.
            timestep: (B,), 0 (clean) to 999 (noise).
            text: (B, J, text_dim), padded to the network's length.
            faces: (N, Q, E) of `encode_faces`, for all rows the same, or what `prepare_faces` made of them. In
                training each row has faces of its own: (B, N, Q, E), or the features that they are encoded from.
            rope: cos and sin of `rotary_table`; None: queries and keys are not rotated.
            guidance: which row's residual of the faces a row receives. "shared", as released: the batch is negatives,
                then positives, and both receive the negative's. "per_branch": each its own.
            residual_rows: for each row the row whose residual it receives, instead of `guidance`.
            observe: receives the weights of the faces at each injection.
            return_router: also return the router's logits.

        Returns:
            (B, F, out_channels, H, W), in the dtype of the computation. With `return_router` also logits
            (injections, [rows,] S, N) float32, of the rows whose residual was computed, without `rows` if it was one.

        Raises:
            LumosXError: shapes that do not fit the network or one another, or rows that do not exist.
        """
        if isinstance(faces, PreparedFaces) and len(faces.layers) != self.config.injections:
            raise LumosXError(
                f"The faces were prepared for {len(faces.layers)} injections, but this network has "
                f"{self.config.injections}. Prepare them with the network that receives them."
            )
        sources = residual_sources(len(latents), guidance) if residual_rows is None else tuple(map(int, residual_rows))
        injection = _Injection(self, faces, _checked(sources, len(latents)), observe)
        output = self.predict(latents, timestep, text, rope, injection)
        if not return_router:
            return output
        logits = torch.stack(injection.logits)
        return output, logits.squeeze(1) if logits.shape[1] == 1 else logits


def residual_sources(batch: int, guidance: str) -> tuple[int, ...]:
    """For each row of a batch the row whose residual of the faces it receives.

    Raises:
        LumosXError: an unknown mode, or an odd batch, which is not negatives and positives.
    """
    if guidance not in GUIDANCE:
        raise LumosXError(f"guidance is {guidance!r}, expected one of {', '.join(map(repr, GUIDANCE))}.")
    if guidance == "per_branch" or batch == 1:
        return tuple(range(batch))
    if batch % 2:
        raise LumosXError(
            f'The batch has {batch} rows, but guidance "shared" expects negatives, then as many positives. Use '
            f'"per_branch", or name the rows with residual_rows.'
        )
    return tuple(row % (batch // 2) for row in range(batch))


class _Injection:
    """Adds the faces behind the blocks of one forward pass, and collects the router's logits."""

    def __init__(
        self,
        model: IngredientsModel,
        faces: Tensor | PreparedFaces | RowFeatures,
        sources: tuple[int, ...],
        observe: Observer | None,
    ):
        self.model = model
        self.faces = _encoded(model, faces, len(sources)) if isinstance(faces, tuple) else faces
        if isinstance(self.faces, Tensor) and self.faces.ndim == 4 and len(self.faces) != len(sources):
            raise LumosXError(
                f"faces have shape {tuple(self.faces.shape)}, expected ({len(sources)}, faces, tokens, channels): each "
                f"row of the batch has its own, or leave out the first dimension for faces that all share."
            )
        self.rows = sorted(set(sources))
        self.position = [self.rows.index(source) for source in sources]
        self.observe = observe
        self.logits: list[Tensor] = []

    def __call__(self, block: int, image: Tensor) -> Tensor:
        index, rest = divmod(block, self.model.config.cross_attn_interval)
        if rest:
            return image
        if isinstance(self.faces, Tensor):
            self.faces = self.model.prepare_faces(self.faces.to(image))
        keys = self.faces.layers[index].to(image.device, image.dtype)
        if len(self.rows) != len(image):
            keys = keys.of_rows(self.rows)
        first = self.rows == list(range(len(self.rows)))
        source = image[: len(self.rows)] if first else image[self.rows]  # a slice is not copied
        router, attention = self.model.injection(index)
        logits = router(source, keys.router)
        weights = route(logits)
        self.logits.append(logits)
        if self.observe is not None:
            self.observe(index, weights)
        residual = attention(source, keys.key, keys.value, weights)
        if len(self.rows) > 1 and self.position != list(range(len(image))):
            residual = residual[self.position]
        return image + self.model.config.local_face_scale * residual


def _encoded(model: IngredientsModel, features: RowFeatures, batch: int) -> Tensor:
    """Face tokens (B, N, Q, E) of faces that each row has of its own."""
    id_cond, hidden = features
    if id_cond.ndim != 3 or id_cond.shape[:2] != hidden.shape[:2] or len(id_cond) != batch:
        raise LumosXError(
            f"Faces of rows have features of shape {tuple(id_cond.shape)} and {tuple(hidden.shape)}, expected "
            f"({batch}, faces, ..) both."
        )
    return model.encode_faces(id_cond.flatten(0, 1), hidden.flatten(0, 1)).unflatten(0, id_cond.shape[:2])


def _checked(sources: tuple[int, ...], batch: int) -> tuple[int, ...]:
    if len(sources) != batch or any(not 0 <= row < batch for row in sources):
        raise LumosXError(f"residual_rows is {list(sources)}, expected {batch} numbers from 0 to {batch - 1}.")
    return sources
