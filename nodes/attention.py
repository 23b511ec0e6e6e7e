"""Attention recording, heat maps per subject and reference image, and a binding score per subject."""

from __future__ import annotations

import numpy as np
import torch
from comfy_api.latest import io, ui

from ..lumosx_core.attention_map.binding import measure_binding, regions_from_masks
from ..lumosx_core.attention_map.heat_maps import draw_attention_map, shown_frames
from ..lumosx_core.attention_map.number_choice import NumberChoice
from ..lumosx_core.attention_map.report import describe_binding
from .bridges.attention_bridge import latent_preview, record_attention
from .inputs.host_schema import found_by
from .inputs.recordings import (
    frames_input,
    images_input,
    layers_input,
    samples_input,
    shown_pictures,
    steps_input,
)

AttentionType = io.Custom("LUMOSX_ATTENTION")


class LumosXRecordAttention(io.ComfyNode):
    """Records what a MODEL attends to while it samples, without changing its output."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXRecordAttention",
            display_name="LumosX Record Attention",
            category="LumosX",
            description="Put it between the model and the sampler. During sampling it records how much each part of "
            "the video looks at each reference image; LumosX Attention Map shows the result. The video "
            "stays bit-identical.",
            inputs=[
                io.Model.Input("model", tooltip="From LumosX Load Model or LumosX Apply."),
                steps_input(),
                layers_input(
                    "Which layers of the network are recorded, counted from 0 as in the names of its weights, "
                    "such as 10-19. Empty: all. Fewer cost less time."
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="For the sampler."),
                AttentionType.Output(display_name="attention", tooltip="For LumosX Attention Map."),
            ],
        )

    @classmethod
    def execute(cls, model, steps="", layers="") -> io.NodeOutput:
        return io.NodeOutput(
            *record_attention(model, NumberChoice.read(steps, "steps", 1), NumberChoice.read(layers, "layers", 0))
        )


class LumosXAttentionMap(io.ComfyNode):
    """Draws the recorded attention over frames of the video, and scores how well each subject is bound."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXAttentionMap",
            display_name="LumosX Attention Map (who looks at what)",
            **found_by("people", "who wears what", "heatmap"),
            category="LumosX",
            description="Shows where in the video each subject and each of its reference images is looked at, and a "
            "binding score: how much of what a subject's region looks at is the subject's own. For a low "
            "score, the report names the reference image that is looked at instead.",
            inputs=[
                AttentionType.Input("attention", tooltip="From LumosX Record Attention."),
                samples_input(),
                images_input(),
                io.Mask.Input(
                    "regions",
                    optional=True,
                    tooltip="One mask per subject, in the order of the scene: white where the subject is in the "
                    "video. Without it, a subject's region is the area nearest to where its face is looked "
                    "at.",
                ),
                frames_input(),
            ],
            outputs=[
                io.Image.Output(display_name="heat_maps", tooltip="The image that the node shows, one per video."),
                io.Float.Output(
                    display_name="scores",
                    is_output_list=True,
                    tooltip="The binding score of each subject, 0 to 1; for several videos, one video after the other.",
                ),
                io.String.Output(display_name="report", tooltip="The scores in sentences."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, attention, samples, images=None, regions=None, frames=5) -> io.NodeOutput:
        samples = samples["samples"]
        record = attention.find(samples)
        shown = shown_frames(samples.shape[2], frames)
        videos = shown_pictures(samples, images, shown, latent_preview)
        regions = None if regions is None else regions_from_masks(regions.cpu(), record)
        sheets: list[torch.Tensor] = []
        scores: list[float] = []
        reports: list[str] = []
        for video, pictures in enumerate(videos):
            binding = measure_binding(record, video, regions)
            sheet = draw_attention_map(record, video, pictures, shown, binding.scores)
            sheets.append(torch.from_numpy(np.asarray(sheet, dtype=np.float32) / 255))
            scores += binding.scores
            heading = f"Video {video + 1}\n" if len(videos) > 1 else ""
            reports.append(heading + describe_binding(record, binding))
        heat_maps = torch.stack(sheets)
        return io.NodeOutput(heat_maps, scores, "\n\n".join(reports), ui=ui.PreviewImage(heat_maps, cls=cls))
