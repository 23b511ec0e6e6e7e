"""Accuracy of the misbinding matrix, on glyph clips in which faces or clothes are exchanged on purpose.

    python benchmarks/misbinding.py                    # 25 scenes, each in 12 versions
    python benchmarks/misbinding.py --scenes 200 --seed 1

Each scene of two or three people is filmed as the ground truth, and again as a model might generate it: people in
another order and at other positions, with noise, and nothing else wrong ("good") or one of these, for shirts or faces:

    swap         two people, or three in a circle, exchange them
    dominance    one person's is on everybody
    blending     one person's is 60 % their own and 40 % another's, in blocks of 3 x 3 pixels
    drift        one person's is another one, in colours that nobody has
    missing      one person is not there

Boxes are the true ones; what is in them is embedded by its colours alone. t is calibrated on other clips. Printed:

    AUC          how often a swapped clip looks more confused than a good one of any scene
    named        fraction of slots (a face, a shirt, a hat or a prop of a person) with the right label
    table        the true failure against the label, for the slots that it concerns; the others are "ok"
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
from torch import Tensor

from lumosx_core.auto_scene.cutouts.regions import Box, Detection, Face
from lumosx_core.evaluation.measured_video import MeasuredVideo, Networks, Video
from lumosx_core.evaluation.misbinding.calibrate_videos import calibrate_videos
from lumosx_core.evaluation.misbinding.calibration import Calibration
from lumosx_core.evaluation.misbinding.measure_misbinding import measure_misbinding
from lumosx_core.evaluation.networks import NetworkNote
from lumosx_core.evaluation.results import DimensionScores, Label
from lumosx_training.glyph_world.appearance import NOUNS, Colour, Garment, Wardrobe, distance
from lumosx_training.glyph_world.appearance import Face as GlyphFace
from lumosx_training.glyph_world.casting import Casting, GlyphScene
from lumosx_training.glyph_world.clip import FRAMES_A_SECOND, GlyphClip, film
from lumosx_training.glyph_world.source import GlyphSample, GlyphSource

FAILURES = ("good", "swap", "dominance", "blending", "drift", "missing")
PARTS = {"shirt": "attributes", "face": "face"}  # what is exchanged, and the dimension that should say so
BLOCK = 3  # pixels of the side of the blocks of a blend
NOISE = 0.03  # standard deviation of the noise on all frames
CALIBRATION_SCENES = 10
WHITE = 0.99  # of a channel: reference images are cut out on white
SIDE = 20  # pixels to which an image is brought, to read its colours
APART = 140.0  # of two colours, in 255ths: clearly different


class GlyphEyes:
    """Finds faces, people and things where they are known to be in the clips shown to it.

    A crop is known by its position in the memory of its clip. In reference images a face is what is not white.
    """

    def __init__(self):
        self._clips: dict[int, tuple[Tensor, list[list[dict[str, Box]]], list[str]]] = {}

    def show(self, frames: Tensor, clip: GlyphClip, nouns: Sequence[str]) -> None:
        """Say where everything is in a clip; `nouns` are the words of its people."""
        regions = [[{part: Box(*box) for part, box in person.items()} for person in frame] for frame in clip.regions]
        self._clips[frames.untyped_storage().data_ptr()] = frames, regions, list(nouns)

    def forget(self) -> None:
        """All clips shown so far."""
        self._clips.clear()

    def find(self, image: Tensor, phrases: Sequence[str] | None = None):
        """Faces; or for each phrase its detections."""
        if image.untyped_storage().data_ptr() not in self._clips:
            return [Face(_not_white(image))]
        frames, regions, nouns = self._clips[image.untyped_storage().data_ptr()]
        frame, position = divmod(image.storage_offset(), frames.stride(0))
        top, left = divmod(position // 3, frames.shape[2])
        people = regions[frame]
        inside = Box(left, top, left + image.shape[1], top + image.shape[0])

        def seen(part: str, noun: str = "") -> list[Box]:
            boxes = [
                each[part] for each, word in zip(people, nouns, strict=True) if part in each and noun in ("", word)
            ]
            return [box.moved(-left, -top) for box in boxes if box.share_in(inside) > 0.5]

        if phrases is None:
            return [Face(box) for box in seen("face")]
        found = []
        for phrase in phrases:
            boxes = seen("person", phrase) if phrase in NOUNS else seen(_part(phrase))
            found.append([Detection(box, 0.9) for box in boxes])
        return found


class ColourEyes:
    """Embeds the colours of an image, in 3 x 3 parts of what is not white around it.

    A colour is as many numbers as there are anchors in the cube of colours, each by its distance; so the cosine of two
    colours falls with their distance, and never below 0.
    """

    note = NetworkNote("colours of 3 x 3 parts", "none", False)

    def __init__(self, anchors: int = 6, width: float = 0.17, cells: int = 3):
        axis = torch.linspace(0, 1, anchors)
        self._anchors = torch.cartesian_prod(axis, axis, axis)
        self._width, self._cells = width, cells
        side = torch.linspace(-1, 1, SIDE).square()
        self._window = torch.exp(-2 * (side[:, None] + side)).reshape(-1, 1)

    def embed(self, images: Sequence[Tensor]) -> Tensor:
        """(N, d) float32 of length 1."""
        return torch.stack([self._one(image) for image in images]) if images else torch.zeros(0, 1)

    def _one(self, image: Tensor) -> Tensor:
        image = _not_white(image).crop(image).permute(2, 0, 1)[None].float()
        pixels = F.interpolate(image, size=(SIDE, SIDE), mode="area")[0].permute(1, 2, 0).reshape(-1, 3)
        apart = torch.cdist(pixels, self._anchors)
        colours = F.normalize(torch.exp(-apart.square() / (2 * self._width**2)), dim=1)
        colours = colours * (pixels < WHITE).any(dim=1, keepdim=True)  # the white around a cutout is nothing
        colours = colours * self._window  # and what is in the corners of a box is seldom the thing
        parts = F.adaptive_avg_pool2d(colours.T.reshape(1, -1, SIDE, SIDE), self._cells)
        return F.normalize(parts.flatten(), dim=0)


def _not_white(image: Tensor) -> Box:
    """The box of what is not white, if the corners are; else all of the image."""
    height, width = image.shape[:2]
    whole = Box(0, 0, width, height)
    if not all(bool((image[y, x] > WHITE).all()) for y in (0, -1) for x in (0, -1)):
        return whole
    rows, columns = torch.nonzero((image < WHITE).any(dim=-1), as_tuple=True)
    if len(rows) == 0:
        return whole
    return Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)


def _part(phrase: str) -> str:
    words = phrase.split()
    if words[-1] == "shirt":
        return "shirt"
    return "hat" if words[-1] in ("cap", "hat", "crown", "beanie") else "prop"


@dataclass(frozen=True)
class Version:
    """A clip as it was generated, and what is wrong in it.

    Args:
        concerned: index of each subject whose part has failed -> its label.
    """

    scene: GlyphScene
    clip: GlyphClip
    concerned: dict[int, Label]


def spoil(scene: GlyphScene, failure: str, part: str, chance: random.Random) -> Version:
    """Film a scene again, with that failure of everybody's "shirt" or "face"."""
    scene = _moved(scene, chance)
    number = len(scene.people)
    order = list(range(number))
    chance.shuffle(order)
    victim, other = order[:2]
    if failure == "swap":
        circle = order if chance.random() < 0.5 else order[:2]
        following = dict(zip(circle, [*circle[1:], circle[0]], strict=True))
        taken = {i: getattr(scene.people[j], part) for i, j in following.items()}
        return _filmed(_with(scene, part, taken), dict.fromkeys(circle, Label.SWAP))
    if failure == "dominance":
        looks = getattr(scene.people[other], part)
        rest = [i for i in range(number) if i != other]
        return _filmed(_with(scene, part, dict.fromkeys(rest, looks)), dict.fromkeys(rest, Label.DOMINANCE))
    if failure == "blending":
        mixed = _with(scene, part, {victim: getattr(scene.people[other], part)})
        own, theirs = film(scene), film(mixed)
        frames = torch.where(_blocks(own.frames.shape, chance), own.frames, theirs.frames)
        return Version(scene, GlyphClip(frames, own.regions), {victim: Label.BLENDING})
    if failure == "drift":
        return _filmed(_with(scene, part, {victim: _stranger(scene, part, victim, chance)}), {victim: Label.DRIFT})
    if failure == "missing":
        left = replace(scene, people=tuple(each for i, each in enumerate(scene.people) if i != victim))
        return _filmed(left, {victim: Label.MISSING})
    return _filmed(scene, {})


