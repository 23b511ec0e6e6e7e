"""Sample videos during training: the cases of the config, made by the averaged weights with the released solver."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lumosx_core import EncodedScene, LumosXModel, RelationalOptions
from lumosx_core.media.video import write_video
from lumosx_core.models.encode_scene import prepare_scene
from lumosx_core.models.lumosx.lumosx_family import LUMOSX
from lumosx_core.models.lumosx.pipeline import NEGATIVE_PROMPT, Settings
from lumosx_core.models.lumosx.spec import SPEC
from lumosx_core.models.sample_scene import sample_scene
from lumosx_core.models.video_pipeline import free_memory, start_noise
from lumosx_core.models.wan.umt5 import TextEncoder
from lumosx_core.models.wan.vae import WanVae
from lumosx_core.prompt.phrase_mask import check_prompt_length, clean_prompt
from lumosx_core.scene.case_folder import read_case

from ..data.items import TrainingBatch
from .batches.dropout import ungrouped
from .config import TrainConfig

FOLDER = "samples"


@dataclass(frozen=True, eq=False)
class Shot:
    """The encoded parts of one case, ready for every sample of it: a batch of one clip without its video."""

    name: str
    conditions: TrainingBatch
    negative_text: Tensor


class Preview:
    """Makes the sample videos of a run.

    The cases are read and encoded once, so that a mistake in one shows before the first step.

    Raises:
        LumosXError: a case, the VAE or the text encoder cannot be used.
        MissingPackageError: a package for encoding or for writing videos is not installed.
    """

    def __init__(self, config: TrainConfig, device: torch.device):
        self.config, self.device = config, device
        samples = config.samples
        negative = NEGATIVE_PROMPT if samples.negative_prompt is None else samples.negative_prompt
        self.settings = Settings(
            samples.width,
            samples.height,
            samples.frames,
            steps=samples.steps,
            shift=samples.shift,
            cfg=samples.cfg,
            seed=samples.seed,
            negative_prompt=negative,
        )
        self.shots = self._encoded_cases()

    def write(
        self, network: LumosXModel, directory: Path, step: int, options: RelationalOptions, *, decode: bool = True
    ) -> list[Path]:
        """Make one video of each case, `DIRECTORY/step-00000500-CASE.mp4`.

        Args:
            options: the network's switches.
            network: with the weights to show. It is left in training mode.
            decode: False for a process that only takes part in computing with shared weights.
        """
        network.eval()
        try:
            latents = [self._sample(network, shot, options) for shot in self.shots]
        finally:
            network.train()
        if not decode:
            return []
        directory.mkdir(parents=True, exist_ok=True)
        vae = WanVae.load(self.config.samples.vae, device=self.device)
        paths = []
        for shot, each in zip(self.shots, latents, strict=True):
            path = directory / f"step-{step:08d}-{shot.name}.mp4"
            paths.append(write_video(path, vae.decode_frames(each), SPEC.frames_per_second))
        del vae
        free_memory()
        return paths

    def _encoded_cases(self) -> list[Shot]:
        samples, text_len = self.config.samples, self.config.model.text_len
        cases = {Path(path).resolve().name: read_case(path) for path in samples.cases}
        encoder = TextEncoder(samples.text_encoder, device=self.device)
        prepared = [prepare_scene(case.scene, case.prompt, encoder, text_len=text_len) for case in cases.values()]
        negative = clean_prompt(self.settings.negative_prompt) if self.settings.cfg != 1 else ""
        check_prompt_length(encoder.tokenize(negative), text_len, negative=True)
        encoded = encoder.encode_all([*(scene.prompt for scene in prepared), negative])
        # All as long as the longest: the network takes it that no phrase names what lies behind the text.
        texts = pad_sequence([text for _, text in encoded], batch_first=True)[:, None]
        del encoder
        vae = WanVae.load(samples.vae, device=self.device)
        shots = []
        for name, scene, text in zip(cases, prepared, texts, strict=False):
            encoded_scene = scene.encode(vae.encode_images, (samples.height, samples.width))
            mask = encoded_scene.words[None]
            batch = TrainingBatch(
                (name,), encoded_scene.references[:, :, :0], text, replace(encoded_scene, phrase_mask=mask)
            )
            if self.config.model.shuffle_references:
                batch = ungrouped(batch, samples.seed)
            shots.append(Shot(name, batch.to("cpu"), texts[-1].cpu()))
        del vae
        free_memory()
        return shots

    @torch.no_grad()
    def _sample(self, network: LumosXModel, shot: Shot, options: RelationalOptions) -> Tensor:
        settings, batch = self.settings, shot.conditions.to(self.device)
        bf16 = self.config.training.precision == "bf16"

        def velocity(latents: Tensor, timestep: Tensor, text: Tensor, scene: EncodedScene | None) -> Tensor:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                return LUMOSX.velocity(network, latents, timestep, text, scene, options)

        return sample_scene(
            velocity,
            start_noise(settings).to(self.device),
            batch.text,
            shot.negative_text.to(self.device),
            batch.scene,
            steps=settings.steps,
            shift=settings.shift,
            cfg=settings.cfg,
            schedule_shift=SPEC.shift,
        )
