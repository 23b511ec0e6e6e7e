"""Miniature networks for videos of glyph people: they see pixels alone, as real ones do.

A face is found by its eyes and mouth, whose drawings are few; where a face is, a person stands below it. Shirts, hats
and props are where a person has them, and count if what is there is not the background or the trousers. Things on the
ground are two plain colours in a known shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lumosx_core.auto_scene.cutouts.regions import Box, Detection, Face, Region
from lumosx_core.auto_scene.settings import Finders
from lumosx_core.evaluation.networks import NetworkNote
from lumosx_training.glyph_world import appearance, drawing
from lumosx_training.glyph_world.clip import BODY, GAP, HAT_AT, HEAD_AT, PROP_AT, SHIRT_AT, TROUSERS

FINE = 2  # pixels to one of the glyph world, in which faces are looked for
INK, WHITE, RED = (25, 25, 30), (250, 250, 250), (190, 40, 50)
NEAR = 0.4  # of the range of values: eyes of three pixels are nowhere wholly black in a small clip
LEAD = 0.5  # by how much eyes and mouth are more like their colours than the skin is like ink, at least
LEGS = 0.03  # of the pixels below a shirt that have the colour of trousers, at least: a prop hides most of them


@dataclass(frozen=True)
class GlyphFinders:
    """A loader of them, as stages take it.

    Args:
        scale: pixels of a video to one of the glyph world.
    """

    scale: float

    def version(self) -> str:
        return f"glyph finders {self.scale}"

    def check(self) -> None:
        pass

    def open(self) -> Finders:
        eye = Eye(self.scale)
        return Finders(lambda: GlyphFaces(eye), lambda: GlyphPhrases(eye), lambda: GlyphMasks(eye))

    def identity(self) -> FaceColours:
        return FaceColours()


class FaceColours:
    """Tells faces apart by where which colours are."""

    note = NetworkNote("face colours", "none", False)

    def embed(self, images: Sequence[Tensor]) -> Tensor:
        if not images:
            return torch.zeros(0, 75)
        small = [F.adaptive_avg_pool2d(image.permute(2, 0, 1), (5, 5)).flatten() - 0.5 for image in images]
        return F.normalize(torch.stack(small), dim=1)


@cache
def _face_parts() -> list[tuple[Tensor, Tensor]]:
    """For each drawing of eyes and mouth: (4, 36, 36) kernels of ink, white, red and skin, each divided by the pixels
    of the first three together, or of the skin.
    """
    parts = []
    for eyes in appearance.EYES:
        for mouth in appearance.MOUTHS:
            face = appearance.Face("square", (0, 255, 0), "bald", (0, 255, 0), eyes, mouth)
            sheet = Image.new("RGBA", (18 * 4 * FINE, 18 * 4 * FINE), (0, 255, 0, 255))
            sheet.alpha_composite(drawing.draw_face(face, 4 * FINE))
            pixels = torch.from_numpy(np.asarray(sheet.convert("RGB")).copy()).float()
            pixels = F.avg_pool2d(pixels.permute(2, 0, 1)[None], 4)[0]
            colours = [(_like(pixels, colour, 0.5) > 0.5).float() for colour in (INK, WHITE, RED)]
            skin = (_like(pixels, (0, 255, 0), 0.5) > 0.9).float()
            features = torch.stack(colours)
            # Skin below the hair, which may hang to a third of the head.
            skin[: 7 * FINE] = 0
            # The corners are not skin in every shape of head.
            skin[:, : 4 * FINE], skin[:, -4 * FINE :], skin[-2 * FINE :] = 0, 0, 0
            parts.append((features / features.sum(), skin / skin.sum()))
    return parts


def _like(pixels: Tensor, colour: Sequence[int], near: float) -> Tensor:
    """(3, H, W) of 0..255 -> (H, W): 1 where pixels have this colour, falling to 0 where they are that far from it."""
    distance = (pixels - torch.tensor(colour).view(3, 1, 1)).abs().amax(0)
    return (1 - distance / (near * 255)).clamp(min=0)


class Eye:
    """Finds faces and what is around them; remembers the last image, which three finders are shown in turn."""

    def __init__(self, scale: float):
        self.scale = scale
        self._last: tuple[Tensor, list[Seen]] | None = None

    def look(self, image: Tensor) -> list[Seen]:
        if self._last is None or self._last[0] is not image:
            self._last = image, self._found(image)
        return self._last[1]

    def _found(self, image: Tensor) -> list[Seen]:
        height, width = (max(1, round(side * FINE / self.scale)) for side in image.shape[:2])
        if height < 18 * FINE or width < 18 * FINE:
            return []
        small = F.interpolate(image.permute(2, 0, 1)[None], size=(height, width), mode="area")[0] * 255
        classes = torch.stack([_like(small, colour, NEAR) for colour in (INK, WHITE, RED)])[None]
        kernels = torch.stack([features for features, _ in _face_parts()])
        skins = torch.stack([skin for _, skin in _face_parts()])[:, None]
        features = _correlated(classes, kernels)
        inky = _correlated(classes[:, :1], skins)
        score = (features - inky).amax(0)
        trousers = _like(small, TROUSERS, 0.15) > 0
        found: list[Seen] = []
        while float(best := score.max()) > LEAD:
            row, column = divmod(int(score.argmax()), score.shape[1])
            top, left = row + (43 - HEAD_AT[1]) * FINE, column + (5 - HEAD_AT[0]) * FINE
            legs = trousers[top : top + 14 * FINE, max(0, left) : left + 12 * FINE].float()
            seen_here = Seen(self, image, column / FINE, row / FINE, min(1.0, 0.5 + float(best) / 2))
            whole = seen_here.body.bottom <= image.shape[0] + 2 * self.scale
            alone = all(seen_here.body.iou(other.body) < 0.3 for other in found)
            if whole and alone and legs.numel() and float(legs.mean()) > LEGS:
                found.append(seen_here)
                reach = 9 * FINE
            else:
                reach = 2
            score[max(0, row - reach) : row + reach, max(0, column - reach) : column + reach] = -1
        return sorted(found, key=lambda each: each.x)


class CountedFaces:
    """Opens a counter of glyph people in frames of this scale, for the filter of crowds."""

    def __init__(self, scale: float):
        self.scale = scale

    def __call__(self):
        eye = Eye(self.scale)
        return lambda image: len(eye.look(image))


def _correlated(image: Tensor, kernels: Tensor) -> Tensor:
    """(1, C, H, W) and (N, C, h, w) -> (N, H - h + 1, W - w + 1), by Fourier transform."""
    size = image.shape[-2:]
    product = torch.fft.rfft2(image) * torch.fft.rfft2(kernels, s=size).conj()
    full = torch.fft.irfft2(product.sum(1), s=size)
    return full[:, : size[0] - kernels.shape[-2] + 1, : size[1] - kernels.shape[-1] + 1]


@dataclass(frozen=True, eq=False)
class Seen:
    """A person: where the head's sheet begins, in pixels of the glyph world."""

    eye: Eye
    image: Tensor
    x: float
    y: float
    score: float

    def place(self, at: tuple[float, float], size: tuple[float, float]) -> Box:
        """The box in the image of something at a corner of the body."""
        scale = self.eye.scale
        left, top = self.x - HEAD_AT[0] + at[0], self.y - HEAD_AT[1] + at[1]
        return Box(left * scale, top * scale, (left + size[0]) * scale, (top + size[1]) * scale)

    @property
    def body(self) -> Box:
        return self.place((0, 0), BODY)

    @property
    def face(self) -> Face:
        return Face(self.place(HEAD_AT, drawing.HEAD), self.score)

    @cached_property
    def parts(self) -> list[Region]:
        """Everything that is this person: head, shirt, legs, and a hat or a prop if there is one."""
        shirt = drawing.draw_garment(appearance.Garment("plain", (9, 9, 9), (9, 9, 9)), 8)
        heads = [
            np.asarray(drawing.draw_face(appearance.Face(shape, (9, 9, 9), hair, (9, 9, 9), "dots", "flat"), 8))
            for shape in appearance.NOUNS.values()
            for hair in appearance.HAIR
        ]
        head = np.max([each[..., 3] for each in heads], axis=0)
        parts = [
            self.region(HEAD_AT, drawing.HEAD, head),
            self.region(SHIRT_AT, drawing.SHIRT, np.asarray(shirt)[..., 3]),
            self.region((5, 43), (12, 14), np.full((14, 12), 255, np.uint8)),
        ]
        parts += [region for kind in appearance.HATS if (region := self.hat(kind)) is not None]
        parts += [region for kind in appearance.PROPS if (region := self.prop(kind)) is not None]
        return parts

    def shirt(self) -> Region:
        return self.parts[1]

    def hat(self, kind: str) -> Region | None:
        """What is above the head, in the shape of a hat, unless it is what is above the hat as well."""
        region = self.region(HAT_AT, drawing.HAT, _silhouette(kind))
        above = self.place((HAT_AT[0] + 5, HAT_AT[1] - 3), (10, 2))
        middle = self.place((HAT_AT[0] + 7, HAT_AT[1] + 2), (6, 3))
        if above.top < 0 or not min(above.area, middle.area):
            return region
        difference = (_mean(self.image, middle) - _mean(self.image, above)).abs().max()
        return region if float(difference) > 0.08 else None

    def prop(self, kind: str) -> Region | None:
        """What is in front of the legs, in the shape of a prop, unless legs are all there is."""
        region = self.region(PROP_AT, drawing.PROP, _silhouette(kind))
        inside = region.box.crop(self.image)[region.solid[: inside_h(region, self.image), :]]
        trousers = (inside - torch.tensor(TROUSERS) / 255).abs().amax(-1) < 0.1
        return None if not len(inside) or float(trousers.float().mean()) > 0.3 else region

    def region(self, at: tuple[float, float], size: tuple[int, int], opacity: np.ndarray) -> Region:
        box = self.place(at, size).within(*self.image.shape[:2])
        shape = torch.from_numpy(opacity.copy())[None, None].float() / 255
        mask = F.interpolate(shape, size=(int(box.height), int(box.width)), mode="area")[0, 0]
        return Region(int(box.left), int(box.top), mask > 0.5)


