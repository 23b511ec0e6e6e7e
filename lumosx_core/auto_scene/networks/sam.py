"""Segmentation of boxes with Segment Anything (Kirillov et al., 2023) or SAM 2 (Ravi et al., 2024)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import LumosXError, MissingPackageError
from ...models.wan.names import read_state_dict
from ..cutouts.regions import Box, Region
from .hub_folder import HubFolder

_WHERE_TO_GET = (
    "Give a checkpoint of segment-anything such as sam_vit_b_01ec64.pth, or a folder in the transformers format, such "
    "as facebook/sam2.1-hiera-small or facebook/sam-vit-base as the hub has it (config.json, model.safetensors)."
)
_FEATURE = "Cutting things out of photos with SAM"
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of all released SAMs, for pixels of 0..1
_BOXES = 16  # in one pass of the mask decoder; what it needs grows with them


def load_segmenter(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    mask_threshold: float = 0.0,
) -> SamSegmenter:
    """Open a SAM of any size; nothing is downloaded and no code in it is run.

    Args:
        path: a checkpoint of segment-anything (.pth or .safetensors), or a folder in the transformers format whose
            model is of the type sam or sam2.
        device: None for the CPU.
        dtype: of the weights; None for float32. In a checkpoint only the image encoder's, which is nearly all of it.
        mask_threshold: of the logits; above it a pixel belongs to the region.

    Raises:
        LumosXError: no such file, another network, or a damaged one.
        MissingPackageError: segment-anything for a checkpoint, or transformers for a folder, is not installed.
    """
    path = Path(path).expanduser()
    network: _Network = _open_folder(path) if path.is_dir() else _open_checkpoint(path)
    network.model.eval().requires_grad_(False)
    network.move(device, dtype or torch.float32)
    return SamSegmenter(network, mask_threshold)


class SamSegmenter:
    """A segmenter.

    Args:
        network: one of the networks below.
        mask_threshold: of the logits; above it a pixel belongs to the region.
    """

    def __init__(self, network: _Network, mask_threshold: float = 0.0):
        self.network = network
        self.mask_threshold = mask_threshold

    @property
    def model(self) -> nn.Module:
        """The whole network. It may be moved between devices; where it is, is looked at on each call."""
        return self.network.model

    @torch.no_grad()
    def look_at(self, image: Tensor) -> Callable[[Sequence[Box]], list[Region]]:
        """Run the image encoder on an (H, W, 3) photo of 0..1; boxes then cost only the small mask decoder.

        A region has the size of its box, brought within the photo, and a hard edge (bool); it is empty where
        nothing was found.
        """
        height, width = image.shape[:2]
        side = self.network.side
        h, w = (side, side) if self.network.stretches else _longest_side(height, width, side)
        small = F.interpolate(image.permute(2, 0, 1)[None], size=(h, w), mode="bilinear", antialias=True)
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
        # Padded after normalising, as in training: the padding is of the mean colour.
        pixels = F.pad((small - mean) / deviation, (0, side - w, 0, side - h))
        seen = self.network.encode(pixels.to(next(self.model.parameters())))

        @torch.no_grad()
        def regions_in(boxes: Sequence[Box]) -> list[Region]:
            boxes = [box.within(height, width) for box in boxes]
            found = []
            for i in range(0, len(boxes), _BOXES):
                some = boxes[i : i + _BOXES]
                scaled = [box.scaled(w / width, h / height) for box in some]
                corners = torch.tensor([(box.left, box.top, box.right, box.bottom) for box in scaled])
                corners = corners.to(next(self.model.parameters()).device)
                logits = self.network.decode(seen, corners).float()
                if not self.network.stretches:  # in the network's own pixels the padding is cut off
                    logits = F.interpolate(logits[:, None], size=(side, side), mode="bilinear")[:, 0, :h, :w]
                for box, each in zip(some, logits.cpu(), strict=True):
                    inside = _in_box(each, box, height, width) > self.mask_threshold
                    found.append(Region(int(box.left), int(box.top), inside))
            return found

        return regions_in


def _in_box(logits: Tensor, box: Box, height: int, width: int) -> Tensor:
    """Logits of a whole photo, much smaller than it, -> those at the centres of the pixels in a box."""
    rows = (torch.arange(box.top, box.bottom) + 0.5) * (logits.shape[0] / height)
    columns = (torch.arange(box.left, box.right) + 0.5) * (logits.shape[1] / width)
    return _interpolated(_interpolated(logits, columns, 1), rows, 0)


def _interpolated(values: Tensor, at: Tensor, dim: int) -> Tensor:
    """Linearly, at positions where entry i is at i + 0.5; beyond the ends their values."""
    at = (at - 0.5).clamp(0, values.shape[dim] - 1)
    before = at.long()
    after = (before + 1).clamp(max=values.shape[dim] - 1)
    share = (at - before).unsqueeze(1 - dim)
    return torch.lerp(values.index_select(dim, before), values.index_select(dim, after), share)


class _Network(Protocol):
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

    def decode(self, seen: Any, corners: Tensor) -> Tensor:
        """(N, h, w) logits of the masks in N boxes, (N, 4) left, top, right, bottom."""


class _Checkpoint:
    """SAM 1 as the package segment-anything builds it."""

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

    def decode(self, seen: Tensor, corners: Tensor) -> Tensor:
        sparse, dense = self.model.prompt_encoder(points=None, boxes=corners, masks=None)
        logits, _ = self.model.mask_decoder(
            image_embeddings=seen.to(corners.device),
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return logits[:, 0]


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

    def decode(self, seen: list[Tensor] | Tensor, corners: Tensor) -> Tensor:
        def moved(embedding: Tensor) -> Tensor:
            return embedding.to(corners.device)

        embeddings = [moved(each) for each in seen] if isinstance(seen, list) else moved(seen)
        answer = self.model(image_embeddings=embeddings, input_boxes=corners[None], multimask_output=False)
        return answer.pred_masks[0, :, 0]


def _longest_side(height: int, width: int, side: int) -> tuple[int, int]:
    scale = side / max(height, width)
    # Rounded half up, as in training; a hair-thin image keeps a pixel.
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


# Opening them


def _open_folder(path: Path) -> _Hub:
    folder = HubFolder(path, "masks", "SAM", _WHERE_TO_GET)
    first = folder.model_type() == "sam"
    try:
        if first:
            from transformers import SamModel as Model
        else:
            from transformers import Sam2Model as Model
    except ImportError as error:
        raise MissingPackageError("transformers", _FEATURE, error) from error
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
    if "image_encoder.pos_embed" not in tensors:
        raise LumosXError(f"{path} is not a SAM (found {', '.join(sorted(tensors)[:3])}). {_WHERE_TO_GET}")
    try:
        model = _build(tensors)
        # copy: a tensor may be a view into the file, which must be free to change or vanish afterwards.
        model.load_state_dict({name: tensor.to(copy=True) for name, tensor in tensors.items()}, assign=True)
    except (KeyError, IndexError, RuntimeError) as error:
        raise LumosXError(
            f"{path} is not a SAM of the released kind, or is incomplete ({error}). Download it again. {_WHERE_TO_GET}"
        ) from error
    return _Checkpoint(model.float())


def _build(tensors: Mapping[str, Tensor]) -> Any:
    """The package's network in the sizes that the tensors have."""
    try:
        from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
    except ImportError as error:
        # The package imports torchvision without asking pip for it.
        package = "torchvision" if error.name == "torchvision" else "segment-anything"
        raise MissingPackageError(package, _FEATURE, error) from error

    def count(pattern: str) -> int:
        return len({match[1] for match in map(re.compile(pattern).match, tensors) if match})

    _, grid, _, width = tensors["image_encoder.pos_embed"].shape
    patch = tensors["image_encoder.patch_embed.proj.weight"].shape[-1]
    channels = tensors["image_encoder.neck.0.weight"].shape[0]
    depth = count(r"image_encoder\.blocks\.(\d+)\.")
    # Tables of relative positions tell which blocks attend within windows: 2 n - 1 entries for n patches.
    positions = [tensors[f"image_encoder.blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    reach = [(entries + 1) // 2 for entries, _ in positions]
    encoder: dict[str, Any] = {
        "img_size": grid * patch,
        "patch_size": patch,
        "embed_dim": width,
        "depth": depth,
        "num_heads": width // positions[0][1],
        "mlp_ratio": tensors["image_encoder.blocks.0.mlp.lin1.weight"].shape[0] / width,
        "out_chans": channels,
        "norm_layer": partial(nn.LayerNorm, eps=1e-6),
        "use_rel_pos": True,
        "window_size": min(reach) if min(reach) < grid else 0,
        "global_attn_indexes": tuple(i for i, patches in enumerate(reach) if patches == grid),
    }
    # On meta: this part is large, and its weights are replaced at once.
    with torch.device("meta"):
        image_encoder = ImageEncoderViT(**encoder)
    prompt_encoder = PromptEncoder(
        embed_dim=channels,
        image_embedding_size=(grid, grid),
        input_image_size=(grid * patch, grid * patch),
        mask_in_chans=tensors["prompt_encoder.mask_downscaling.3.weight"].shape[0],
    )
    mask_decoder = MaskDecoder(
        transformer_dim=channels,
        transformer=TwoWayTransformer(
            depth=count(r"mask_decoder\.transformer\.layers\.(\d+)\."),
            embedding_dim=channels,
            num_heads=8,  # shows in no tensor; the same in all released sizes
            mlp_dim=tensors["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
        ),
        num_multimask_outputs=tensors["mask_decoder.mask_tokens.weight"].shape[0] - 1,
        iou_head_depth=count(r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\."),
        iou_head_hidden_dim=tensors["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
    )
    return Sam(image_encoder, prompt_encoder, mask_decoder)
