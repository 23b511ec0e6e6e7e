"""Accuracy of the attention map, on glyph scenes, where the true positions and clothes are known.

    python benchmarks/attention_map.py swapped       # true clips against clips with exchanged garments
    python benchmarks/attention_map.py generated     # generated clips, by the model and by weaker ones

`swapped` shows the network noisy clips, one forward pass each: the true clip of a scene, and one in which people wear
the next person's clothes, with the same reference images and caption. `generated` samples clips as `binding.py` does,
records the whole run, and compares the scores of people who came out paired (own face and own garments at one position)
with those of people who did not. Printed, some with 95 % bootstrap intervals over scenes:

    AUC         how often a correctly dressed person has a higher binding score than a wrongly dressed one of any scene
    ordered     how often the same person has the higher score in the true clip
    true        mean score of the correctly dressed; wrong: of the others
    masks       AUC with the true outlines as regions, instead of those found by faces
    region      IoU of the region found with the person's outline, where the person is as large as the frame allows
    map         IoU of the subject's heat map, cut at Otsu's threshold, with the outline
    other, box  the same map with the outline of the next person, and with a box of the same size at a random position

An outline is a person's box in tokens that it covers by half or more: 4 x 5 tokens per frame are coarse, and a region
spans the frame from top to bottom, so 1 cannot be reached.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from lumosx_core import LumosXModel, RelationalOptions
from lumosx_core.attention_map.binding import measure_binding, subject_groups, subject_regions
from lumosx_core.attention_map.record import AttentionPass, AttentionRecord, AttentionRecording, picture_content
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.lumosx.weights.load import load_model
from lumosx_core.models.wan.vae import WanVae
from lumosx_training.data.items import TrainingBatch, collate
from lumosx_training.glyph_world import CASTINGS
from lumosx_training.glyph_world.clip import BODY, HEAD_AT, film
from lumosx_training.glyph_world.exam import Question, Sampling, answer, generate, make_questions
from lumosx_training.loop.batches.noise import draw_noise

PATCH = 16  # pixels of a token's side
SIGMAS = (0.95, 0.85, 0.7, 0.5, 0.3, 0.15)
LAYERS = {"all": (0, 1, 2), "0": (0,), "1": (1,), "2": (2,), "0, 1": (0, 1)}
QUARTERS = ("first", "second", "third", "last")  # of the steps of a run
JOINED = RelationalOptions(join_text_padding=True)
WEAKER = {"no mcam": {"mcam_ratio": 0.0}, "no csam": {"csam": False}}
RESAMPLES = 1000

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Seen:
    """One recorded clip: people rightly dressed (each True or False), their scores, and how well they were found."""

    right: list[bool]
    scores: list[float]
    scores_by_masks: list[float]
    region: list[float]
    map: list[float]
    other: list[float]
    box: list[float]


@contextmanager
def recording(
    model: LumosXModel, batch: TrainingBatch, wanted: dict[str, Callable[[int, int], bool]]
) -> Iterator[dict[str, AttentionRecording]]:
    """Record the forward passes of one scene under several names, each with the (step, layer) that it takes.

    Args:
        batch: of one clip.
    """
    _, _, frames, height, width = batch.video.shape
    labels = tuple(str(number) for number in range(batch.scene.layout.pictures))
    grid, layout = (height // 2, width // 2), batch.scene.layout
    records = {name: AttentionRecording(layout, labels, 1, frames, grid) for name in wanted}
    content = picture_content(batch.scene.references)
    passes = [0] * len(model.blocks)

    def watch(layer: int, arguments: tuple):
        relations = arguments[3]
        passes[layer] += 1
        seen = AttentionPass(range(batch.scene.layout.pictures), range(frames), [0], content, relations.key_bias)
        takers = [records[name] for name, takes in wanted.items() if takes(passes[layer], layer)]
        observe = lambda q, k: [each.add(seen, q, k) for each in takers]  # noqa: E731
        return (*arguments[:3], replace(relations, observe=observe), *arguments[4:])

    hooks = [
        block.register_forward_pre_hook(lambda block, arguments, layer=layer: watch(layer, arguments))
        for layer, block in enumerate(model.blocks)
    ]
    try:
        yield records
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def look_at_clip(
    model: LumosXModel, question: Question, latents: Tensor, sigmas: Sequence[float], wanted: dict
) -> dict[str, AttentionRecord]:
    """Show the network a noisy clip, (16, T, h, w), at each noise level; a step of `wanted` is one of these."""
    batch = collate([question.item])
    with recording(model, batch, wanted) as records:
        for sigma in sigmas:
            noise = draw_noise(latents.shape, 0, 0, [int(question.sample.key.rpartition("-")[2])])
            noisy = (1 - sigma) * latents[None].float() + sigma * noise
            timestep = torch.tensor([int(1000 * sigma)])
            model(noisy, timestep, batch.text, batch.scene, JOINED)
    return {name: each.finish() for name, each in records.items()}


def swapped_clip(question: Question, vae: WanVae) -> tuple[Tensor, list[list[Box]]]:
    """Latents of the scene in which everyone wears the next person's clothes, and where people are in each frame."""
    people = question.sample.scene.people
    exchanged = tuple(
        replace(person, shirt=other.shirt, hat=other.hat, prop=other.prop)
        for person, other in zip(people, people[1:] + people[:1], strict=True)
    )
    clip = film(replace(question.sample.scene, people=exchanged))
    return vae.encode_video(clip.frames)[0], _boxes(clip.regions)


