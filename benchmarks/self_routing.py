"""Self-routing on glyph scenes: is more bound, do people stand where boxes are drawn, and what does a step cost?

    python benchmarks/self_routing.py                     # 100 fresh scenes each, lumosx-tiny

Predicted before it was measured: regions measured in the first steps raise the bound people by 8 points with three
people and by 10 to 15 with four, which lumosx-tiny never saw, and lower none with two; boxes place 95 % of scenes whose
captions place nobody; a step costs at most 1.1 times one without.

Each scene is sampled without and with self-routing from the same noise. Printed, in percent with 95 % bootstrap
intervals over scenes: paired, bound and face (of people, as in binding.py) without and with it, the difference in bound
people, and the CPU time of the sampling with it, relative to that without. Boxes are those in which people stand in the
true clip, given to people in random order; `drawn` are scenes whose people stand from left to right as the boxes do.
"""

from __future__ import annotations

import argparse
import json
import random
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
from lumosx_core.attention_map.self_routing.routed_prediction import RoutedPrediction
from lumosx_core.attention_map.self_routing.routing import STRENGTH, SelfRouting, box_mask
from lumosx_core.models.lumosx.lumosx_family import LUMOSX
from lumosx_core.models.lumosx.spec import SPEC
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.lumosx.weights.load import load_model
from lumosx_core.models.sample_scene import scene_prediction
from lumosx_core.models.wan.vae import WanVae
from lumosx_core.sampling.schedule import flow_sigmas, sigma_at
from lumosx_core.sampling.solver import sample_dpmpp_2m
from lumosx_training.data.items import collate
from lumosx_training.glyph_world import CASTINGS
from lumosx_training.glyph_world.exam import Answer, Question, Sampling, answer, make_questions
from lumosx_training.loop.batches.noise import draw_noise

JOINED = RelationalOptions(join_text_padding=True)
RESAMPLES = 2000
SETS = {
    "2": (2, "plain", False),
    "3": (3, "plain", False),
    "3all": (3, "all", False),
    "4all": (4, "all", False),
    "2boxes": (2, "plain", True),
    "3boxes": (3, "plain", True),
}
"""People, casting, and whether boxes are drawn where the caption says nothing."""


@dataclass(frozen=True)
class Outcome:
    """One scene, without or with self-routing.

    Args:
        paired, bound, face: of each person.
        drawn: people stand in the order of the boxes; None without boxes.
        seconds: of CPU time, of the sampling.
    """

    paired: tuple[bool, ...]
    bound: tuple[bool, ...]
    face: tuple[bool, ...]
    drawn: bool | None
    seconds: float


@dataclass(frozen=True)
class Pair:
    """One scene both ways."""

    off: Outcome
    on: Outcome


@torch.no_grad()
def sample(model: LumosXModel, question: Question, sampling: Sampling, routing: SelfRouting | None) -> Tensor:
    """Latents of one scene."""
    batch = collate([question.item])
    scene = replace(batch.scene, phrase_mask=batch.scene.words[0])
    predict = scene_prediction(
        partial(LUMOSX.velocity, model, options=JOINED),
        batch.text,
        batch.text,
        scene,
        steps=sampling.steps,
        shift=sampling.shift,
        cfg=1.0,
        schedule_shift=SPEC.shift,
    )
    if routing is not None:
        level = partial(sigma_at, shift=SPEC.shift)
        predict = RoutedPrediction(model, predict, routing, scene, batch.text, level, sampling.steps)
    place = int(question.sample.key.rpartition("-")[2])
    noise = draw_noise(batch.video.shape[1:], sampling.seed, 0, [place])
    return sample_dpmpp_2m(predict, noise, flow_sigmas(sampling.steps, sampling.shift))


def drawn_order(question: Question) -> list[int]:
    """Whose box each person gets: a random order, the same in each run."""
    order = list(range(len(question.sample.scene.people)))
    random.Random(f"boxes of {question.sample.key}").shuffle(order)
    return order


def drawn_boxes(question: Question) -> tuple[Tensor, ...]:
    """The masks of the boxes, in the order of the scene's people."""
    first = question.sample.clip.regions[0]
    _, height, width, _ = question.sample.clip.frames.shape
    masks = []
    for number, whose in enumerate(drawn_order(question), 1):
        left, top, right, bottom = first[whose]["person"]
        box = (max(0, left / width), max(0, top / height), min(1, right / width), min(1, bottom / height))
        masks.append(box_mask(box, number))
    return tuple(masks)