def _filmed(scene: GlyphScene, concerned: dict[int, Label]) -> Version:
    return Version(scene, film(scene), concerned)


def _blocks(shape: torch.Size, chance: random.Random) -> Tensor:
    """(1, H, W, 1), True in 3 of 5 blocks of each row and each column."""
    rows, columns = (torch.arange(side) // BLOCK for side in shape[1:3])
    own = (columns + 2 * rows[:, None] + chance.randrange(5)) % 5 < 3
    return own[None, :, :, None]


def _moved(scene: GlyphScene, chance: random.Random) -> GlyphScene:
    """The same people, each at somebody's position."""
    xs = [person.x + chance.uniform(-0.02, 0.02) for person in scene.people]
    chance.shuffle(xs)
    people = [
        replace(person, x=x, drift=-person.drift, bounce=chance.random())
        for person, x in zip(scene.people, xs, strict=True)
    ]
    return replace(scene, people=tuple(people))


def _with(scene: GlyphScene, part: str, looks: dict) -> GlyphScene:
    people = [replace(each, **{part: looks[i]}) if i in looks else each for i, each in enumerate(scene.people)]
    return replace(scene, people=tuple(people))


def _stranger(scene: GlyphScene, part: str, victim: int, chance: random.Random):
    """A face or a shirt that looks neither like the victim's nor like anybody else's: no colour is near to theirs."""
    wardrobe = Wardrobe(chance)
    known = [colour for person in scene.people for colour in _colours(getattr(person, part))]
    while True:
        new = wardrobe.garment() if part == "shirt" else wardrobe.face(scene.people[victim].noun)
        if all(distance(colour, other) > APART for colour in _colours(new) for other in known):
            return new


def _colours(looks: GlyphFace | Garment) -> tuple[Colour, Colour]:
    return (looks.skin, looks.hair_colour) if isinstance(looks, GlyphFace) else (looks.colour, looks.second)


class Bench:
    """Scenes, and their versions measured.

    Args:
        seed: of the scenes and of all chance.
    """

    def __init__(self, scenes: int, seed: int = 0):
        self.chance, self.noise = random.Random(seed), torch.Generator().manual_seed(seed)
        self.eyes, colours = GlyphEyes(), ColourEyes()
        self.networks = Networks(faces=self.eyes, phrases=self.eyes, things=self.eyes, arc=colours, dino=colours)
        self.samples: dict[str, list[GlyphSample]] = {}
        self.calibrations: dict[str, Calibration] = {}
        for part, dimension in PARTS.items():
            # A hat hides hair, by which faces are known here.
            casting = Casting(people=(0.0, 0.6, 0.4), hat=0.25 if part == "shirt" else 0.0, prop=0.0, thing=0.0)
            source = GlyphSource(seed, scenes + CALIBRATION_SCENES, casting=casting)
            samples = [source.sample(f"glyphs-{seed}-{index}") for index in range(source.count)]
            self.samples[part] = samples[:scenes]
            real = [self._video(sample, _filmed(sample.scene, {})) for sample in samples[scenes:]]
            self.calibrations |= calibrate_videos(real, self.networks, [dimension])

    def measure(self, sample: GlyphSample, version: Version, dimension: str) -> DimensionScores:
        """The matrices of a version against the true clip of its scene."""
        self.eyes.forget()
        video = self._video(sample, version)
        scores, skipped = measure_misbinding(video, self.networks, self.calibrations, [dimension])
        assert not skipped, skipped
        return scores[0]

    def _video(self, sample: GlyphSample, version: Version) -> MeasuredVideo:
        videos = []
        for scene, clip in ((version.scene, version.clip), (sample.scene, sample.clip)):
            frames = (clip.frames + NOISE * torch.randn(clip.frames.shape, generator=self.noise)).clamp(0, 1)
            self.eyes.show(frames, clip, [person.noun for person in scene.people])
            videos.append(Video(frames, FRAMES_A_SECOND))
        return MeasuredVideo(sample.key, f"{sample.key}.mp4", sample.case, *videos)


@dataclass(frozen=True)
class Outcome:
    """One version measured.

    Args:
        labels: (true label, given label) of each slot.
    """

    part: str
    failure: str
    confusion: float
    labels: list[tuple[Label, Label]]


def run(bench: Bench) -> list[Outcome]:
    """All versions of all scenes."""
    return [
        measured(bench, sample, part, failure)
        for part in PARTS
        for sample in bench.samples[part]
        for failure in FAILURES
    ]


def measured(bench: Bench, sample: GlyphSample, part: str, failure: str) -> Outcome:
    """One version of one scene."""
    version = spoil(sample.scene, failure, part, bench.chance)
    scores = bench.measure(sample, version, PARTS[part])
    labels = [
        (_expected(version, part, slot.subject, slot.phrase), given.label)
        for slot, given in zip(scores.slots, scores.labels, strict=True)
    ]
    return Outcome(part, failure, scores.confusion, labels)


def _expected(version: Version, part: str, subject: int, phrase: str) -> Label:
    label = version.concerned.get(subject, Label.OK)
    if label is Label.MISSING or part == "face" or _part(phrase.split("#")[0]) == part:
        return label
    return Label.OK


def auc(worse: Sequence[float], better: Sequence[float]) -> float:
    """How often a value of the first is larger than one of the second; a tie is half."""
    wins = sum((a > b) + 0.5 * (a == b) for a in worse for b in better)
    return wins / (len(worse) * len(better))


def report(outcomes: Sequence[Outcome], calibrations: dict[str, Calibration]) -> str:
    """The tables of both parts."""
    lines = []
    for part, dimension in PARTS.items():
        own = [each for each in outcomes if each.part == part]
        by = {failure: [each.confusion for each in own if each.failure == failure] for failure in FAILURES}
        pairs = [pair for each in own for pair in each.labels]
        named = sum(true is given for true, given in pairs) / len(pairs)
        failed = [pair for pair in pairs if pair[0] is not Label.OK]
        right = sum(true is given for true, given in failed) / len(failed)
        lines += [
            f"{part} ({dimension}, t {calibrations[dimension].threshold:.3f}): {len(own)} clips, {len(pairs)} slots",
            f"  AUC {auc(by['swap'], by['good']):.4f}   named {named:.4f}   of failed slots {right:.4f}",
            "  true \\ label " + " ".join(f"{label.value:>9}" for label in Label),
        ]
        counts = Counter(pairs)
        for true in Label:
            lines.append(f"  {true.value:<12} " + " ".join(f"{counts[true, given]:>9}" for given in Label))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=25, help="how many; each is filmed in 12 versions")
    parser.add_argument("--seed", type=int, default=0, help="of scenes and chance")
    options = parser.parse_args(arguments)
    bench = Bench(options.scenes, options.seed)
    print(report(run(bench), bench.calibrations))


if __name__ == "__main__":
    main()
