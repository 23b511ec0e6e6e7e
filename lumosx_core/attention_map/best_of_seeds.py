"""Best of N without ComfyUI: seeds are sampled for a part of the steps, scored, and the best ones are finished.

A seed that is finished goes on where it was paused, with the state of the solver, so its video is bit-identical to that
of a run of this seed alone. Paused states are kept on the CPU, for no more seeds than are finished.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from ..errors import LumosXError
from ..models.lumosx.lumosx_family import LumosXFamily
from ..models.video_pipeline import Conditions, Progress, VideoPipeline, VideoSettings, free_memory, start_noise
from ..sampling.best_of import BestOf, Shortlist
from ..sampling.schedule import flow_sigmas, sigma_at
from ..sampling.solver import SolverState, advance
from ..scene.encoded import EncodedScene
from ..scene.scene import Scene
from .early_score import early_score
from .recorded_prediction import RecordedPrediction

SeedScored = Callable[[int, float], None]
"""Called as (seed, score) when a seed was scored."""


@dataclass(frozen=True, eq=False)
class BestLatents:
    """The videos that were finished.

    Args:
        latents: (keep, C, T, h, w) float32, best first.
        seeds: of each of them.
        scores: of every seed that started, in their order.
        steps_taken: of all seeds together.
    """

    latents: Tensor
    seeds: list[int]
    scores: dict[int, float]
    steps_taken: int


@torch.no_grad()
def generate_best(
    pipeline: VideoPipeline,
    scene: Scene,
    prompt: str,
    settings: VideoSettings,
    plan: BestOf,
    *,
    progress: Progress | None = None,
    scored: SeedScored | None = None,
) -> tuple[Tensor, BestLatents]:
    """Make the best of several videos.

    Args:
        settings: seeds start with its seed; its batch is 1.
        progress: as in `VideoPipeline.generate`; the steps of all seeds are counted together.

    Returns:
        (keep, frames, height, width, 3) uint8 on the CPU, best first; and how they were chosen.

    Raises:
        LumosXError: as `VideoPipeline.generate`, and for another family, more than one video a seed, or a scene without
            subjects.
    """
    check_best_of(pipeline, scene, settings)
    pipeline.family.check_settings(pipeline.network, settings)
    vae = pipeline.family.load_vae(pipeline.files.vae, device=pipeline.device)
    conditions = pipeline.prepare(scene, prompt, settings, vae, progress=progress)
    best = sample_best(pipeline, conditions, settings, plan, progress=progress, scored=scored)
    free_memory()
    return pipeline.decode(best.latents, vae, progress=progress), best


def check_best_of(pipeline: VideoPipeline, scene: Scene, settings: VideoSettings) -> None:
    """Raise LumosXError for what has no binding score, or makes several videos of a seed."""
    if not isinstance(pipeline.family, LumosXFamily):
        raise LumosXError(
            f"Best of N scores the attention of LumosX, which {pipeline.family.spec.name} does not have. Leave out "
            f"--best-of."
        )
    if settings.batch != 1:
        raise LumosXError(
            f"batch is {settings.batch}, but best of N makes one video of each seed. Leave out --batch; --keep sets "
            f"how many videos are finished."
        )
    if not scene.subjects:
        raise LumosXError("The scene has no subjects, so no seed binds them better. Leave out --best-of.")


@torch.no_grad()
def sample_best(
    pipeline: VideoPipeline,
    conditions: Conditions,
    settings: VideoSettings,
    plan: BestOf,
    *,
    progress: Progress | None = None,
    scored: SeedScored | None = None,
) -> BestLatents:
    """Sample the seeds of a plan, score them early, and finish the best ones; see `generate_best`."""
    device, steps = pipeline.device, settings.steps
    family = cast(LumosXFamily, pipeline.family)
    model = family.build(pipeline.network, device=device, dtype=pipeline.dtype)
    text, negative_text = conditions.text.to(device), conditions.negative_text.to(device)
    encoded = cast(EncodedScene, conditions.scene.to(device))
    recorded = RecordedPrediction(
        model,
        family.prediction(model, text, negative_text, encoded, settings),
        encoded,
        text,
        partial(sigma_at, shift=family.spec.shift),
    )
    sigmas, first = flow_sigmas(steps, settings.shift), plan.scored_steps(steps)
    taken, total = 0, plan.steps_taken(steps)

    def report(step: int, clean: Tensor, latents: Tensor) -> None:
        nonlocal taken
        taken += 1
        if progress is not None:
            progress("sampling", taken, total)

    if progress is not None:
        progress("sampling", 0, total)
    shortlist: Shortlist[SolverState] = Shortlist(plan.keep)
    for seed in plan.seeds_from(settings.seed):
        noise = start_noise(replace(settings, seed=seed))
        recording = recorded.start(noise)
        state = advance(recorded, SolverState(0, noise.to(device)), sigmas, first, report)
        score = early_score(recording.finish())
        shortlist.offer(seed, score, state.to("cpu"))
        if scored is not None:
            scored(seed, score)
    recorded.recording = None
    finished = [
        advance(recorded, each.state.to(device), sigmas, steps, report).latents for each in shortlist.candidates
    ]
    seeds = [each.seed for each in shortlist.candidates]
    return BestLatents(torch.cat(finished), seeds, shortlist.scores, taken)
