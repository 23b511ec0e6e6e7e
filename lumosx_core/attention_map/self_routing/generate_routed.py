"""Videos with self-routing, without ComfyUI."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor

from ...errors import LumosXError
from ...models.lumosx.lumosx_family import LumosXFamily
from ...models.video_pipeline import Conditions, Progress, VideoPipeline, VideoSettings, free_memory, start_noise
from ...sampling.schedule import flow_sigmas, sigma_at
from ...sampling.solver import sample_dpmpp_2m
from ...scene.encoded import EncodedScene
from ...scene.scene import Scene
from .routed_prediction import RoutedPrediction
from .routing import SelfRouting


@torch.no_grad()
def generate_routed(
    pipeline: VideoPipeline,
    scene: Scene,
    prompt: str,
    settings: VideoSettings,
    routing: SelfRouting,
    *,
    progress: Progress | None = None,
) -> Tensor:
    """Make videos whose subjects' regions attend to their own reference images; see `VideoPipeline.generate`.

    Returns:
        (batch, frames, height, width, 3) uint8 on the CPU.

    Raises:
        LumosXError: as `VideoPipeline.generate`, and for another family, or a scene without subjects.
    """
    if not isinstance(pipeline.family, LumosXFamily):
        raise LumosXError(
            f"Self-routing changes the attention of LumosX, which {pipeline.family.spec.name} does not have. Leave out "
            f"--self-routing."
        )
    if not scene.subjects:
        raise LumosXError("The scene has no subjects, so there is nobody to route. Leave out --self-routing.")
    pipeline.family.check_settings(pipeline.network, settings)
    vae = pipeline.family.load_vae(pipeline.files.vae, device=pipeline.device)
    conditions = pipeline.prepare(scene, prompt, settings, vae, progress=progress)
    latents = sample_routed(pipeline, conditions, settings, routing, progress=progress)
    free_memory()
    return pipeline.decode(latents, vae, progress=progress)


@torch.no_grad()
def sample_routed(
    pipeline: VideoPipeline,
    conditions: Conditions,
    settings: VideoSettings,
    routing: SelfRouting,
    *,
    progress: Progress | None = None,
) -> Tensor:
    """Turn noise into the latents of videos; see `VideoPipeline.sample`. With strength 0 they are bit-identical."""
    progress = progress or (lambda stage, done, total: None)
    progress("sampling", 0, settings.steps)
    family = cast(LumosXFamily, pipeline.family)
    device = pipeline.device
    model = family.build(pipeline.network, device=device, dtype=pipeline.dtype)
    text, negative_text = conditions.text.to(device), conditions.negative_text.to(device)
    scene = cast(EncodedScene, conditions.scene.to(device))
    predict = RoutedPrediction(
        model,
        family.prediction(model, text, negative_text, scene, settings),
        routing,
        scene,
        text,
        partial(sigma_at, shift=family.spec.shift),
        settings.steps,
    )
    return sample_dpmpp_2m(
        predict,
        start_noise(settings).to(device),
        flow_sigmas(settings.steps, settings.shift),
        lambda step, clean, latents: progress("sampling", step + 1, settings.steps),
    )