def judge_record(record: AttentionRecord, boxes: list[list[Box]], right: list[bool]) -> Seen:
    """Compare what was recorded with where people are, boxes[frame][person] in pixels."""
    outlines = (_coverage(boxes, record.mass.shape[2:]) >= 0.5).float()
    regions = subject_regions(record, 0)
    maps = [heat > _otsu(heat) for heat in (record.mass[0][list(group)].sum(0) for group in _groups(record))]
    chance = torch.Generator().manual_seed(0)
    shifts = [torch.randint(side, (), generator=chance).item() for side in outlines.shape[2:]]
    return Seen(
        right,
        list(measure_binding(record, 0).scores),
        list(measure_binding(record, 0, outlines + 1e-6).scores),
        [_iou(region, outline) for region, outline in zip(regions, outlines, strict=True)],
        [_iou(each, outline) for each, outline in zip(maps, outlines, strict=True)],
        [_iou(each, outline) for each, outline in zip(maps, outlines.roll(1, 0), strict=True)],
        [_iou(each, outline.roll(shifts, (1, 2))) for each, outline in zip(maps, outlines, strict=True)],
    )


def auc(right: Sequence[float], wrong: Sequence[float]) -> float:
    """The share of pairs in which the right one has the higher score; equal ones count half."""
    if not len(right) or not len(wrong):
        return float("nan")
    difference = torch.tensor(right)[:, None] - torch.tensor(wrong)
    return ((difference > 0).double() + 0.5 * (difference == 0)).mean().item()


def auc_interval(clips: Sequence[Seen]) -> str:
    """AUC over people of all clips, with its 95 % interval over clips; "-" if no one, or everyone, is right."""
    if not all(_divided(clips)):
        return "-"
    chance = torch.Generator().manual_seed(0)
    found = []
    for _ in range(RESAMPLES):
        drawn = torch.randint(len(clips), (len(clips),), generator=chance).tolist()
        found.append(auc(*_divided([clips[index] for index in drawn])))
    values = torch.tensor(found)
    low, high = values[~values.isnan()].quantile(torch.tensor([0.025, 0.975])).tolist()
    return f"{auc(*_divided(clips)):.3f} [{low:.3f}, {high:.3f}]"


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def compare_swapped(
    model: LumosXModel, vae: WanVae, questions: Sequence[Question], sigmas: Sequence[float] = SIGMAS
) -> dict[str, tuple[list[Seen], ...]]:
    """The true clips and the exchanged ones, by what was recorded: each noise level with all layers, and each choice of
    layers with all noise levels.
    """
    wanted = {
        **{f"sigma {sigma}": (lambda step, layer, i=i: step == i) for i, sigma in enumerate(sigmas, 1)},
        **{f"layers {name}": (lambda step, layer, those=those: layer in those) for name, those in LAYERS.items()},
    }
    found: dict[str, tuple[list[Seen], ...]] = {name: ([], []) for name in wanted}
    for question in questions:
        exchanged, places = swapped_clip(question, vae)
        true = question.item.video, _boxes(question.sample.clip.regions)
        for number, (latents, boxes) in enumerate((true, (exchanged, places))):
            for name, record in look_at_clip(model, question, latents, sigmas, wanted).items():
                found[name][number].append(judge_record(record, boxes, [number == 0] * len(boxes[0])))
    return found


