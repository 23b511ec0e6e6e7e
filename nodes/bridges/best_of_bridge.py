"""Best of N inside ComfyUI: runs of a guider that stop early, are scored, and go on.

Each run goes through the guider as a stock sampler would start it, with all wrappers, previews and Interrupt. The
released solver can be paused, so its runs go on where they stopped; any other solver starts again, which costs its
early steps twice.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from comfy.model_patcher import create_model_options_clone
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key

from ...lumosx_core.attention_map.early_score import early_score
from ...lumosx_core.attention_map.number_choice import NumberChoice
from ...lumosx_core.attention_map.record import AttentionRecord
from ...lumosx_core.sampling.best_of import BestOf, Shortlist
from ...lumosx_core.sampling.solver import SolverState
from .attention_bridge import PAUSED_RUNS, record_run
from .run_records import RunRecords

KEY = "lumosx_best_of"


class BestOfRuns:
    """The runs of several seeds with one guider, sampler and schedule.

    Args:
        sampler: a SAMPLER.
        pausable: from a pause to a SAMPLER that starts and stops as the pause says; None: the sampler cannot be paused.
        latent: a LATENT of one video.
    """

    def __init__(
        self,
        guider: Any,
        sampler: comfy.samplers.Sampler,
        pausable: Callable[[Pause], comfy.samplers.Sampler] | None,
        sigmas: torch.Tensor,
        latent: dict,
        plan: BestOf,
    ):
        self.guider, self.sampler, self.pausable, self.sigmas = guider, sampler, pausable, sigmas
        self.latent, self.plan = latent, plan
        self.steps = len(sigmas) - 1
        self.early_steps = plan.scored_steps(self.steps)
        self.steps_taken = plan.steps_taken(self.steps, restarts=pausable is None)
        self._images = comfy.sample.fix_empty_latent_channels(guider.model_patcher, latent["samples"])
        self._records: RunRecords[AttentionRecord] = RunRecords(
            "LumosX Best Of", NumberChoice.read("", "steps", 1), NumberChoice.read("", "layers", 0), 1
        )
        self._show = latent_preview.prepare_callback(guider.model_patcher, self.steps_taken)
        self._done = 0  # steps, of all runs

    def run(self, first_seed: int) -> tuple[torch.Tensor, list[int], dict[int, float]]:
        """Sample the seeds of the plan from `first_seed` on, and finish the best ones.

        Returns:
            (keep, C, T, h, w), best first; their seeds; the score of each seed that started.

        Raises:
            LumosXError: no subject was seen in the early steps.
        """
        shortlist: Shortlist[_Paused] = Shortlist(self.plan.keep)
        for seed in self.plan.seeds_from(first_seed):
            paused, score = self._start(seed)
            shortlist.offer(seed, score, paused)
        samples = [self._finish(each.seed, each.state) for each in shortlist.candidates]
        return torch.cat(samples), [each.seed for each in shortlist.candidates], shortlist.scores

    def _start(self, seed: int) -> tuple[_Paused, float]:
        paused = _Paused()
        if self.early_steps == self.steps:
            sampler = self.sampler
        elif self.pausable is None:
            sampler = _Stopped(self.sampler, self.early_steps)
        else:
            sampler = self.pausable(Pause(None, self.early_steps, paused.keep))
        guider = _with_options(self.guider, paused)
        wrapper = partial(record_run, self._records)
        add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, wrapper, guider.model_options, is_model_options=True)
        samples = self._sample(guider, sampler, seed, 0)
        self._done += self.early_steps
        if self.early_steps == self.steps:
            paused.samples = samples.to(comfy.model_management.intermediate_device())
        return paused, early_score(self._records.find(samples))

    def _finish(self, seed: int, paused: _Paused) -> torch.Tensor:
        if paused.samples is not None:
            return paused.samples
        if self.pausable is None or paused.state is None:
            guider, sampler, before = self.guider, self.sampler, 0
        else:
            sampler = self.pausable(Pause(paused.state, self.steps, None))
            guider, before = _with_options(self.guider, paused), self.early_steps
        samples = self._sample(guider, sampler, seed, before)
        self._done += self.steps - before
        return samples.to(comfy.model_management.intermediate_device())

    def _sample(self, guider: Any, sampler: comfy.samplers.Sampler, seed: int, before: int) -> torch.Tensor:
        """One run as SamplerCustomAdvanced makes it, of which `before` steps are done."""
        noise = comfy.sample.prepare_noise(self._images, seed, self.latent.get("batch_index"))

        def show(step: int, clean: torch.Tensor, latents: torch.Tensor, total: int) -> None:
            self._show(self._done + step - before, clean, latents, self.steps_taken)

        return guider.sample(
            noise,
            self._images,
            sampler,
            self.sigmas,
            denoise_mask=self.latent.get("noise_mask"),
            callback=show,
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        )


class Pause:
    """Where a run of the released solver starts and stops.

    Args:
        state: where it goes on; None: it starts with noise.
        until: the step at which it stops.
        keep: is given the state there; None: it is not needed.
    """

    def __init__(self, state: SolverState | None, until: int, keep: Callable[[SolverState], None] | None):
        self.state, self.until, self.keep = state, until, keep


class _Paused:
    """What is kept of a seed that may be finished.

    Args:
        state: of the released solver, on the CPU.
        samples: of a run that is finished already.
        recordings: runs of LumosX Record Attention that go on with the seed.
    """

    def __init__(self) -> None:
        self.state: SolverState | None = None
        self.samples: torch.Tensor | None = None
        self.recordings: dict[int, Any] = {}

    def keep(self, state: SolverState) -> None:
        self.state = state.to("cpu")


class _Enough(Exception):
    """Ends a run inside of its sampler; the guider sees a sampler that has returned."""


class _Stopped(comfy.samplers.Sampler):
    """A SAMPLER that returns when it has shown its prediction in the last of its early steps."""

    def __init__(self, sampler: comfy.samplers.Sampler, steps: int):
        self.sampler, self.steps = sampler, steps

    def sample(
        self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, disable_pbar=False
    ):
        clean = noise

        def show(step, x0, x, total):
            nonlocal clean
            clean = x0
            if callback is not None:
                callback(step, x0, x, total)
            if step + 1 >= self.steps:
                raise _Enough

        try:
            return self.sampler.sample(
                model_wrap, sigmas, extra_args, show, noise, latent_image, denoise_mask, disable_pbar
            )
        except _Enough:
            return clean


def _with_options(guider: Any, paused: _Paused) -> Any:
    """A copy of the guider for one run, whose recordings are taken from and left in `paused`."""
    guider = copy.copy(guider)
    guider.model_options = create_model_options_clone(guider.model_options)
    guider.model_options.setdefault("transformer_options", {})[PAUSED_RUNS] = (
        paused  # no dict: the guider would copy it
    )
    return guider