def stands_as_drawn(question: Question, answered: Answer) -> bool:
    places = [question.sample.scene.people[whose].x for whose in drawn_order(question)]
    expected = sorted(range(len(places)), key=lambda person: places[person])
    return expected == sorted(range(len(places)), key=lambda person: answered.people[person].x)


def compare(
    model: LumosXModel, vae: WanVae, questions: Sequence[Question], strength: float, sampling: Sampling, boxes: bool
) -> list[Pair]:
    """Every scene both ways."""
    pairs = []
    for number, question in enumerate(questions):
        routing = SelfRouting(strength, masks=drawn_boxes(question) if boxes else ())
        outcomes = {}
        ways = (None, routing) if number % 2 else (routing, None)  # whatever is warm by then is so for both
        for way in ways:
            started = time.process_time()
            latents = sample(model, question, sampling, way)
            seconds = time.process_time() - started
            answered = answer(question, vae.decode_frames(latents))
            verdicts = [[getattr(each, name) for each in answered.people] for name in ("paired", "bound", "face")]
            drawn = stands_as_drawn(question, answered) if boxes else None
            outcomes[way] = Outcome(*(tuple(each) for each in verdicts), drawn, seconds)
        pairs.append(Pair(outcomes[None], outcomes[routing]))
        if (number + 1) % 20 == 0:
            print(f"  {number + 1} of {len(questions)} scenes", file=sys.stderr, flush=True)
    return pairs


def percent(pairs: Sequence[Pair], way: str, name: str) -> float:
    people = [each for pair in pairs for each in getattr(getattr(pair, way), name)]
    return 100 * sum(people) / len(people)


def difference(pairs: Sequence[Pair]) -> float:
    return percent(pairs, "on", "bound") - percent(pairs, "off", "bound")


def drawn(pairs: Sequence[Pair], way: str) -> float:
    return 100 * sum(bool(getattr(pair, way).drawn) for pair in pairs) / len(pairs)


def cost(pairs: Sequence[Pair]) -> float:
    return sum(pair.on.seconds for pair in pairs) / sum(pair.off.seconds for pair in pairs)


def interval(pairs: Sequence[Pair], statistic: Callable[[Sequence[Pair]], float], form: str) -> str:
    """A statistic with its 95 % bootstrap interval over scenes."""
    chance = torch.Generator().manual_seed(0)
    chosen = torch.randint(len(pairs), (RESAMPLES, len(pairs)), generator=chance).tolist()
    values = torch.tensor([statistic([pairs[index] for index in indices]) for indices in chosen]).double()
    low, high = values.quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return f"{statistic(pairs):{form}} [{low:{form}}, {high:{form}}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=tiny_files().diffusion_model)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--exam-seed", type=int, default=990_010, help="settings were chosen on 990050 and 990060")
    parser.add_argument("--strength", type=float, default=STRENGTH)
    parser.add_argument("--json", type=Path, help="also write every scene there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    vae, model = WanVae.load(tiny_files().vae), load_model(options.model).eval().requires_grad_(False)
    written = {}
    print(f"{options.scenes} scenes each, exam seed {options.exam_seed}, strength {options.strength:g}")
    for name in options.sets:
        people, casting, boxes = SETS[name]
        placed = False if boxes else None
        questions = make_questions(
            tiny_files(), people, options.scenes, CASTINGS[casting], options.exam_seed, placed=placed
        )
        pairs = compare(model, vae, questions, options.strength, Sampling(), boxes)
        print(f"{people} people, {casting}{', boxes' if boxes else ''}")
        for way in ("off", "on"):
            parts = [f"{each} {interval(pairs, partial(percent, way=way, name=each), '.1f')}" for each in VERDICTS]
            if boxes:
                parts.append(f"drawn {interval(pairs, partial(drawn, way=way), '.1f')}")
            print(f"  {way:<4}{'  '.join(parts)}")
        print(f"  bound {interval(pairs, difference, '+.1f')}, time {interval(pairs, cost, '.3f')}", flush=True)
        written[name] = [{"off": vars(pair.off), "on": vars(pair.on)} for pair in pairs]
    if options.json:
        options.json.write_text(json.dumps(written))


VERDICTS = ("paired", "bound", "face")


if __name__ == "__main__":
    main()