def compare_generated(
    model: LumosXModel,
    vae: WanVae,
    questions: Sequence[Question],
    sampling: Sampling,
    options: RelationalOptions = JOINED,
) -> dict[str, list[Seen]]:
    """Generated clips, by the steps and layers that were recorded."""
    quarter = sampling.steps / len(QUARTERS)
    wanted = {
        "everything": lambda step, layer: True,
        **{
            f"{name} steps": (lambda step, layer, i=i: i * quarter < step <= (i + 1) * quarter)
            for i, name in enumerate(QUARTERS)
        },
        **{f"layers {name}": (lambda step, layer, those=those: layer in those) for name, those in LAYERS.items()},
    }
    found: dict[str, list[Seen]] = {name: [] for name in wanted}
    for number, question in enumerate(questions):
        batch = collate([question.item])
        with recording(model, batch, wanted) as records:
            latents = generate(model, batch, sampling, [number], options=options)
        people = answer(question, vae.decode_frames(latents)).people
        frames = len(question.sample.clip.frames)
        boxes = [[_body(person.x, person.y) for person in people]] * frames
        for name, each in records.items():
            found[name].append(judge_record(each.finish(), boxes, [person.paired for person in people]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("swapped", "generated"))
    parser.add_argument("--model", type=Path, default=tiny_files().diffusion_model)
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="further model files, for `generated`")
    parser.add_argument("--people", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--scenes", type=int, default=60, help="of each number of people")
    parser.add_argument("--steps-of-sampling", type=int, default=16, help="for `generated`")
    parser.add_argument("--casting", choices=CASTINGS, default="all", help="how scenes are made up")
    options = parser.parse_args()
    vae = WanVae.load(tiny_files().vae)
    questions = {n: make_questions(tiny_files(), n, options.scenes, CASTINGS[options.casting]) for n in options.people}
    if options.what == "swapped":
        print_swapped(_load(options.model), vae, questions)
    else:
        sampling = Sampling(steps=options.steps_of_sampling)
        print_generated([options.model, *options.more], vae, questions, sampling)


def print_swapped(model: LumosXModel, vae: WanVae, questions: dict[int, list[Question]]) -> None:
    columns = ("AUC", "ordered", "true", "wrong", "masks", "region", "map", "other", "box")
    print(f"{'recorded':<14} {'people':>6} |" + "".join(f"{column:>8}" for column in columns))
    for people, asked in questions.items():
        for name, (true, wrong) in compare_swapped(model, vae, asked).items():
            a, b = ([score for clip in clips for score in clip.scores] for clips in (true, wrong))
            by_masks = [[score for clip in clips for score in clip.scores_by_masks] for clips in (true, wrong)]
            ordered = mean([float(x > y) for x, y in zip(a, b, strict=True)])
            values = [auc(a, b), ordered, mean(a), mean(b), auc(*by_masks), *_found(true)]
            print(f"{name:<14} {people:>6} |" + "".join(f"{value:>8.3f}" for value in values), flush=True)


def print_generated(
    files: Sequence[Path], vae: WanVae, questions: dict[int, list[Question]], sampling: Sampling
) -> None:
    columns = ("paired", "not", "true", "wrong", "masks", "region", "map", "other", "box")
    heading = "".join(f"{column:>8}" for column in columns)
    print(f"{'model':<16} {'recorded':<12} {'people':>6} | {'AUC':<22}{heading}")
    pooled: dict[tuple[str, int], list[Seen]] = {}

    def show(model: str, name: str, people: int, clips: list[Seen]) -> None:
        right, wrong = _divided(clips)
        by_masks = auc(*_divided(clips, "scores_by_masks"))
        values = "".join(f"{value:>8.3f}" for value in (mean(right), mean(wrong), by_masks, *_found(clips)))
        counts = f"{len(right):>8}{len(wrong):>8}"
        print(f"{model:<16} {name:<12} {people:>6} | {auc_interval(clips):<22}{counts}{values}", flush=True)

    models = [(path.parent.name if path.stem == "model" else path.stem, path, {}) for path in files]
    models += [(name, files[0], switches) for name, switches in WEAKER.items()]
    for label, path, switches in models:
        model, switched = _load(path), replace(JOINED, **switches)
        for people, asked in questions.items():
            found = compare_generated(model, vae, asked, sampling, switched)
            show(label, "everything", people, found["everything"])
            for name, clips in found.items():
                pooled.setdefault((name, people), []).extend(clips)
    for (name, people), clips in pooled.items():
        show("all of them", name, people, clips)


def _load(path: Path) -> LumosXModel:
    return load_model(path).eval().requires_grad_(False)


def _divided(clips: Sequence[Seen], scores: str = "scores") -> tuple[list[float], list[float]]:
    """The scores of people who are rightly dressed, and of the others."""
    people = [pair for clip in clips for pair in zip(clip.right, getattr(clip, scores), strict=True)]
    return [score for right, score in people if right], [score for right, score in people if not right]


def _found(clips: Sequence[Seen]) -> list[float]:
    names = ("region", "map", "other", "box")
    return [mean([value for clip in clips for value in getattr(clip, name)]) for name in names]


def _groups(record: AttentionRecord) -> tuple[range, ...]:
    return subject_groups(record.layout)


def _boxes(regions: list[list[dict[str, Box]]]) -> list[list[Box]]:
    return [[person["person"] for person in frame] for frame in regions]


def _body(x: float, y: float) -> Box:
    """The box of a person whose head has its corner there."""
    left, top = x - HEAD_AT[0], y - HEAD_AT[1]
    return left, top, left + BODY[0], top + BODY[1]


def _coverage(boxes: list[list[Box]], tokens: Sequence[int]) -> Tensor:
    """The covered fraction of each token, by latent frame and person: (S, T, h, w)."""
    latent_frames, height, width = tokens
    cover = torch.zeros(len(boxes[0]), len(boxes), height, width)
    for frame, people in enumerate(boxes):
        for person, (left, top, right, bottom) in enumerate(people):
            spans = []
            for low, high, count in ((top, bottom, height), (left, right, width)):
                edges = torch.arange(count + 1) * PATCH
                spans.append((edges[1:].clamp_max(high) - edges[:-1].clamp_min(low)).clamp_min(0) / PATCH)
            cover[person, frame] = spans[0][:, None] * spans[1]
    later = cover[:, 1:].unflatten(1, (latent_frames - 1, 4)).mean(2)  # four frames to a latent one, after the first
    return torch.cat([cover[:, :1], later], dim=1)


def _otsu(heat: Tensor) -> Tensor:
    """The threshold that divides values into two groups as far apart as can be."""
    values = heat.flatten().double().sort().values
    count = torch.arange(1, len(values))
    below = values.cumsum(0)[:-1] / count
    above = (values.sum() - values.cumsum(0)[:-1]) / (len(values) - count)
    return values[:-1][(count * (len(values) - count) * (above - below).square()).argmax()]


def _iou(found: Tensor, outline: Tensor) -> float:
    both = (found.bool() & outline.bool()).sum()
    return (both / (found.bool() | outline.bool()).sum().clamp_min(1)).item()


if __name__ == "__main__":
    main()
