"""Ingredients (CogVideoX), second step: photos of people become aligned faces and what the network reads of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import comfy.model_management
import numpy as np
import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ...lumosx_core.auto_scene.face_search import find_faces
from ...lumosx_core.drawing.face_row import draw_faces
from ...lumosx_core.errors import LumosXError
from ...lumosx_core.models.ingredients.conditions import MOST_FACES, check_face_count, faces_of, unused_parts
from ...lumosx_core.models.ingredients.faces.face_encoder import FaceEncoder
from ...lumosx_core.models.ingredients.faces.photo import FindFaces, Which, aligned_faces, fitted_crop
from ...lumosx_core.models.ingredients.faces.retinaface import released_detector
from ..bridges.ingredients.faces import Faces
from ..bridges.photo_models_bridge import AUTO, face_finder, model_input
from ..inputs.host_schema import FOLDED, found_by
from ..inputs.image_values import photographs_of
from ..inputs.ingredients_files import FACE_ENCODER, face_encoder_of, names_of, validated
from ..inputs.slot_rows import growing
from ..page.notices import HIDDEN, named, notice
from ..page.scene_titles import titled
from ..scene import SceneType
from .load import CATEGORY

FacesType = io.Custom("INGREDIENTS_FACES")
FIND, AS_GIVEN = "find the face", "as given"
_ENCODER_BYTES = 2 * 10**9  # EVA02-CLIP in float32 and its activations

NamedImage = tuple[str, Tensor]


class IngredientsFaces(io.ComfyNode):
    """One to eight faces from photos, or from a scene."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IngredientsFaces",
            display_name="Ingredients (CogVideoX) Faces (from photos)",
            **found_by("face", "person", "people", "identity", "character", "CogVideoX"),
            category=CATEGORY,
            description=f"Reads the faces of 1 to {MOST_FACES} people for Ingredients (CogVideoX): one photo of each, "
            "or the faces of a LumosX scene. The node shows the aligned faces with their numbers.",
            inputs=[
                io.Combo.Input(
                    "face_encoder_name",
                    options=names_of(FACE_ENCODER),
                    tooltip="A released folder (its name ends with /), or a folder with its face encoder in "
                    "models/ingredients_face_encoder.",
                ),
                io.Combo.Input(
                    "crops",
                    options=[FIND, AS_GIVEN],
                    tooltip=f"{FIND}: a face is found in each image and aligned. {AS_GIVEN}: each image is an aligned "
                    "face already, or a drawn one, and is only fitted to a square.",
                ),
                io.Combo.Input(
                    "which",
                    options=["best", "all", *map(str, range(1, MOST_FACES + 1))],
                    tooltip="If an image shows several faces: the one that the detector is surest of, all, or one by "
                    "its number from the left.",
                    extra_dict=FOLDED,
                ),
                model_input(
                    "faces",
                    "auto: the detector of the release, RetinaFace, if the face encoder's folder has it, else the "
                    "first one of InsightFace in models/insightface, whose models are for non-commercial research "
                    "only. If there is none, the node shows the command that downloads one.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.5,
                    min=0.05,
                    max=0.99,
                    step=0.01,
                    tooltip="For InsightFace's detectors: lower finds more faces, and more false ones. That of the "
                    "release has 0.97.",
                    extra_dict=FOLDED,
                ),
                SceneType.Input(
                    "scene",
                    optional=True,
                    tooltip="Instead of images: the face of each subject of a LumosX scene, in its order. The rest of "
                    "the scene is ignored, and named.",
                ),
                *growing(
                    io.Image, "image", "A photo of one person. A batch of images is several people.", most=MOST_FACES
                ),
            ],
            outputs=[
                FacesType.Output(display_name="faces", tooltip="For Ingredients (CogVideoX) To Video."),
                io.Image.Output(display_name="crops", tooltip="The aligned faces, 512x512 each, as a batch."),
                io.Image.Output(display_name="preview", tooltip="The image that the node shows."),
            ],
            hidden=HIDDEN,
        )

    @classmethod
    def validate_inputs(cls, face_encoder_name) -> bool | str:
        return validated(FACE_ENCODER, face_encoder_name)

    @classmethod
    def execute(
        cls, face_encoder_name, crops, which, face_model, threshold, scene=None, **images: Tensor | None
    ) -> io.NodeOutput:
        with named(cls):
            folder = face_encoder_of(face_encoder_name)
            photos = list(_photos(images)) if scene is None else _scene_faces(cls, scene, images)
            if not photos:
                raise LumosXError(
                    "No image is connected. Connect a photo of each person to image_1, image_2 and so on, or a LumosX "
                    "scene."
                )
            if crops == AS_GIVEN:
                found = [(name, fitted_crop(photo, name)) for name, photo in photos]
            else:
                found = _aligned(photos, _finder(folder, face_model, threshold), which, partial(notice, cls))
            check_face_count(len(found))
            names, aligned = tuple(name for name, _ in found), tuple(crop for _, crop in found)
            device = comfy.model_management.get_torch_device()
            encoder = FaceEncoder.load(folder, device=device)
            comfy.model_management.free_memory(_ENCODER_BYTES, device)
            features = encoder.encode(aligned)
        preview = torch.from_numpy(np.asarray(draw_faces(aligned, names), dtype=np.float32) / 255)[None]
        return io.NodeOutput(
            Faces(aligned, features, names), torch.stack(aligned), preview, ui=ui.PreviewImage(preview, cls=cls)
        )


def _finder(folder: Path, face_model: str, threshold: float) -> FindFaces:
    """The detector of the release where it is there and no other is chosen."""
    released = released_detector(folder) if face_model == AUTO else None
    return released or partial(find_faces, face_finder(face_model, threshold))


def _photos(images: dict[str, Tensor | None]) -> Iterator[NamedImage]:
    """The images in the order of their slots, each of a batch on its own."""
    for number in range(1, MOST_FACES + 1):
        batch = images.get(f"image_{number}")
        if batch is None:
            continue
        photos = photographs_of(batch)
        for index, photo in enumerate(photos, 1):
            yield (f"Image {number}" if len(photos) == 1 else f"Image {number}, {index} of the batch"), photo


def _scene_faces(cls: type[io.ComfyNode], scene, images: dict[str, Tensor | None]) -> list[NamedImage]:
    if any(image is not None for image in images.values()):
        raise LumosXError(
            "A scene and images are both connected, so the order of the faces is not clear. Disconnect one of them."
        )
    scene = titled(cls, scene)
    faces = faces_of(scene)
    for warning in unused_parts(scene):
        notice(cls, warning)
    return [(f"{name[:1].upper()}{name[1:]}", reference.image) for name, reference in faces]


def _aligned(photos: list[NamedImage], finder: FindFaces, which: str, warn: Callable[[str], None]) -> list[NamedImage]:
    choice: Which = int(which) if which.isdecimal() else "all" if which == "all" else "best"
    found = []
    for name, photo in photos:
        comfy.model_management.throw_exception_if_processing_interrupted()
        faces = aligned_faces(photo, finder, which=choice, name=name, warn=warn)
        found += [(name if len(faces) == 1 else f"{name}, face {i}", face.crop) for i, face in enumerate(faces, 1)]
    return found
