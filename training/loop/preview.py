"""Sample videos during training: the cases of the config, made by the averaged weights with the released solver."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lumosx_core import LumosXModel
from lumosx_core.media.images import fit_on_canvas
from lumosx_core.media.video import write_video
from lumosx_core.models.lumosx.pipeline import NEGATIVE_PROMPT, Settings, start_noise
from lumosx_core.models.wan.umt5 import TextEncoder
from lumosx_core.models.wan.vae import WanVae
from lumosx_core.prompt.phrase_mask import check_prompt_length, clean_prompt, phrase_mask
from lumosx_core.sampling.guidance import sample_guided
from lumosx_core.scene.case_folder import read_case

from ..data.items import TrainingBatch
from .batches.dropout import ungrouped
from .config import TrainConfig

FOLDER = "samples"


@dataclass(frozen=True, eq=False)
class Shot:
    """What is encoded of one case, ready for every sample of it: a batch of one clip without its video."""

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

    def write(self, network: LumosXModel, directory: Path, step: int, *, decode: bool = True) -> list[Path]:
        """Make one video of each case, `DIRECTORY/step-00000500-CASE.mp4`.

        Args:
            network: as it shall be shown. It is left in training mode.
            decode: False for a process that only takes part in computing with shared weights.
        """
        network.eval()
        try:
            latents = [self._sample(network, shot) for shot in self.shots]
        finally:
            network.train()
        if not decode:
            return []
        directory.mkdir(parents=True, exist_ok=True)
        vae = WanVae.load(self.config.samples.vae, device=self.device)
        paths = []
        for shot, each in zip(self.shots, latents, strict=True):
            path = directory / f"step-{step:08d}-{shot.name}.mp4"
            paths.append(write_video(path, vae.decode_frames(each)))
        del vae
        _free()
        return paths

    def _encoded_cases(self) -> list[Shot]:
        samples, text_len = self.config.samples, self.config.model.text_len
        cases = {Path(path).resolve().name: read_case(path) for path in samples.cases}
        encoder = TextEncoder(samples.text_encoder, device=self.device)
        prompts = [clean_prompt(case.prompt) for case in cases.values()]
        negative = clean_prompt(self.settings.negative_prompt) if self.settings.cfg != 1 else ""
        check_prompt_length(encoder.tokenize(negative), text_len, negative=True)
        encoded = encoder.encode_all([*prompts, negative])
        masks = [
            phrase_mask(ids, case.scene, encoder.tokenize, pieces=encoder.pieces, prompt=prompt, text_len=text_len)
            for case, prompt, (ids, _) in zip(cases.values(), prompts, encoded, strict=False)
        ]
        # All as long as the longest: the network takes it that no phrase names what lies behind the text.
        texts = pad_sequence([text for _, text in encoded], batch_first=True)[:, None]
        del encoder
        vae = WanVae.load(samples.vae, device=self.device)
        shots = []
        for place, (name, case) in enumerate(cases.items()):
            canvases = [fit_on_canvas(each.image, samples.height, samples.width) for each in case.scene.references]
            references = vae.encode_pictures(torch.stack(canvases))
            batch = TrainingBatch(
                (name,),
                references[:, :, :0],
                references,
                texts[place],
                case.scene.layout,
                masks[place][None],
            )
            if self.config.model.shuffle_references:
                batch = ungrouped(batch, samples.seed)
            shots.append(Shot(name, batch.to("cpu"), texts[-1].cpu()))
        del vae
        _free()
        return shots

    @torch.no_grad()
    def _sample(self, network: LumosXModel, shot: Shot) -> Tensor:
        settings, batch = self.settings, shot.conditions.to(self.device)
        negative_text = shot.negative_text.to(self.device)
        scene = (batch.references, batch.layout, batch.phrase_mask)
        bf16 = self.config.training.precision == "bf16"

        def velocity(latents: Tensor, sigma: float, timestep: Tensor, negative: bool) -> Tensor:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                return network(latents, timestep, negative_text if negative else batch.text, *scene)

        noise = start_noise(settings).to(self.device)
        return sample_guided(velocity, noise, steps=settings.steps, shift=settings.shift, cfg=settings.cfg)


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
