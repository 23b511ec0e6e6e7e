"""Self-routing: each subject's region of the video attends to the subject's own reference images."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..lumosx_core.attention_map.self_routing.routing import STRENGTH, STRONGEST, SelfRouting
from .bridges.routing_bridge import route_model
from .inputs.host_schema import FOLDED, found_by
from .inputs.image_values import masks_of
from .inputs.slot_rows import MOST_SLOTS, growing


class LumosXSelfRouting(io.ComfyNode):
    """Routes the attention of a MODEL while it samples."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXSelfRouting",
            display_name="LumosX Self-Routing (who is where)",
            **found_by("mask", "regional", "place people", "who wears what", "binding"),
            category="LumosX",
            description="The first steps show who is where; from then on each subject's region of the video attends "
            "more to the subject's own reference images, and less to those of others. With masks you say who is "
            "where. Put it between the model and the sampler.",
            inputs=[
                io.Model.Input("model", tooltip="From LumosX Load Model or LumosX Apply."),
                io.Float.Input(
                    "strength",
                    default=STRENGTH,
                    min=0.0,
                    max=STRONGEST,
                    step=0.05,
                    tooltip="How strongly regions attend to their own subject. 0: off, the video stays bit-identical.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="The fraction of the noise schedule at which it begins. Regions without a mask begin after "
                    "a quarter of the steps, when they have been measured.",
                    extra_dict=FOLDED,
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="The fraction of the noise schedule at which it ends.",
                    extra_dict=FOLDED,
                ),
                *growing(
                    io.Mask,
                    "mask",
                    "Where this subject of the scene is to be in the video, white on black, of any size: one mask for "
                    "the whole video, or one for each of its frames (a tracked mask). The subject's reference images "
                    "then read no words of the prompt, which may say otherwise. Without it the region is measured.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="For the sampler or guider.")],
        )

    @classmethod
    def execute(cls, model, strength, start_percent=0.0, end_percent=1.0, **masks) -> io.NodeOutput:
        numbered = [masks.get(f"mask_{number}") for number in range(1, MOST_SLOTS + 1)]
        last = max((number for number, mask in enumerate(numbered, 1) if mask is not None), default=0)
        given: list[torch.Tensor | None] = [None if mask is None else masks_of(mask) for mask in numbered[:last]]
        return io.NodeOutput(route_model(model, SelfRouting(strength, start_percent, end_percent, tuple(given))))
