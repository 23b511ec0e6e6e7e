"""Self-routing inside ComfyUI: which runs, and what each of their passes adds to its attention.

A wrapper around the whole sampling puts the run into the options of that run alone, where the wrapper of the model
finds it; so nothing is left of it afterwards, however the run ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from comfy.patcher_extension import WrappersMP

from ...lumosx_core.attention_map.record import AttentionPass, picture_content
from ...lumosx_core.attention_map.self_routing.routed_run import RoutedRun
from ...lumosx_core.attention_map.self_routing.routing import SelfRouting
from ...lumosx_core.errors import LumosXError
from ...lumosx_core.models.lumosx.relations import Relations
from .attention_bridge import PAUSED_RUNS, Watch, frames_of_pass
from .run_records import step_of

KEY = "lumosx_self_routing"


def route_model(model, routing: SelfRouting):
    """Return a clone of the MODEL whose runs are routed; of several nodes the last one counts.

    Raises:
        LumosXError: the MODEL cannot follow a scene.
    """
    if not hasattr(model.model.diffusion_model, "blocks"):
        raise LumosXError(
            f"This MODEL is {type(model.model).__name__}, which cannot follow a LumosX scene. Use LumosX Load Model, "
            f"or LumosX Apply behind another loader."
        )
    model = model.clone()
    model.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)
    if routing.strength:
        model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, partial(_route_run, routing))
    return model


def route_pass(
    transformer_options: dict, sampled, pictures: Sequence[int], references, relations: Relations, rows: int
) -> tuple[Relations, Watch]:
    """The relations of this pass with what self-routing adds, and what observes its blocks.

    Args:
        sampled: the SampledScene of the pass.
        pictures: indices in the scene of the reference images that the network receives, R of them.
        references: (1 or B, 16, R, H, W), their latents, padded to whole patches; None if R is 0.
        rows: of the pass's batch.
    """
    run = transformer_options.get(KEY)
    if run is None or not pictures:
        return relations, _nobody
    return run.route(transformer_options, sampled, pictures, references, relations, rows)


def _nobody(layer: int) -> None:
    return None


class _Run:
    """One run of a sampler while it goes on."""

    def __init__(self, routing: SelfRouting, positive: set, shape: torch.Size, layers: int):
        self.routing, self.positive, self.shape, self.layers = routing, positive, shape, layers
        self.routed: RoutedRun | None = None
        self.scene = None  # the one that is routed

    def route(
        self, options: dict, sampled, pictures, references, relations: Relations, rows: int
    ) -> tuple[Relations, Watch]:
        scene = sampled.scene
        videos, frames = self.shape[0], self.shape[2]
        if self.routed is None:
            steps = len(options["sample_sigmas"]) - 1
            labels = tuple(scene.labels) or ("",) * scene.layout.pictures
            self.scene = scene
            self.routed = RoutedRun(
                self.routing, scene.layout, labels, videos, frames, relations.grid, steps, self.layers
            )
        if scene is not self.scene:
            raise LumosXError(
                "The conditionings of this sampler have several LumosX scenes, but self-routing knows the regions of "
                "one. Take LumosX Self-Routing out, or use the conditionings of one LumosX Scene To Video."
            )
        self.routed.begin(step_of(options))
        shown = frames_of_pass(options, frames)
        sigma = options["sigmas"][0].item()
        routed = relations
        if self.routing.holds_at(sigma, sampled.level):
            routed = self.routed.route(relations, pictures, shown, rows)
        chunks = [chunk for chunk, uuid in enumerate(options["uuids"]) if uuid in self.positive]
        if not chunks:
            return routed, _nobody
        recorded = [chunk * videos + video for chunk in chunks for video in range(videos)]
        return routed, self.routed.watch(
            lambda: AttentionPass(pictures, shown, recorded, picture_content(references), relations.key_bias)
        )


def _route_run(routing: SelfRouting, executor, noise, latent_image, sampler, sigmas, *args, **kwargs):
    """The wrapper around a whole run. A run that goes on after a pause goes on with its regions."""
    guider = executor.class_obj
    positive = {cond["uuid"] for cond in guider.conds.get("positive", ())}
    options = guider.model_options["transformer_options"]  # a copy that this run alone uses
    run = _Run(routing, positive, noise.shape, len(guider.model_patcher.model.diffusion_model.blocks))
    if PAUSED_RUNS in options:
        run = options[PAUSED_RUNS].recordings.setdefault(id(routing), run)
    options[KEY] = run
    return executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
