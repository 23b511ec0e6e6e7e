"""Best of N seeds on glyph scenes: does the score after a quarter of the steps find the seeds that come out exact?

    python benchmarks/best_of.py                     # 100 plain scenes of two people, 4 seeds, lumosx-tiny

Predicted before it was measured: the early score finds clips whose people all come out exact with an AUC of .85 or
more, and the best of 4 by it raises the exact people from 83.5 to 92 % or more, in at most twice the passes of one run.

Printed: people who come out exact (as in binding.py), in percent, with 95 % bootstrap intervals over scenes

    first seed   of the first seed alone
    mean seed    of all seeds
    early        of the seed with the best score after a part of the steps
    full         of the seed with the best score over all steps
    oracle       of the seed with most exact people: the most that any choice of a seed can reach

the passes and the CPU seconds of each for one scene (measured on a few scenes, one clip at a time, on one thread); and
how often a clip whose people are all exact has a higher score than one whose people are not, among all clips (AUC) and
among the seeds of the same scene (within): only the latter helps to choose a seed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from lumosx_core import LumosXModel, RelationalOptions
from lumosx_core.attention_map.early_score import early_score
from lumosx_core.attention_map.recorded_prediction import RecordedPrediction
from lumosx_core.models.lumosx.lumosx_family import LUMOSX
from lumosx_core.models.lumosx.spec import SPEC
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.lumosx.weights.load import load_model
from lumosx_core.models.sample_scene import scene_prediction
from lumosx_core.models.wan.vae import WanVae
from lumosx_core.sampling.best_of import BestOf, Shortlist
from lumosx_core.sampling.schedule import flow_sigmas, sigma_at
from lumosx_core.sampling.solver import SolverState, advance
from lumosx_training.data.items import collate
from lumosx_training.glyph_world import CASTINGS
from lumosx_training.glyph_world.exam import Answer, Question, Sampling, answer, make_questions
from lumosx_training.loop.batches.noise import draw_noise

JOINED = RelationalOptions(join_text_padding=True)
RESAMPLES = 2000
TIMED = 8  # scenes whose seconds are measured


@dataclass(frozen=True)
class Clip:
    """What became of one seed of a scene.

    Args:
        exact: of each person.
        early, full: the score after a part of the steps, and over all.
    """

    exact: tuple[bool, ...]
    early: float
    full: float


class SceneRuns:
    """One scene, ready to be sampled with several seeds."""

    def __init__(self, model: LumosXModel, question: Question, sampling: Sampling):
        batch = collate([question.item])
        scene = replace(batch.scene, phrase_mask=batch.scene.words[0])  # for any number of seeds
        self.shape, self.sampling = batch.video.shape[1:], sampling
        self.place = int(question.sample.key.rpartition("-")[2])
        self.sigmas = flow_sigmas(sampling.steps, sampling.shift)
        predict_clean = scene_prediction(
            partial(LUMOSX.velocity, model, options=JOINED),
            batch.text,
            batch.text,
            scene,
            steps=sampling.steps,
            shift=sampling.shift,
            cfg=1.0,
            schedule_shift=SPEC.shift,
        )
        level = partial(sigma_at, shift=SPEC.shift)
        self.predict = RecordedPrediction(model, predict_clean, scene, batch.text, level)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        return torch.cat([draw_noise(self.shape, seed, 0, [self.place]) for seed in seeds])

    @torch.no_grad()
    def all_seeds(self, seeds: Sequence[int], early_steps: int) -> tuple[Tensor, list[float], list[float]]:
        """Latents of whole runs, and their early and full scores."""
        noise = self.noise(seeds)
        recording = self.predict.start(noise)
        state = advance(self.predict, SolverState(0, noise), self.sigmas, early_steps)
        scores = [early_score(recording.finish(), video) for video in range(len(seeds))]
        latents = advance(self.predict, state, self.sigmas, self.sampling.steps).latents
        return latents, scores, [early_score(recording.finish(), video) for video in range(len(seeds))]

    @torch.no_grad()
    def plain(self, seed: int) -> Tensor:
        """Latents of one run that is not recorded."""
        self.predict.recording = None
        return advance(self.predict, SolverState(0, self.noise([seed])), self.sigmas, self.sampling.steps).latents

    @torch.no_grad()
    def best(self, seeds: Sequence[int], early_steps: int) -> Tensor:
        """Latents of the best seed by its early score, one seed after the other, as `lumosx generate --best-of`."""
        shortlist: Shortlist[SolverState] = Shortlist(1)
        for seed in seeds:
            noise = self.noise([seed])
            recording = self.predict.start(noise)
            state = advance(self.predict, SolverState(0, noise), self.sigmas, early_steps)
            shortlist.offer(seed, early_score(recording.finish()), state)
        self.predict.recording = None
        return advance(self.predict, shortlist.candidates[0].state, self.sigmas, self.sampling.steps).latents


def exact(answered: Answer) -> tuple[bool, ...]:
    """Which people are exact, as in binding.py."""
    return tuple(person.bound and person.known and all(person.own.values()) for person in answered.people)


def sample_scenes(
    model: LumosXModel,
    vae: WanVae,
    questions: Sequence[Question],
    sampling: Sampling,
    seeds: Sequence[int],
    early_steps: int,
) -> list[list[Clip]]:
    """Every seed of every scene."""
    scenes = []
    for number, question in enumerate(questions, 1):
        latents, early, full = SceneRuns(model, question, sampling).all_seeds(seeds, early_steps)
        verdicts = [exact(answer(question, vae.decode_frames(each[None]))) for each in latents]
        scenes.append([Clip(*each) for each in zip(verdicts, early, full, strict=True)])
        if number % 20 == 0:
            print(f"  {number} of {len(questions)} scenes", file=sys.stderr, flush=True)
    return scenes


CHOICES: dict[str, Callable[[list[Clip]], list[Clip]]] = {
    "first seed": lambda clips: clips[:1],
    "mean seed": lambda clips: clips,
    "early": lambda clips: [max(clips, key=lambda clip: clip.early)],
    "full": lambda clips: [max(clips, key=lambda clip: clip.full)],
    "oracle": lambda clips: [max(clips, key=lambda clip: sum(clip.exact))],
}


def percent_exact(scenes: Sequence[list[Clip]]) -> float:
    """Of the people of all clips."""
    people = [person for clips in scenes for clip in clips for person in clip.exact]
    return 100 * sum(people) / len(people)


def auc(scenes: Sequence[list[Clip]], score: str, within: bool) -> float:
    """How often an exact clip has the higher score; equal ones count half. NaN if there is no such pair."""
    groups = scenes if within else [[clip for clips in scenes for clip in clips]]
    higher, pairs = 0.0, 0
    for clips in groups:
        right = torch.tensor([getattr(clip, score) for clip in clips if all(clip.exact)])
        wrong = torch.tensor([getattr(clip, score) for clip in clips if not all(clip.exact)])
        difference = right[:, None] - wrong
        higher += ((difference > 0).sum() + 0.5 * (difference == 0).sum()).item()
        pairs += difference.numel()
    return higher / pairs if pairs else float("nan")


def interval(scenes: Sequence[list[Clip]], statistic: Callable[[Sequence[list[Clip]]], float], form: str) -> str:
    """A statistic with its 95 % bootstrap interval over scenes; "-" if it is not defined."""
    if math.isnan(statistic(scenes)):
        return "-"
    chance = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(scenes), (RESAMPLES, len(scenes)), generator=chance).tolist()
    values = torch.tensor([statistic([scenes[index] for index in indices]) for indices in drawn])
    low, high = values[~values.isnan()].double().quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return f"{statistic(scenes):{form}} [{low:{form}}, {high:{form}}]"


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=tiny_files().diffusion_model)
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--casting", choices=CASTINGS, default="plain", help="how scenes are made up")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--score-after", type=float, default=0.25)
    parser.add_argument("--json", type=Path, help="also write every clip there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sampling = Sampling()
    plan = BestOf(options.seeds, options.score_after)
    seeds, early_steps = plan.seeds_from(options.first_seed), plan.scored_steps(sampling.steps)
    vae, model = WanVae.load(tiny_files().vae), load_model(options.model).eval().requires_grad_(False)
    questions = make_questions(tiny_files(), options.people, options.scenes, CASTINGS[options.casting])
    scenes = sample_scenes(model, vae, questions, sampling, seeds, early_steps)
    timed = [SceneRuns(model, question, sampling) for question in questions[:TIMED]]
    one = sum(cpu_seconds(partial(runs.plain, seeds[0])) for runs in timed) / len(timed)
    best = sum(cpu_seconds(partial(runs.best, seeds, early_steps)) for runs in timed) / len(timed)
    recorded = sum(cpu_seconds(partial(runs.all_seeds, seeds[:1], early_steps)) for runs in timed) / len(timed)
    every, steps = len(seeds), sampling.steps
    cost = {
        "first seed": (steps, one),
        "mean seed": (steps, one),
        "early": (plan.steps_taken(steps), best),
        "full": (every * steps, every * recorded),
        "oracle": (every * steps, every * one),
    }
    print(f"{options.people} people, {len(questions)} {options.casting} scenes, seeds {seeds[0]} to {seeds[-1]}")
    print(f"{'chosen by':<12}{'exact people':>22}{'passes':>8}{'runs':>7}{'seconds':>9}{'runs':>7}")
    for name, choose in CHOICES.items():
        text = interval([choose(clips) for clips in scenes], percent_exact, ".1f")
        passes, seconds = cost[name]
        print(f"{name:<12}{text:>22}{passes:>8}{passes / steps:>7.2f}{seconds:>9.2f}{seconds / one:>7.2f}")
    for score in ("early", "full"):
        among, within = (interval(scenes, partial(auc, score=score, within=each), ".3f") for each in (False, True))
        print(f"{score} score: AUC {among}, within {within}")
    if options.json:
        options.json.write_text(json.dumps([[vars(clip) for clip in clips] for clips in scenes]))


if __name__ == "__main__":
    main()
