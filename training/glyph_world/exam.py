"""Examines a model: scenes it has never seen, generated and judged person by person."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lumosx_core import LumosXError, LumosXModel, RelationalOptions
from lumosx_core.files.model_files import ModelFiles
from lumosx_core.models.lumosx.lumosx_family import LUMOSX
from lumosx_core.models.lumosx.spec import SPEC
from lumosx_core.models.sample_scene import sample_scene
from lumosx_core.models.wan.vae import WanVae

from ..cache import CacheSettings, LatentCache, build_cache
from ..data.items import TrainingBatch, TrainingItem, collate
from ..loop.batches.dropout import ungrouped, without_text
from ..loop.batches.noise import draw_noise
from .casting import CASTINGS, Casting, only
from .scoring import Verdict, judge, placed_right
from .source import GlyphSample, GlyphSource
from .strict import StrictVerdict, judge_strictly

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
        strict: what all frames show; None if that was not asked for.
    """

    key: str
    people: tuple[Verdict, ...]
    placed: bool | None
    strict: StrictVerdict | None = None

    @property
    def passed(self) -> bool:
        """The clip passes the strict examination, and everyone is bound and stands where the caption says."""
        if self.strict is None:
            raise LumosXError(f"{self.key} was not examined strictly. Pass strict=True to what answers it.")
        return self.strict.passed and self.placed is not False and all(person.bound for person in self.people)


def make_questions(
    files: ModelFiles,
    people: int,
    count: int,
    casting: Casting = CASTINGS["all"],
    seed: int = EXAM_SEED,
    *,
    placed: bool | None = None,
) -> list[Question]:
    """Scenes of `people` people in colours and patterns that training never shows, encoded.

    Args:
        casting: how they are made up otherwise.
        seed: of the exam, from EXAM_SEED on; seeds that differ by MOST_PEOPLE or more give fresh scenes.
        placed: whether captions say where people are; None: two of three.

    Raises:
        LumosXError: the seed is one of training's.
    """
    if seed < EXAM_SEED:
        raise LumosXError(
            f"The exam seed is {seed}, but a model may have been trained on seeds below {EXAM_SEED}. "
            f"Use {EXAM_SEED} or more."
        )
    casting = replace(casting, people=only(people), new=True)
    source = GlyphSource(seed + people, count, casting=casting, placed=placed)
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
    options: RelationalOptions = LUMOSX.options,
    empty_text: Tensor | None = None,
    shuffle_pictures: bool = False,
    strict: bool = False,
) -> list[Answer]:
    """Generate every scene and judge it.

    Args:
        options: switches of the relational attention.
        empty_text: (J, text_dim), for guidance (sampling.cfg other than 1).
        shuffle_pictures: pass the reference images as separate groups in random order, as the model was trained.
        strict: judge all frames, too, and what surrounds people.
    """
    by_layout = defaultdict(list)
    for question in questions:
        by_layout[question.item.scene.layout].append(question)
    answers = []
    for alike in by_layout.values():
        for start in range(0, len(alike), BATCH):
            part = alike[start : start + BATCH]
            batch = collate([question.item for question in part])
            places = [_number(question) for question in part]
            if shuffle_pictures:
                batch = ungrouped(batch, sampling.seed, places)
            latents = generate(model, batch, sampling, places, empty_text, options)
            for question, each in zip(part, latents, strict=True):
                answers.append(answer(question, vae.decode_frames(each[None]), strict=strict))
    return answers


def rebuild(vae: WanVae, questions: Sequence[Question], *, strict: bool = False) -> list[Answer]:
    """Judge the true clips as the VAE gives them back: the most that any model can reach."""
    return [
        answer(question, vae.decode_frames(question.item.video[None].float()), strict=strict) for question in questions
    ]


def answer(question: Question, frames: Tensor, *, strict: bool = False) -> Answer:
    """Judge the clip, (F, H, W, 3) in 0..1, that was generated for a question."""
    scene = question.sample.scene
    verdicts = judge(frames, scene)
    placed = placed_right(verdicts, scene) if question.sample.caption.placed else None
    return Answer(question.sample.key, tuple(verdicts), placed, judge_strictly(frames, scene) if strict else None)


@torch.no_grad()
def generate(
    model: LumosXModel,
    batch: TrainingBatch,
    sampling: Sampling,
    places: Sequence[int],
    empty_text: Tensor | None = None,
    options: RelationalOptions = LUMOSX.options,
) -> Tensor:
    """Latents of a batch, (B, 16, T, h, w); clip i starts from the noise of (sampling.seed, places[i])."""
    noise = draw_noise(batch.video.shape[1:], sampling.seed, 0, list(places))
    silence = batch.text
    if sampling.cfg != 1:
        if empty_text is None:
            raise LumosXError(f"cfg is {sampling.cfg}, which needs the encoded empty text. Give empty_text, or cfg 1.")
        # As long as the captions: the network takes it that no phrase names what lies behind the text.
        silence = without_text(batch, range(len(batch.keys)), empty_text).text

    return sample_scene(
        partial(LUMOSX.velocity, model, options=options),
        noise,
        batch.text,
        silence,
        batch.scene,
        steps=sampling.steps,
        shift=sampling.shift,
        cfg=sampling.cfg,
        schedule_shift=SPEC.shift,
    )


def _number(question: Question) -> int:
    return int(question.sample.key.rpartition("-")[2])
