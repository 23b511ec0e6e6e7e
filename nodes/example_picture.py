"""LumosX Example Picture: images that come with LumosX, so that a workflow runs before the artist has any."""

from __future__ import annotations

from comfy_api.latest import io

from ..lumosx_core.media.example_images import example_pictures, read_example
from .inputs.host_schema import found_by


class LumosXExamplePicture(io.ComfyNode):
    """One of the example images."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXExamplePicture",
            display_name="LumosX Example Picture",
            **found_by("people", "example", "face", "clothes"),
            category="LumosX",
            description="An example image that comes with LumosX, to try a workflow. Replace it with LumosX Load "
            "Image for your own people.",
            inputs=[
                io.Combo.Input(
                    "picture",
                    options=example_pictures(),
                    default="glyph_people/background/meadow.png",  # whatever examples come to be in front of it
                    tooltip="glyph_people and three_glyph_people are drawn for lumosx-tiny, glyph_faces for "
                    "ingredients-tiny; two_people are photos, for the released model. The end of the name, without "
                    "face_, is the phrase in the examples' prompts.",
                )
            ],
            outputs=[io.Image.Output(tooltip="For an image input of LumosX Subject or LumosX Scene.")],
        )

    @classmethod
    def execute(cls, picture) -> io.NodeOutput:
        return io.NodeOutput(read_example(picture)[None])
