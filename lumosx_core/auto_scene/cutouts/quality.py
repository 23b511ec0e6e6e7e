"""Warnings about cutouts and faces that make poor reference images, each with its fix."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from .regions import Box, Face, Region

# In training the random reduction of a reference stopped at this long side: a smaller one was never seen.
MIN_LONG_SIDE = 112
# A segmenter's coarse mask ends up to this far from the frame (a fraction of the photo's long side) though the
# thing goes on, and cleaning takes a little more.
AT_THE_FRAME = 0.005
LEAST_AT_THE_FRAME = 3  # pixels
# Of the side's length: a jacket whose sleeve touches the frame is whole, one that ends there over a quarter is cut.
CUT_SIDE = 0.25
# Of the cutout's rectangle: a necklace or a belt across it fills more; less is a crumb or a wrong outline.
LEAST_FILLED = 0.05
# Of masks of real photos: those below it were wrong, with one exception in 22.
STABLE = 0.88
# Below this detectors put patterns, statues and backs of heads.
SURE_FACE = 0.6
# Of a face at MIN_LONG_SIDE: the fraction of its contrast that is lost at half that size. Sharp faces lose 0.1 to 0.17;
# with less than this they would be as good at half the size.
LEAST_DETAIL = 0.045
# Degrees that a head turns to the side: from here on one half of the face is hardly seen.
MOST_TURNED = 43
# A nose's tip is about 27 mm before the eyes, and the eyes 62 mm apart: when the head turns, the nose moves from
# their middle by this times tan(angle), as a fraction of the distance at which they are then seen.
NOSE_BEFORE_EYES = 27 / 62

_SIDES = ("left", "top", "right", "bottom")


def cut_out_warnings(
    label: str, cut_out: Tensor, region: Region | None = None, size: tuple[int, int] | None = None
) -> list[str]:
    """What is poor about a cutout: too small, cut by the frame, or almost empty.

    Args:
        label: what the sentences call it, e.g. 'denim jacket of "man"'.
        cut_out: (h, w, 3), as it goes into the scene.
        region: where it was cut from; without it nothing is said about emptiness.
        size: (height, width) of that photo; without it nothing is said about its frame.

    Returns: a sentence for each, with the value, what was expected, and the fix.
    """
    warnings = []
    height, width = cut_out.shape[:2]
    if max(height, width) < MIN_LONG_SIDE:
        warnings.append(
            f"{label}: the cutout is {width} x {height} pixels, its long side {max(height, width)}; the model never "
            f"saw less than {MIN_LONG_SIDE}. Use a larger photo or a closer shot."
        )
    if region is not None:
        filled = region.area / region.opacity.numel()
        if filled < LEAST_FILLED:
            warnings.append(
                f"{label}: almost nothing is left, {filled:.1%} of the cutout's rectangle; expected "
                f"{LEAST_FILLED:.0%} or more. Draw a box closer around it, or mask it by hand."
            )
        warnings += mask_warnings(label, region)
        for side, share in _cut_sides(region, size) if size is not None else ():
            warnings.append(
                f"{label}: the {side} edge of the photo cuts it over {share:.0%} of its side; expected less than "
                f"{CUT_SIDE:.0%}. Use a photo that shows it whole, or expect the rest to be invented."
            )
    return warnings


def mask_warnings(label: str, region: Region) -> list[str]:
    """A sentence about a mask that would be another one at a slightly different threshold; none if it is stable."""
    quality = region.quality
    if quality is None or quality.stability >= STABLE:
        return []
    return [
        f"{label}: its outline is uncertain, the mask's stability is {quality.stability:.2f}; expected {STABLE} or "
        f"more. Look at the preview, and mask it by hand or use another photo if it is wrong."
    ]


def face_warnings(label: str, face: Face, size: tuple[int, int], image: Tensor | None = None) -> list[str]:
    """What is poor about a face: perhaps none, too small, blurred, cut by the frame, lying, or turned away.

    Nothing is said about turning where the landmarks are not five points.

    Args:
        label: what the sentences call it, e.g. 'face of "man"'.
        size: (height, width) of the photo.
        image: that photo, (H, W, 3); without it nothing is said about blur.

    Returns: a sentence for each, with the value, what was expected, and the fix.
    """
    warnings = []
    if face.score < SURE_FACE:
        warnings.append(
            f"{label}: may be no face, its score is {face.score:.2f}; expected {SURE_FACE} or more. Look at the "
            f"image, and choose another face or draw its box."
        )
    long_side = max(face.box.width, face.box.height)
    if long_side < MIN_LONG_SIDE:
        warnings.append(
            f"{label}: is {face.box.width:.0f} x {face.box.height:.0f} pixels, its long side {long_side:.0f}; the "
            f"model never saw less than {MIN_LONG_SIDE}. Use a larger photo or a closer shot."
        )
    if image is not None and (detail := _detail(face.box.crop(image))) < LEAST_DETAIL:
        warnings.append(
            f"{label}: is blurred, its detail is {detail:.3f}; expected {LEAST_DETAIL} or more. Use a sharper photo."
        )
    if face.turns:
        lies = "is upside down" if face.turns == 2 else "lies on its side"
        warnings.append(
            f"{label}: {lies}, expected upright. Its image was turned, but nothing else; if the whole photo is turned, "
            f"turn it first."
        )
    cut = _sides_at_the_frame(face.box, size)
    if cut:
        warnings.append(
            f"{label}: is cut by the {' and '.join(cut)} edge of the photo; expected a whole face with some room "
            f"around it. Use a photo that shows it whole."
        )
    angle = _turned(face)
    if angle is not None and angle >= MOST_TURNED:
        warnings.append(
            f"{label}: is turned too far to the side (about {angle:.0f} degrees or more; expected less than "
            f"{MOST_TURNED}). Use a photo that shows the face more from the front."
        )
    return warnings


def _cut_sides(region: Region, size: tuple[int, int]) -> list[tuple[str, float]]:
    """The sides on which the region ends at the frame over too much of its own side, with that fraction."""
    deep = math.ceil(_slack(size))
    solid = region.solid
    lines = {
        "left": solid[:, :deep].any(dim=1),
        "top": solid[:deep].any(dim=0),
        "right": solid[:, -deep:].any(dim=1),
        "bottom": solid[-deep:].any(dim=0),
    }
    shares = [(side, float(lines[side].float().mean())) for side in _sides_at_the_frame(region.box, size, deep)]
    return [(side, share) for side, share in shares if share > CUT_SIDE]


def _sides_at_the_frame(box: Box, size: tuple[int, int], near: float = 0.0) -> list[str]:
    """The sides of a box that lie at the photo's frame, up to `near` pixels inside, or beyond it."""
    height, width = size
    room = (box.left, box.top, width - box.right, height - box.bottom)
    return [side for side, pixels in zip(_SIDES, room, strict=True) if pixels <= near]


