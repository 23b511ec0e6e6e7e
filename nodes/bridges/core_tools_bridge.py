"""ComfyUI's own SAM3 and MediaPipe face detection as finders: everything that touches their code is here.

The nodes are called as a graph would call them, so that memory, devices and versions of the networks stay ComfyUI's
business. Their boxes and masks are in pixels of the image they are given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch
from comfyui_version import __version__
from torch import Tensor

from ...lumosx_core.auto_scene.cutouts.regions import Box, Detection, Face, Region
from ...lumosx_core.auto_scene.instances import MOST_INSTANCES
from ...lumosx_core.errors import LumosXError

NEEDED = (0, 23, 0)  # the first ComfyUI that has both tools
_SAM3_REFINES = 2  # passes of the mask decoder, as SAM3 Detect has by default
# Of MediaPipe's 478 points: eye, eye, tip of the nose, corner, corner of the mouth, left before right in the image.
_FIVE_POINTS = (468, 473, 1, 61, 291)


def check_host() -> None:
    """
    Raises:
        LumosXError: this ComfyUI has no SAM3 and no MediaPipe face detection.
    """
    numbers = tuple(int(part) for part in re.findall(r"\d+", __version__)[:3])
    if numbers and numbers < NEEDED:
        raise LumosXError(
            f"SAM3 and MediaPipe face detection came with ComfyUI {'.'.join(map(str, NEEDED))}, but this is "
            f"{__version__}. Update ComfyUI, or remove LumosX Core Tools and choose models in LumosX Auto Scene itself."
        )


@dataclass(frozen=True, eq=False)
class MediaPipeFaces:
    """A FACE_DETECTION_MODEL as a face finder."""

    model: object
    threshold: float

    def find(self, image: Tensor) -> list[Face]:
        from comfy_extras.nodes_mediapipe import MediaPipeFaceLandmarker

        comfy.model_management.throw_exception_if_processing_interrupted()
        # The short-range network misses small faces, the long-range one large ones; 0: no limit to their number.
        landmarks, boxes = MediaPipeFaceLandmarker.execute(
            self.model, image[None], "both", 0, self.threshold, "empty"
        ).args
        faces = []
        for box, face in zip(boxes[0], landmarks["frames"][0], strict=True):
            points = tuple((float(x), float(y)) for x, y in face["landmarks_xy"][list(_FIVE_POINTS)])
            faces.append(Face(_box(box), float(box["score"]), points))
        return faces


@dataclass(frozen=True, eq=False)
class Sam3:
    """SAM3 (its MODEL and CLIP) as a phrase finder that masks what it finds, and as a segmenter."""

    model: Any  # a ModelPatcher of ComfyUI's
    clip: Any  # comfy.sd.CLIP
    threshold: float
    side: int = 1008  # pixels of the square that it brings photos to

    def find(self, image: Tensor, phrases: Sequence[str]) -> list[list[Detection]]:
        return [self._find(image, phrase) for phrase in phrases]

    def _find(self, image: Tensor, phrase: str) -> list[Detection]:
        comfy.model_management.throw_exception_if_processing_interrupted()
        tokens = self.clip.tokenize(sam3_prompt(phrase))
        words = self.clip.encode_from_tokens_scheduled(tokens)
        masks, boxes = self._detect(image, conditioning=words, threshold=self.threshold)
        height, width = image.shape[:2]
        found = []
        for mask, box in zip(masks, boxes[0], strict=True):
            within = _box(box).within(height, width)
            found.append(Detection(within, float(box["score"]), _region(mask, within.with_leeway())))
        return found

    @torch.no_grad()
    def look_at(self, image: Tensor) -> Callable[[Sequence[Box]], list[Region]]:
        """A region has the size of its box with its leeway, brought within the photo, and a hard edge (bool)."""
        height, width = image.shape[:2]

        def regions_in(boxes: Sequence[Box]) -> list[Region]:
            boxes = [box.within(height, width) for box in boxes]
            regions = []
            for box in boxes:  # one at a time: masks of a whole photo are large
                comfy.model_management.throw_exception_if_processing_interrupted()
                given = {"x": box.left, "y": box.top, "width": box.width, "height": box.height}
                masks, _ = self._detect(image, bboxes=[given])
                regions.append(_region(masks[0], box.with_leeway()))
            return regions

        return regions_in

    def _detect(self, image: Tensor, **asked) -> tuple[Tensor, list[list[dict]]]:
        """(N, H, W) masks, and for the image a list of N boxes where words were asked for."""
        from comfy_extras.nodes_sam3 import SAM3_Detect

        with torch.no_grad():
            output = SAM3_Detect.execute(
                self.model, image[None], refine_iterations=_SAM3_REFINES, individual_masks=True, **asked
            )
        return output.args


def check_sam3(model) -> None:
    """
    Raises:
        LumosXError: the MODEL is another network.
    """
    check_host()
    from comfy.model_base import SAM3

    if not isinstance(model.model, SAM3):
        raise LumosXError(
            f"sam3_model is a {type(model.model).__name__} model, expected SAM3. Connect MODEL and CLIP of a Load "
            f"Checkpoint node that loads sam3.1_multiplex_fp16.safetensors."
        )


def check_sam3_words(clip) -> None:
    """
    Raises:
        LumosXError: the CLIP is the text encoder of another network.
    """
    check_host()
    from comfy.text_encoders.sam3_clip import SAM3ClipModelWrapper

    if not isinstance(clip.cond_stage_model, SAM3ClipModelWrapper):
        raise LumosXError(
            f"sam3_clip is {type(clip.cond_stage_model).__name__}, expected the text encoder of SAM3. Connect CLIP of "
            f"the Load Checkpoint node that loads SAM3, not that of the video model."
        )


def sam3_prompt(phrase: str) -> str:
    """A phrase as SAM3's tokenizer takes it: there a comma begins another thing, a colon a number, and brackets go."""
    return f"{' '.join(re.sub(r'[,:;()]', ' ', phrase).split())}:{MOST_INSTANCES}"


def _box(given: dict) -> Box:
    return Box(given["x"], given["y"], given["x"] + given["width"], given["y"] + given["height"])


def _region(mask: Tensor, box: Box) -> Region:
    box = box.within(*mask.shape)
    return Region(int(box.left), int(box.top), (box.crop(mask) > 0.5).cpu().clone())
