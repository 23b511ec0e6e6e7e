"""LumosX Core Tools: ComfyUI's own SAM3 and MediaPipe face detection instead of networks that need further packages."""

from __future__ import annotations

from dataclasses import dataclass, replace

from comfy_api.latest import io

from ..lumosx_core.auto_scene.settings import Finders
from ..lumosx_core.errors import LumosXError
from .bridges.core_tools_bridge import MediaPipeFaces, Sam3, check_host, check_sam3, check_sam3_words
from .inputs.host_schema import found_by
from .inputs.image_values import CATEGORY

CoreTools = io.Custom("LUMOSX_CORE_TOOLS")
FaceDetectionModel = io.Custom("FACE_DETECTION_MODEL")  # ComfyUI's own type; 0.8.0 has no node for it yet


@dataclass(frozen=True, eq=False)
class ChosenTools:
    """The connected models; for None, LumosX Auto Scene uses its own choice."""

    sam3: tuple[object, object] | None
    faces: object | None

    def instead_of(self, own: Finders, face_threshold: float, box_threshold: float) -> Finders:
        """The finders, with these tools replacing their own."""
        if self.sam3 is not None:
            sam3 = Sam3(*self.sam3, box_threshold)
            own = replace(own, phrases=lambda: sam3, masks=lambda: sam3)
        if self.faces is not None:
            faces = MediaPipeFaces(self.faces, face_threshold)
            own = replace(own, faces=lambda: faces)
        return own


class LumosXCoreTools(io.ComfyNode):
    """Models of ComfyUI's loaders become the finders of LumosX Auto Scene."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXCoreTools",
            display_name="LumosX Core Tools (SAM3, faces)",
            **found_by("sam3", "mediapipe", "segment", "people", "clothes", "face"),
            category=CATEGORY,
            description="The recommended way to find people and clothes in photos where ComfyUI has SAM3 and MediaPipe "
            "face detection (0.23.0 and newer): no further Python package is needed. Connect the output to LumosX "
            "Auto Scene.",
            inputs=[
                io.Model.Input(
                    "sam3_model",
                    optional=True,
                    tooltip="MODEL of Load Checkpoint with sam3.1_multiplex_fp16.safetensors. Finds and masks people, "
                    "clothes and objects.",
                ),
                io.Clip.Input("sam3_clip", optional=True, tooltip="CLIP of the same Load Checkpoint node."),
                FaceDetectionModel.Input(
                    "face_detection_model",
                    optional=True,
                    tooltip="From Load Face Detection Model (MediaPipe). Finds the faces.",
                ),
            ],
            outputs=[CoreTools.Output(display_name="core_tools", tooltip="For LumosX Auto Scene.")],
        )

    @classmethod
    def execute(cls, sam3_model=None, sam3_clip=None, face_detection_model=None) -> io.NodeOutput:
        check_host()
        if (sam3_model is None) != (sam3_clip is None):
            missing = "sam3_clip" if sam3_clip is None else "sam3_model"
            raise LumosXError(
                f"{missing} is not connected. Connect both MODEL and CLIP of the Load Checkpoint node that loads SAM3."
            )
        if sam3_model is None and face_detection_model is None:
            raise LumosXError(
                "LumosX Core Tools has no model. Connect SAM3 (model and clip), a face detection model, or all of them."
            )
        sam3 = None
        if sam3_model is not None:
            check_sam3(sam3_model)
            check_sam3_words(sam3_clip)
            sam3 = sam3_model, sam3_clip
        return io.NodeOutput(ChosenTools(sam3, face_detection_model))
