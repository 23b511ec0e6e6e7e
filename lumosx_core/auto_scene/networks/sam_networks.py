"""SAM 1, MobileSAM and SAM 2, built by their packages from their files, behind one interface."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...errors import LumosXError, MissingPackageError
from ...models.wan.names import read_state_dict
from .hub_folder import HubFolder
from .known import MODEL_TYPES
from .mobile_sam import as_timm_names, is_mobile_sam, mobile_encoder

_WHERE_TO_GET = (
    "Give a checkpoint of segment-anything such as sam_vit_b_01ec64.pth, MobileSAM's mobile_sam.pt, or a folder in the "
    "transformers format, such as facebook/sam2.1-hiera-small or facebook/sam-vit-base as the hub has it (config.json, "
    "model.safetensors)."
)
FEATURE = "Cutting things out of photos with SAM"


class SamNetwork(Protocol):
    """A SAM with the interface of the package that built it.

    Args:
        model: a torch module; the packages have no types.
        side: of the square that it looks at, in pixels.
        stretches: photos are stretched to that square, not padded.
    """

    model: Any
    side: int
    stretches: bool

    def move(self, device: str | torch.device | None, dtype: torch.dtype) -> None: ...

    def encode(self, pixels: Tensor) -> Any:
        """Embeddings of (1, 3, side, side) pixels, for `decode` of the same network."""

    def decode(self, seen: Any, corners: Tensor) -> tuple[Tensor, Tensor]:
        """(N, h, w) logits of the masks in N boxes, (N, 4) left, top, right, bottom; (N,) their estimated IoU."""


class _Checkpoint:
    """SAM 1 as the package segment-anything builds it, or MobileSAM."""

    stretches = False

    def __init__(self, model: Any):
        self.model = model
        self.side = model.image_encoder.img_size

    def move(self, device: str | torch.device | None, dtype: torch.dtype) -> None:
        self.model.to(device)
        # The package computes positions in float32, and so everything behind the image encoder.
        self.model.image_encoder.to(dtype)

    def encode(self, pixels: Tensor) -> Tensor:
        return self.model.image_encoder(pixels).float()

    def decode(self, seen: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
        sparse, dense = self.model.prompt_encoder(points=None, boxes=corners, masks=None)
        logits, estimates = self.model.mask_decoder(
            image_embeddings=seen.to(corners.device),
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return logits[:, 0], estimates[:, 0]


class _Hub:
    """SAM 1 or 2 as transformers builds it."""

    def __init__(self, model: Any, side: int, *, stretches: bool):
        self.model = model
        self.side = side
        self.stretches = stretches

    def move(self, device: str | torch.device | None, dtype: torch.dtype) -> None:
        self.model.to(device=device, dtype=dtype)

    def encode(self, pixels: Tensor) -> list[Tensor] | Tensor:
        return self.model.get_image_embeddings(pixels)

    def decode(self, seen: list[Tensor] | Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
        def moved(embedding: Tensor) -> Tensor:
            return embedding.to(corners.device)

        embeddings = [moved(each) for each in seen] if isinstance(seen, list) else moved(seen)
        answer = self.model(image_embeddings=embeddings, input_boxes=corners[None], multimask_output=False)
        return answer.pred_masks[0, :, 0], answer.iou_scores[0, :, 0]


# Opening them


def open_network(path: Path) -> SamNetwork:
    """The SAM of a checkpoint or of a folder.

    Raises:
        LumosXError: no such file, another network, or a damaged one.
        MissingPackageError: a package that builds the network is not installed.
    """
    return _open_folder(path) if os.path.isdir(path) else _open_checkpoint(path)


def _open_folder(path: Path) -> _Hub:
    folder = HubFolder(path, MODEL_TYPES["masks"], "SAM", _WHERE_TO_GET)
    first = folder.model_type() == "sam"
    try:
        if first:
            from transformers import SamModel as Model
        else:
            from transformers import Sam2Model as Model
    except ImportError as error:
        raise MissingPackageError("transformers", FEATURE, error) from error
    model: Any = folder.open_network(Model.from_pretrained)
    return _Hub(model, model.config.prompt_encoder_config.image_size, stretches=not first)


def _open_checkpoint(path: Path) -> _Checkpoint:
    tensors = read_state_dict(path)
    if any(name.startswith("image_encoder.trunk.") for name in tensors):
        raise LumosXError(
            f"{path} is SAM 2 in its authors' own format, which is not read. Give the folder of the same network in "
            f"the transformers format, such as facebook/sam2.1-hiera-small as the hub has it."
        )
    if any(name.startswith("vision_encoder.") for name in tensors):
        raise LumosXError(f"{path} is one file of a model in the transformers format. Give its folder.")
    mobile = is_mobile_sam(tensors)
    if not mobile and "image_encoder.pos_embed" not in tensors:
        raise LumosXError(f"{path} is not a SAM (found {', '.join(sorted(tensors)[:3])}). {_WHERE_TO_GET}")
    try:
        model = _build(tensors)
        tensors = as_timm_names(tensors) if mobile else tensors
        # copy: a tensor may be a view into the file, which must be free to change or vanish afterwards.
        model.load_state_dict({name: tensor.to(copy=True) for name, tensor in tensors.items()}, assign=True)
    except LumosXError:
        raise
    except (KeyError, IndexError, RuntimeError, ValueError, AssertionError) as error:
        raise LumosXError(
            f"{path} is not a SAM of the released kind, or is incomplete ({error}). Download it again. {_WHERE_TO_GET}"
        ) from error
    return _Checkpoint(model.float())


def _build(tensors: Mapping[str, Tensor]) -> Any:
    """The network in the sizes that the tensors have."""
    try:
        from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
    except ImportError as error:
        # The package imports torchvision without asking pip for it.
        package = "torchvision" if error.name == "torchvision" else "segment-anything"
        raise MissingPackageError(package, FEATURE, error) from error

    encoder = mobile_encoder(tensors, FEATURE) if is_mobile_sam(tensors) else _encoder(tensors)
    patch = encoder.patch_size
    grid = encoder.img_size // patch
    channels = tensors["image_encoder.neck.0.weight"].shape[0]
    prompt_encoder = PromptEncoder(
        embed_dim=channels,
        image_embedding_size=(grid, grid),
        input_image_size=(grid * patch, grid * patch),
        mask_in_chans=tensors["prompt_encoder.mask_downscaling.3.weight"].shape[0],
    )
    mask_decoder = MaskDecoder(
        transformer_dim=channels,
        transformer=TwoWayTransformer(
            depth=_count(tensors, r"mask_decoder\.transformer\.layers\.(\d+)\."),
            embedding_dim=channels,
            num_heads=8,  # shows in no tensor; the same in all released sizes
            mlp_dim=tensors["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
        ),
        num_multimask_outputs=tensors["mask_decoder.mask_tokens.weight"].shape[0] - 1,
        iou_head_depth=_count(tensors, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\."),
        iou_head_hidden_dim=tensors["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
    )
    return Sam(encoder, prompt_encoder, mask_decoder)


def _encoder(tensors: Mapping[str, Tensor]) -> Any:
    """SAM 1's image encoder, on the meta device: it is large, and its weights are replaced at once."""
    from segment_anything.modeling import ImageEncoderViT

    _, grid, _, width = tensors["image_encoder.pos_embed"].shape
    patch = tensors["image_encoder.patch_embed.proj.weight"].shape[-1]
    depth = _count(tensors, r"image_encoder\.blocks\.(\d+)\.")
    # Tables of relative positions tell which blocks attend within windows: 2 n - 1 entries for n patches.
    positions = [tensors[f"image_encoder.blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    reach = [(entries + 1) // 2 for entries, _ in positions]
    with torch.device("meta"):
        encoder = ImageEncoderViT(
            img_size=grid * patch,
            patch_size=patch,
            embed_dim=width,
            depth=depth,
            num_heads=width // positions[0][1],
            mlp_ratio=tensors["image_encoder.blocks.0.mlp.lin1.weight"].shape[0] / width,
            out_chans=tensors["image_encoder.neck.0.weight"].shape[0],
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=min(reach) if min(reach) < grid else 0,
            global_attn_indexes=tuple(i for i, patches in enumerate(reach) if patches == grid),
        )
    encoder.patch_size = patch
    return encoder


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many different numbers a pattern's group has among the names."""
    return len({match[1] for match in map(re.compile(pattern).match, tensors) if match})
