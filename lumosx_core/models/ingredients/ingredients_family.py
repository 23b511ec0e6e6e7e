"""Ingredients as a model family: CogVideoX-5B-I2V with faces, CogVideoX's VAE, T5 and the face encoder."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ...errors import LumosXError
from ...files.model_files import ModelFiles
from ...prompt.phrase_mask import check_prompt_length, clean_prompt
from ...scene.scene import Reference, Scene
from ..cogvideox.layers import ATTENTION_LAYERS, FEED_FORWARD_LAYERS
from ..cogvideox.t5 import T5Encoder
from ..cogvideox.vae import CogVideoXVae
from ..family import FaceSearch, OpenNetwork, StepCallback, Tokenizer, VideoAutoencoder
from .canvas import conditioning_canvas
from .conditions import FaceConditions, faces_of, unused_parts
from .config import IngredientsConfig
from .faces.face_encoder import FaceEncoder
from .faces.photo import face_crops
from .faces.retinaface import RETINAFACE, released_detector
from .model import IngredientsModel
from .sample_faces import sample_faces
from .spec import FACE_ENCODER, SPEC
from .weights.detect import detect_config
from .weights.files import find_ingredients_files
from .weights.load import build_model, open_network

if TYPE_CHECKING:
    from ..video_pipeline import VideoSettings
    from .pipeline import IngredientsSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FacesWithPrompt:
    """The faces of a scene that awaits its encoders.

    Args:
        prompt: the cleaned prompt.
        faces: the name of each subject and its face image.
    """

    prompt: str
    faces: list[tuple[str, Reference]]


class IngredientsFamily:
    """The Ingredients entry of the families; see `ModelFamily`."""

    spec = SPEC
    options = None
    lora_targets: tuple[str, ...] = (*ATTENTION_LAYERS, *FEED_FORWARD_LAYERS)

    def find_files(
        self,
        model: str | os.PathLike,
        vae: str | os.PathLike | None = None,
        text_encoder: str | os.PathLike | None = None,
        companions: Mapping[str, str | os.PathLike] | None = None,
    ) -> ModelFiles:
        companions = dict(companions or {})
        face_encoder = companions.pop(FACE_ENCODER, None)
        for kind in companions:
            raise LumosXError(f"{SPEC.name} has no {kind.replace('_', ' ')}. Leave it out.")
        return find_ingredients_files(model, vae, text_encoder, face_encoder)

    def detect(self, tensors: Mapping[str, Any]) -> IngredientsConfig:
        return detect_config(tensors)

    def open(self, path: str | os.PathLike) -> OpenNetwork:
        return open_network(path)

    def check_settings(self, network: OpenNetwork, settings: VideoSettings) -> None:
        sizes = cast(IngredientsConfig, network.config).transformer
        width, height = sizes.sample_width * SPEC.spatial_stride, sizes.sample_height * SPEC.spatial_stride
        if (settings.width, settings.height) != (width, height):
            raise LumosXError(
                f"The size is {settings.width}x{settings.height}, but this network makes videos of {width}x{height} "
                f"only: it learned a position for each of their tokens. Use {width}x{height}."
            )
        if settings.frames > sizes.sample_frames:
            raise LumosXError(
                f"The length is {settings.frames} frames, but this network makes at most {sizes.sample_frames}. Use "
                f"{sizes.sample_frames}, or fewer."
            )

    def build(
        self, network: OpenNetwork, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> IngredientsModel:
        return build_model(network, device=device, dtype=dtype)

    def load_vae(self, path: str | os.PathLike, *, device: torch.device | str = "cpu") -> CogVideoXVae:
        return CogVideoXVae.load(path, device=device)

    def load_text_encoder(self, path: str | os.PathLike, *, device: torch.device | str = "cpu") -> T5Encoder:
        return T5Encoder(path, device=device)

    def scene_warnings(self, scene: Scene, prompt: str) -> list[str]:
        return unused_parts(scene)

    def prepare_scene(self, scene: Scene, prompt: str, tokenizer: Tokenizer) -> FacesWithPrompt:
        faces = faces_of(scene)
        prompt = clean_prompt(prompt)
        check_prompt_length(tokenizer.tokenize_prompt(prompt), SPEC.text_len)
        return FacesWithPrompt(prompt, faces)

    def encode_scene(
        self,
        prepared: FacesWithPrompt,
        vae: VideoAutoencoder,
        settings: VideoSettings,
        files: ModelFiles,
        device: torch.device,
        find_faces: FaceSearch,
    ) -> FaceConditions:
        given = cast("IngredientsSettings", settings)
        folder = files.companions[FACE_ENCODER]
        encoder = FaceEncoder.load(folder, device=device)
        if given.face_crops == "find" and given.face_detector == "released":
            released = released_detector(folder)
            if released is None:
                log.warning("%s has no %s: faces are found with another detector.", folder, RETINAFACE)
            find_faces = released or find_faces
        crops = face_crops(prepared.faces, find_faces if given.face_crops == "find" else None)
        features = encoder.encode(crops)
        canvas = conditioning_canvas(crops, given.width, given.height)
        image = vae.encode_images(canvas[None].to(device))
        behind = image.new_zeros(*image.shape[:2], SPEC.latent_frames(given.frames) - 1, *image.shape[3:])
        labels = [face.phrase or name for name, face in prepared.faces]
        return FaceConditions(features.id_cond, features.id_vit_hidden, torch.cat([image, behind], dim=2), labels)

    def sample(
        self,
        model: nn.Module,
        noise: Tensor,
        text: Tensor,
        negative_text: Tensor,
        scene: FaceConditions,
        settings: VideoSettings,
        callback: StepCallback,
    ) -> Tensor:
        given = cast("IngredientsSettings", settings)
        return sample_faces(
            cast(IngredientsModel, model),
            noise,
            text,
            negative_text,
            scene,
            steps=given.steps,
            cfg=given.cfg,
            seed=given.seed,
            snr_shift=given.shift,
            guidance=given.guidance,
            callback=callback,
        )


INGREDIENTS = IngredientsFamily()