def inside_h(region: Region, image: Tensor) -> int:
    return region.box.crop(image).shape[0]


@cache
def _silhouette(kind: str) -> np.ndarray:
    return np.asarray(drawing.draw_thing(appearance.Thing(kind, (9, 9, 9), (9, 9, 9)), 8))[..., 3]


def _mean(image: Tensor, box: Box) -> Tensor:
    return box.crop(image).mean((0, 1))


class GlyphFaces:
    def __init__(self, eye: Eye):
        self.eye = eye

    def find(self, image: Tensor) -> list[Face]:
        return [seen.face for seen in self.eye.look(image)]


class GlyphMasks:
    """Everything of the person whose box it is."""

    side = 4096

    def __init__(self, eye: Eye):
        self.eye = eye

    def look_at(self, image: Tensor):
        people = self.eye.look(image)
        height, width = image.shape[:2]

        def regions(boxes: Sequence[Box]) -> list[Region]:
            return [self._region(box, people, height, width) for box in boxes]

        return regions

    def _region(self, box: Box, people: Sequence[Seen], height: int, width: int) -> Region:
        room = box.with_leeway().within(height, width)
        mask = torch.zeros(height, width)
        if people:
            person = max(people, key=lambda each: each.body.iou(box))
            for part in person.parts:
                target = part.box.crop(mask)
                torch.maximum(target, part.opacity.float()[: target.shape[0], : target.shape[1]], out=target)
        return Region(int(room.left), int(room.top), room.crop(mask) > 0.5)