def _slack(size: tuple[int, int]) -> float:
    return max(LEAST_AT_THE_FRAME, AT_THE_FRAME * max(size))


def _detail(face: Tensor) -> float:
    """The fraction of the contrast of an (h, w, 3) face at MIN_LONG_SIDE that is lost when it is halved."""
    height, width = face.shape[:2]
    scale = MIN_LONG_SIDE / max(height, width)
    size = max(2, round(height * scale)), max(2, round(width * scale))
    grey = face.float().mean(dim=-1)[None, None]
    whole = F.interpolate(grey, size=size, mode="bilinear", antialias=True)
    half = F.interpolate(whole, size=(size[0] // 2, size[1] // 2), mode="bilinear", antialias=True)
    lost = whole - F.interpolate(half, size=size, mode="bilinear")
    # A face of one colour has no detail to lose: a drawing, not a blurred photo.
    contrast = float(whole.std())
    return float(lost.pow(2).mean().sqrt()) / contrast if contrast > 1e-3 else 1.0


def _turned(face: Face) -> float | None:
    """How many degrees the head is turned to the side, however it is tilted; None if the landmarks do not tell."""
    points = face.landmarks
    if points is None or len(points) != 5 or not all(len(p) == 2 and all(map(math.isfinite, p)) for p in points):
        return None
    (x0, y0), (x1, y1), (x, y) = points[:3]
    across, down = x1 - x0, y1 - y0
    apart = math.hypot(across, down)
    if not apart:  # the eyes are behind each other
        return 90.0
    aside = ((x - (x0 + x1) / 2) * across + (y - (y0 + y1) / 2) * down) / apart
    return math.degrees(math.atan2(abs(aside), NOSE_BEFORE_EYES * apart))
