"""Ingredients (CogVideoX), last step: which face owns which region of the video, and how sure the router is."""

from __future__ import annotations

import numpy as np
import torch
from comfy_api.latest import io, ui

from ...lumosx_core.attention_map.heat_maps import shown_frames
from ...lumosx_core.attention_map.number_choice import NumberChoice
from ...lumosx_core.attention_map.router_map import draw_router_map
from ...lumosx_core.attention_map.router_record import FaceShare, describe_router, face_shares
from ..bridges.ingredients.router import latent_preview, record_router
from ..inputs.host_schema import found_by
from ..inputs.recordings import (
    frames_input,
    images_input,
    layers_input,
    samples_input,
    shown_pictures,
    steps_input,
)
from .load import CATEGORY

RouterType = io.Custom("INGREDIENTS_ROUTER")


class IngredientsRecordRouter(io.ComfyNode):
    """Records the router of a MODEL while it samples, without changing its output."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IngredientsRecordRouter",
            display_name="Ingredients (CogVideoX) Record Router",
            category=CATEGORY,
            description="Put it between the model and the sampler. During sampling it records which face each part of "
            "the video receives; Ingredients (CogVideoX) Router Map shows it. The video stays bit-identical.",
            inputs=[
                io.Model.Input("model", tooltip="From Ingredients (CogVideoX) Load Model."),
                steps_input(),
                layers_input(
                    "Which layers of the router are recorded, counted from 0 as in the names of its weights, "
                    "such as 5-9. Empty: all."
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="For the sampler."),
                RouterType.Output(display_name="router", tooltip="For Ingredients (CogVideoX) Router Map."),
            ],
        )

    @classmethod
    def execute(cls, model, steps="", layers="") -> io.NodeOutput:
        return io.NodeOutput(
            *record_router(model, NumberChoice.read(steps, "steps", 1), NumberChoice.read(layers, "layers", 0))
        )


class IngredientsRouterMap(io.ComfyNode):
    """Draws the recorded router over frames of the video."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IngredientsRouterMap",
            display_name="Ingredients (CogVideoX) Router Map (who is where)",
            **found_by("people", "faces", "regions", "heatmap", "CogVideoX"),
            category=CATEGORY,
            description="Shows which face owns which region of the video, in all layers together and in each, with two "
            "numbers for each face: its fraction of the video, and its mean weight there. Regions that mix, or weights "
            "that hardly differ, mean faces that mix.",
            inputs=[
                RouterType.Input("router", tooltip="From Ingredients (CogVideoX) Record Router."),
                samples_input(),
                images_input(),
                frames_input(),
            ],
            outputs=[
                io.Image.Output(display_name="maps", tooltip="The image that the node shows, one per video."),
                io.Float.Output(
                    display_name="fractions",
                    is_output_list=True,
                    tooltip="The fraction of the video that each face owns, 0 to 1; for several videos, one video "
                    "after the other.",
                ),
                io.Float.Output(
                    display_name="weights",
                    is_output_list=True,
                    tooltip="The mean weight of each face in its own region: 1 is certain, 1 divided by the number of "
                    "faces undecided.",
                ),
                io.String.Output(display_name="report", tooltip="The numbers in sentences."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, router, samples, images=None, frames=5) -> io.NodeOutput:
        samples = samples["samples"]
        record = router.find(samples)
        shown = shown_frames(samples.shape[2], frames)
        sheets: list[torch.Tensor] = []
        shares: list[FaceShare] = []
        reports: list[str] = []
        for video, pictures in enumerate(shown_pictures(samples, images, shown, latent_preview)):
            sheet = draw_router_map(record, video, pictures, shown)
            sheets.append(torch.from_numpy(np.asarray(sheet, dtype=np.float32) / 255))
            shares += face_shares(record.mean[video])
            heading = f"Video {video + 1}\n" if len(samples) > 1 else ""
            reports.append(heading + describe_router(record, video))
        maps = torch.stack(sheets)
        return io.NodeOutput(
            maps,
            [share.fraction for share in shares],
            [share.sureness for share in shares],
            "\n\n".join(reports),
            ui=ui.PreviewImage(maps, cls=cls),
        )
