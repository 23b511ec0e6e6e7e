"""What families of flow matching networks that see reference images as latents have in common."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..errors import LumosXError
from ..files.model_files import ModelFiles, find_model_files
from ..prompt.scene_warnings import scene_warnings
from ..sampling.schedule import flow_sigmas
from ..sampling.solver import PredictClean, sample_dpmpp_2m
from ..scene.encoded import EncodedScene
from ..scene.scene import Scene
from .encode_scene import PreparedScene, prepare_scene
from .family import FaceSearch, FlowModelFamily, OpenNetwork, StepCallback, Tokenizer, VideoAutoencoder
from .sample_scene import scene_prediction

if TYPE_CHECKING:
    from .video_pipeline import VideoSettings


class FlowFamily:
    """The parts of `ModelFamily` that follow from `velocity`."""

    def find_files(
        self: FlowModelFamily,
        model: str | os.PathLike,
        vae: str | os.PathLike | None = None,
        text_encoder: str | os.PathLike | None = None,
        companions: Mapping[str, str | os.PathLike] | None = None,
    ) -> ModelFiles:
        for kind in companions or {}:
            raise LumosXError(f"{self.spec.name} has no {kind.replace('_', ' ')}. Leave it out.")
        return find_model_files(model, vae, text_encoder)

    def check_settings(self: FlowModelFamily, network: OpenNetwork, settings: VideoSettings) -> None:
        pass  # any size that the spec allows

    def scene_warnings(self: FlowModelFamily, scene: Scene, prompt: str) -> list[str]:
        return scene_warnings(scene, prompt)

    def prepare_scene(self: FlowModelFamily, scene: Scene, prompt: str, tokenizer: Tokenizer) -> PreparedScene:
        return prepare_scene(scene, prompt, tokenizer, text_len=self.spec.text_len)

    def encode_scene(
        self: FlowModelFamily,
        prepared: PreparedScene,
        vae: VideoAutoencoder,
        settings: VideoSettings,
        files: ModelFiles,
        device: torch.device,
        find_faces: FaceSearch,
    ) -> EncodedScene:
        return prepared.encode(vae.encode_images, (settings.height, settings.width))

    def prediction(
        self: FlowModelFamily,
        model: nn.Module,
        text: Tensor,
        negative_text: Tensor,
        scene: EncodedScene,
        settings: VideoSettings,
    ) -> PredictClean:
        return scene_prediction(
            partial(self.velocity, model, options=settings.options),
            text,
            negative_text,
            scene,
            steps=settings.steps,
            shift=settings.shift,
            cfg=settings.cfg,
            schedule_shift=self.spec.shift,
            negative_references=settings.negative_references,
        )

    def sample(
        self: FlowModelFamily,
        model: nn.Module,
        noise: Tensor,
        text: Tensor,
        negative_text: Tensor,
        scene: EncodedScene,
        settings: VideoSettings,
        callback: StepCallback,
    ) -> Tensor:
        predict_clean = self.prediction(model, text, negative_text, scene, settings)
        return sample_dpmpp_2m(predict_clean, noise, flow_sigmas(settings.steps, settings.shift), callback)
