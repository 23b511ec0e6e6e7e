"""A made-up model family that shares nothing with Wan2.1, for tests of what must work with any."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from lumosx_core import LumosXError
from lumosx_core.models.family import FlowModelFamily, ModelSpec, OpenNetwork
from lumosx_core.models.flow_family import FlowFamily

TOY_SPEC = ModelSpec(
    name="Toy",
    channels=3,
    spatial_stride=4,
    temporal_stride=2,
    size_multiple=4,
    frames_per_second=10,
    text_len=48,
    width=20,
    height=12,
    frames=5,
    steps=3,
    shift=2.0,
    cfg=2.0,
)


class ToyText:
    """A token a letter; the embedding is the letter's number."""

    def tokenize(self, phrase):
        return [*map(ord, phrase), 1]

    tokenize_prompt = tokenize

    def pieces(self, ids):
        return ["" if token == 1 else chr(token).replace(" ", "\u2581") for token in ids]

    def encode_all(self, prompts):
        ids = [self.tokenize(prompt) for prompt in prompts]
        return [(each, torch.tensor(each, dtype=torch.float32)[:, None] / 128) for each in ids]


class ToyVae:
    """Pixels are averaged to latents and repeated to frames."""

    def encode_images(self, images):
        return (
            self.encode_videos(images[:, None])
            .transpose(0, 2)
            .reshape(1, 3, -1, images.shape[1] // 4, images.shape[2] // 4)
        )

    def encode_videos(self, videos):
        latents = nn.functional.avg_pool3d(videos[:, ::2].movedim(-1, 1), (1, 4, 4))
        return latents * 2 - 1

    def decode_frames(self, latents):
        frames = latents[0].repeat_interleave(2, dim=1)[:, 1:].repeat_interleave(4, 2).repeat_interleave(4, 3)
        return (frames.movedim(0, -1) / 2 + 0.5).clamp(0, 1)


class ToyNetwork(nn.Module):
    """The velocity points from the mean of the images that have words to the noise."""

    def __init__(self, gain):
        super().__init__()
        self.gain = nn.Parameter(gain)

    def forward(self, latents, timestep, text, scene, options):
        target = text.mean() * options["text"]
        if scene is not None:
            named = scene.phrase_mask.any(dim=-1)
            if named.any():  # the mean of no image is no number
                target = target + scene.references[:, :, named].mean(dim=2, keepdim=True)
        return (latents - target) * self.gain / (timestep.view(-1, 1, 1, 1, 1) / 1000)


class ToyFamily(FlowFamily):
    """A model family that shares nothing with Wan2.1."""

    spec = TOY_SPEC
    options: ClassVar = {"text": 0.1}
    lora_targets = ("gain",)

    def detect(self, tensors):
        if set(tensors) != {"gain"}:
            raise LumosXError("It is not a toy.")
        return {"size": 1}

    def open(self, path):
        tensors = torch.load(path, weights_only=True)
        return OpenNetwork(path, self.detect(tensors), tensors)

    def build(self, network, *, device="cpu", dtype=None):
        return ToyNetwork(network.tensors["gain"].to(device, dtype))

    def load_vae(self, path, *, device="cpu"):
        return ToyVae()

    def load_text_encoder(self, path, *, device="cpu"):
        return ToyText()

    def velocity(self, model, latents, timestep, text, scene, options):
        return model(latents, timestep, text, scene, options)


TOY: FlowModelFamily = ToyFamily()
