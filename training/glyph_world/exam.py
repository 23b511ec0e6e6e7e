"""Examines a model: scenes it has never seen, generated and judged person by person."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lumosx_core import LumosXModel
from lumosx_core.model_files import ModelFiles
from lumosx_core.schedule import flow_sigmas, flow_timesteps
from lumosx_core.solver import sample_dpmpp_2m
from lumosx_core.vae import WanVae

from ..cache import CacheSettings, LatentCache, build_cache
from ..data.items import TrainingBatch, TrainingItem, collate
from ..loop.dropout import ungrouped, without_text
from ..loop.noise import draw_noise
from .casting import Casting
from .scoring import Verdict, judge, placed_right
from .source import GlyphSample, GlyphSource

EXAM_SEED = 990_000  # training takes seeds below
BATCH = 16


@dataclass(frozen=True)
class Sampling:
    """How clips are generated."""

    steps: int = 16
    shift: float = 3.0
    cfg: float = 1.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Question:
    """One scene, ready for the network."""

    sample: GlyphSample
    item: TrainingItem


@dataclass(frozen=True)
class Answer:
    """What became of one scene.

    Args:
        people: one verdict a person.
        placed: the people stand where the caption says; None if it does not say it.
    """

    key: str
    people: tuple[Verdict, ...]
    placed: bool | None


def make_questions(files: ModelFiles, people: int, count: int, *, casting: Casting | None = None) -> list[Question]:
    """Scenes of `people` people in colours and patterns that training never shows, encoded.

    Args:
        casting: how the scenes are made up, instead; its number of people is overridden.
    """
    from dataclasses import replace

    casting = replace(casting or Casting(new=True), people=tuple(float(n == people) for n in range(1, people + 1)))
    source = GlyphSource(EXAM_SEED + people, count, casting=casting)
    with tempfile.TemporaryDirectory() as directory:
        settings = CacheSettings(
            frames=(source.frames,), sizes=((source.height, source.width),), augment="none", dtype="float32"
        )
        build_cache(source, Path(directory) / "cache", files, settings, device="cpu")
        cache = LatentCache(Path(directory) / "cache")
        return [Question(source.sample(key), cache.item(index)) for index, key in enumerate(cache.keys)]


def examine(
    model: LumosXModel,
    vae: WanVae,
    questions: Sequence[Question],
    sampling: Sampling,
    *,
    empty_text: Tensor | None = None,
    shuffle_pictures: bool = False,
    keep: Callable[[Question, Tensor], None] | None = None,
) -> list[Answer]:
    """Generate every scene and judge it.

    Args:
        empty_text: (J, text_dim), for guidance (sampling.cfg other than 1).
        shuffle_pictures: show the pictures one by one in random order, as the model was trained.
        keep: gets each clip, (F, H, W, 3).
    """
    by_layout = defaultdict(list)
    for question in questions:
        by_layout[question.item.layout].append(question)
    answers = []
    for alike in by_layout.values():
        for start in range(0, len(alike), BATCH):
            part = alike[start : start + BATCH]
            batch = collate([question.item for question in part])
            places = [_number(question) for question in part]
            if shuffle_pictures:
                batch = ungrouped(batch, sampling.seed, places)
            latents = generate(model, batch, sampling, places, empty_text)
            for question, each in zip(part, latents, strict=True):
                answers.append(answer(question, decode(vae, each), keep))
    return answers


def rebuild(vae: WanVae, questions: Sequence[Question]) -> list[Answer]:
    """Judge the true clips as the VAE gives them back: the most that any model can reach."""
    return [answer(question, decode(vae, question.item.video)) for question in questions]


def answer(question: Question, frames: Tensor, keep=None) -> Answer:
    scene = question.sample.scene
    verdicts = judge(frames, scene)
    if keep is not None:
        keep(question, frames)
    placed = placed_right(verdicts, scene) if question.sample.caption.placed else None
    return Answer(question.sample.key, tuple(verdicts), placed)


@torch.no_grad()
def generate(
    model: LumosXModel,
    batch: TrainingBatch,
    sampling: Sampling,
    places: Sequence[int],
    empty_text: Tensor | None = None,
) -> Tensor:
    """Latents of a batch, (B, 16, T, h, w); clip i starts from the noise of (sampling.seed, places[i])."""
    timesteps = flow_timesteps(sampling.steps, sampling.shift)
    noise = draw_noise(batch.video.shape[1:], sampling.seed, 0, list(places))
    scene = (batch.references, batch.layout, batch.phrase_mask)
    if sampling.cfg != 1:
        # As long as the captions: the network takes it that no phrase names what lies behind the text.
        silence = without_text(batch, range(len(batch.keys)), empty_text).text

    def predict_clean(latents: Tensor, sigma: Tensor, step: int) -> Tensor:
        now = timesteps[step].expand(len(latents))
        velocity = model(latents, now, batch.text, *scene)
        if sampling.cfg != 1:
            without = model(latents, now, silence, *scene)
            velocity = without + sampling.cfg * (velocity - without)
        return latents - sigma.item() * velocity

    return sample_dpmpp_2m(predict_clean, noise, flow_sigmas(sampling.steps, sampling.shift))


def decode(vae: WanVae, latents: Tensor) -> Tensor:
    """(16, T, h, w) -> frames (F, H, W, 3) in 0..1."""
    return (vae.decode(latents[None].float()).movedim(1, -1) / 2 + 0.5).clamp(0, 1)


def _number(question: Question) -> int:
    return int(question.sample.key.rpartition("-")[2])