class GlyphPhrases:
    """Finds people, what they wear and hold, and things on the ground; regions come with the boxes."""

    def __init__(self, eye: Eye):
        self.eye = eye

    def find(self, image: Tensor, phrases: Sequence[str]) -> list[list[Detection]]:
        return [self._find(image, phrase) for phrase in phrases]

    def _find(self, image: Tensor, phrase: str) -> list[Detection]:
        people = self.eye.look(image)
        kind = phrase.lower()
        if kind == "person":
            return [Detection(each.body.within(*image.shape[:2]), each.score) for each in people]
        regions: list[Region | None] = []
        if kind.endswith("shirt"):
            regions = [each.shirt() for each in people]
        elif kind in appearance.HATS:
            regions = [each.hat(kind) for each in people]
        elif kind in appearance.PROPS:
            regions = [each.prop(kind) for each in people]
        elif kind in appearance.OBJECTS:
            regions = [self._thing(image, kind, people)]
        return [Detection(region.box, 0.8, region) for region in regions if region is not None]

    def _thing(self, image: Tensor, kind: str, people: Sequence[Seen]) -> Region | None:
        """Where the two colours of a thing are most even, each in its part of the shape, and unlike what is around."""
        scale = self.eye.scale
        width, height = drawing.OBJECT
        sheet = drawing.draw_thing(appearance.Thing(kind, (255, 0, 0), (0, 0, 255)), 2)
        pixels = torch.from_numpy(np.asarray(sheet).copy()).float() / 255
        parts = [(pixels[..., 3] > 0.5) & (pixels[..., c] > 0.5) for c in (0, 2)]
        around = pixels[..., 3] < 0.1
        rows, columns = (round(side * 2 / scale) for side in image.shape[:2])
        small = F.interpolate(image.permute(2, 0, 1)[None], size=(rows, columns), mode="area")[0].permute(1, 2, 0)
        top = rows - 2 * (GAP + height)
        best: tuple[float, int] = (0.05, -1)
        for left in range(0, columns - 2 * width + 1):
            # Whoever stands in front of it hides it.
            middle = (left / 2 + width / 2) * scale
            if any(abs(each.body.centre[0] - middle) < (width + BODY[0]) / 2 * scale * 0.8 for each in people):
                continue
            window = small[top : top + 2 * height, left : left + 2 * width]
            unevenness = [float(window[part].std(0).max()) for part in parts if int(part.sum()) > 8]
            contrast = min(
                float((window[part].mean(0) - window[around].mean(0)).abs().max()) for part in parts if part.any()
            )
            if contrast > 0.06 and max(unevenness) < best[0]:
                best = max(unevenness), left
        if best[1] < 0:
            return None
        left = best[1] / 2 * scale
        box = Box(left, top / 2 * scale, left + width * scale, (top / 2 + height) * scale).within(*image.shape[:2])
        shape = torch.from_numpy(_silhouette(kind).copy())[None, None].float() / 255
        mask = F.interpolate(shape, size=(int(box.height), int(box.width)), mode="area")[0, 0]
        return Region(int(box.left), int(box.top), mask > 0.5)
