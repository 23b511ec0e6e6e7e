"""LumosX Faces: face crops from a source image, as in the network's training."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..lumosx_core.auto_scene.annotations import Mark, note_of
from ..lumosx_core.auto_scene.cutouts.faces import ORDERS, crop_face, face_crop_box, faces_of_masks, order_faces, pick
from ..lumosx_core.auto_scene.cutouts.quality import face_warnings
from ..lumosx_core.auto_scene.detectors import check_photo
from ..lumosx_core.auto_scene.face_search import find_faces
from ..lumosx_core.drawing.contact_sheet import COLOURS, FAINT
from ..lumosx_core.errors import LumosXError
from .bridges.photo_models_bridge import face_finder, model_input
from .inputs.host_schema import FOLDED, found_by
from .inputs.image_values import (
    CATEGORY,
    BoundingBox,
    boxes_input,
    boxes_of_one,
    drawing,
    face_of,
    given_of,
    masks_of,
    one_photograph,
)


class LumosXFaces(io.ComfyNode):
    """All faces of a photo, or some of them."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXFaces",
            display_name="LumosX Faces (crop from a photo)",
            **found_by("face", "person", "people", "detect", "crop"),
            category=CATEGORY,
            description="Finds the faces in a photo and crops each as in LumosX's training, for LumosX Subject. "
            "Boxes or masks from other nodes can replace the detector.",
            inputs=[
                io.Image.Input("image", tooltip="One photo."),
                model_input("faces"),
                io.Float.Input(
                    "threshold",
                    default=0.5,
                    min=0.05,
                    max=0.99,
                    step=0.01,
                    tooltip="Lower finds more faces, and more false ones.",
                    extra_dict=FOLDED,
                ),
                io.Combo.Input("order", options=list(ORDERS), tooltip="The order in which faces are numbered."),
                io.String.Input(
                    "picks", default="", tooltip="Numbers of the faces to output, such as 1, 3. Empty: all."
                ),
                boxes_input("boxes", "Replaces the detector."),
                io.Mask.Input(
                    "masks",
                    optional=True,
                    tooltip="White where faces are; replaces the detector. Parts that do not touch count as "
                    "different faces.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="faces", is_output_list=True, tooltip="One image per face."),
                BoundingBox.Output(display_name="boxes", tooltip="With score and the five landmarks of each face."),
                io.Image.Output(display_name="preview", tooltip="The photo with a number on each face."),
                io.String.Output(
                    display_name="warnings",
                    tooltip="Problems with a face, such as low resolution; empty if there are none.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, face_model) -> bool:
        return True  # a missing model is reported when the node runs, with the command that downloads it

    @classmethod
    def execute(cls, image, face_model, threshold, order, picks, boxes=None, masks=None) -> io.NodeOutput:
        photograph = one_photograph(image)
        check_photo(photograph, "The photo")
        height, width = photograph.shape[:2]
        if boxes is not None and masks is not None:
            raise LumosXError("Boxes and masks are both connected to LumosX Faces. Disconnect one of them.")
        if boxes is not None:
            found = [face_of(box, photograph) for box in boxes_of_one(boxes, "boxes")]
        elif masks is not None:
            masks = masks_of(masks)
            if masks.shape[1:] != (height, width):
                raise LumosXError(
                    f"The masks are {masks.shape[2]}x{masks.shape[1]}, the photo is {width}x{height}. Connect masks "
                    "of the same size as the photo."
                )
            found = faces_of_masks(masks)
        else:
            found = find_faces(face_finder(face_model, threshold), photograph)
        if not found:
            raise LumosXError(
                "No face was found in the photo. Lower the threshold, use a photo in which faces are seen from the "
                "front, or connect boxes or a mask of them."
            )
        faces = order_faces(found, order)
        chosen = pick(picks, len(faces))
        notes = {i: face_warnings(f"Face {i + 1}", faces[i], (height, width), photograph) for i in chosen}
        marks = [
            Mark(
                f"{i + 1}  {face.score:.2f}" if i in notes else f"{i + 1}  not picked",
                COLOURS[i % len(COLOURS)] if i in notes else FAINT,
                face_crop_box(face).within(height, width),
                note=note_of(notes.get(i, [])),
            )
            for i, face in enumerate(faces)
        ]
        given = [
            given_of(
                faces[i].box,
                f"face {i + 1}",
                faces[i].score,
                **({"landmarks": faces[i].landmarks} if faces[i].landmarks else {}),
            )
            for i in chosen
        ]
        warnings = "\n".join(note for each in notes.values() for note in each)
        return io.NodeOutput(
            [crop_face(photograph, faces[i])[None].clone() for i in chosen],
            [given],
            drawing(photograph, marks),
            warnings,
            ui=ui.PreviewText(warnings or f"{len(chosen)} of {len(faces)} faces"),
        )
