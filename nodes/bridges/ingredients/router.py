"""Recording of the router inside ComfyUI: which face each part of a video receives while it is sampled.

A wrapper around the whole sampling adds an observer to the options of that run alone. When the run has ended well, the
recording is kept under the samples it made. Nothing here changes what is computed.
"""

from __future__ import annotations

from functools import partial

import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....lumosx_core.attention_map.number_choice import NumberChoice
from ....lumosx_core.attention_map.router_record import RouterRecord, RouterRecording
from ....lumosx_core.errors import LumosXError
from ...page.notices import run_notice
from ..run_records import RunRecords, step_of
from .faces import KEY as FACES
from .model import OBSERVERS, PassRows, ingredients_config
from .settings import PREVIEW_COLOURS, SCALE

KEY = "ingredients_router"
RECORDER = "Ingredients (CogVideoX) Record Router"
Records = RunRecords[RouterRecord]
MOST_RUNS = 16  # with two faces a released run takes 3 MB, with eight 12


def record_router(model, steps: NumberChoice, layers: NumberChoice):
    """Return a clone of the MODEL whose runs are recorded, and where to find them.

    Raises:
        LumosXError: the MODEL is another one, or has no such layers.
    """
    injections = ingredients_config(model).injections
    if layers.largest is not None and layers.largest >= injections:
        raise LumosXError(
            f"layers is {layers.text!r}, but the router of this MODEL has {injections} layers, counted from 0. The "
            f"last one is {injections - 1}; leave it empty for all."
        )
    records: Records = RunRecords(RECORDER, steps, layers, MOST_RUNS)
    model = model.clone()
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, partial(_record_run, records))
    return model, records


def latent_preview(samples: Tensor) -> Tensor:
    """Rough colours of latents without a VAE: (B, C, T, h, w) -> (B, T, h, w, 3), 0..1; grey for a miniature's."""
    values = samples.float().cpu().movedim(1, -1) * SCALE
    if values.shape[-1] == len(PREVIEW_COLOURS):
        return ((values @ torch.tensor(PREVIEW_COLOURS) + 1) / 2).clamp(0, 1)
    grey = values.mean(dim=-1, keepdim=True)
    low, high = grey.amin(), grey.amax()
    return ((grey - low) / (high - low).clamp_min(1e-6)).expand(*grey.shape[:-1], 3)


class _Run:
    """One run of a sampler while it goes on."""

    def __init__(self, records: Records, shape: torch.Size, names: tuple[str, ...]):
        self.records, self.names = records, names
        videos, _, frames, height, width = shape
        self.videos = videos
        self.grid = frames, height // 2, width // 2
        self.recording = RouterRecording(names, videos, *self.grid)
        self.other_sizes = False

    def observe(self, options: dict, layer: int, weights: Tensor, rows: PassRows) -> None:
        """Record the weights that the rows of the positive branch receive."""
        if layer not in self.records.layers or step_of(options) not in self.records.steps:
            return
        if weights.shape[1:] != (self.grid[0] * self.grid[1] * self.grid[2], len(self.names)):
            self.other_sizes = True  # a context window, or other faces in a second conditioning
            return
        computed = sorted(set(rows.residual))
        for video, negative, source in zip(rows.videos, rows.negative, rows.residual, strict=True):
            if not negative and video < self.videos:
                self.recording.add(layer, video, weights[computed.index(source)])

    def outcome(self, steps: int) -> RouterRecord | str:
        record = self.recording.finish()
        if record is not None:
            return record
        if self.other_sizes:
            return (
                "Nothing was recorded: the sampler computed parts of the video only, such as context windows. Take "
                "them out of the workflow."
            )
        return (
            f"Nothing was recorded: steps is {self.records.steps.text!r}, but the sampler took {steps} steps, counted "
            f"from 1. Choose among 1 to {steps}, or leave it empty."
        )


def _record_run(records: Records, executor, noise, latent_image, sampler, sigmas, *args, **kwargs):
    guider = executor.class_obj
    conditions = [cond.get("model_conds", {}).get(FACES) for cond in guider.conds.get("positive", ())]
    faces = [condition.cond for condition in conditions if condition is not None]
    if not faces:
        return executor(noise, latent_image, sampler, sigmas, *args, **kwargs)  # the MODEL says what is missing
    if any(each is not faces[0] for each in faces):
        run_notice(RECORDER, "The positive conditioning has several sets of faces. The first one is recorded.")
    run = _Run(records, noise.shape, faces[0].names)
    options = guider.model_options["transformer_options"]  # a copy that this run alone uses
    options[OBSERVERS] = (*options.get(OBSERVERS, ()), run.observe)
    samples = executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
    records.keep(samples, run.outcome(len(sigmas) - 1))
    return samples
