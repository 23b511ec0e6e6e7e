"""Square thumbnails of the templates, which show people: example images, and frames that the tiny model renders.

    COMFYUI_PATH=... python tests/browser/thumbnails.py [TEMPLATE ...]    example_workflows/TEMPLATE.jpg

Needs a ComfyUI (the first of COMFYUI_PATH), as the tests do; the templates of lumosx-tiny are run on it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[2]))

import av
from comfy_hosts import pages
from comfy_server import ROOT, Server, running
from PIL import Image, ImageChops, ImageDraw

from lumosx_core.drawing.contact_sheet import COLOURS, PAGE, TEXT
from lumosx_core.drawing.fonts import font

SIDE, GAP = 640, 14
FOLDER = ROOT / "example_workflows"
PROMPTS = ROOT / "tests" / "comfy" / "api_prompts"
EXAMPLES = ROOT / "examples"
PHOTOS = (
    ("two_people/subjects/1/face_woman.png", 0),
    ("two_people/subjects/1/orange space suit.png", 0),
    ("two_people/subjects/2/face_man.png", 1),
    ("two_people/subjects/2/black coat.png", 1),
)
PLACE, CUP = ("two_people/background/launch pad at dusk.png", 2), ("two_people/objects/red coffee cup.png", 3)
LEFT = tuple((f"glyph_people/subjects/2/{name}.png", 0) for name in ("face_woman#1", "shirt#1", "top hat"))
RIGHT = tuple((f"glyph_people/subjects/1/{name}.png", 1) for name in ("face_woman#2", "shirt#2"))
FACES = tuple((f"glyph_faces/subjects/{n}/face_woman#{n}.png", n - 1) for n in (1, 2))
THREE = tuple(
    (f"three_glyph_people/subjects/{n}/{kind}#{n}.png", n - 1) for n in (3, 2, 1) for kind in ("face_boy", "shirt")
)


@dataclass(frozen=True)
class Card:
    """The contents of a thumbnail, from top to bottom.

    Args:
        rows: rows of example images, each with the number of its owner's colour.
        label: a line at the bottom; empty for none.
        shown: node types of the template's outputs of which the first frame is shown at the top, side by side.
        titles: a line below each of them.
    """

    rows: tuple[tuple[tuple[str, int], ...], ...] = ()
    label: str = ""
    shown: str = ""
    titles: tuple[str, ...] = ()


CARDS = {
    "1 Try it (tiny model, no GPU)": Card(
        (LEFT + RIGHT,), "no GPU, some seconds", "SaveVideo", ("as given", "swapped")
    ),
    "Batch of seeds": Card((PHOTOS[:2] + PHOTOS[2:], (PLACE, CUP)), "4 seeds, 4 videos"),
    "Best of several seeds": Card((PHOTOS, (PLACE, CUP)), "4 seeds, the best video"),
    "Clean background by inpainting": Card(((PLACE,),), "a place without people"),
    "Face only": Card((PHOTOS[:1],), "a face and a prompt"),
    "Fine control (strength, timing, dual guidance)": Card((LEFT + RIGHT,), "strength and timing", "SaveVideo"),
    "From one photograph (auto scene)": Card(
        ((("photographs/two women.png", 0), ("photographs/two women, painted over.png", 1)),),
        "cut out of one photo",
        "SaveVideo",
    ),
    "Ingredients (CogVideoX), two people": Card(((PHOTOS[2], PHOTOS[0]),), "a photo of each face"),
    "Ingredients (CogVideoX), tiny model": Card((FACES,), "two faces, no GPU", "SaveVideo"),
    "LoRA and few-step LoRA": Card((PHOTOS[:2], (PLACE,)), "6 steps with a LoRA"),
    "Long video (context windows)": Card((PHOTOS, (PLACE, CUP)), "10 seconds"),
    "Low memory (GGUF, fp8)": Card((PHOTOS, (PLACE, CUP)), "fp8 for small GPUs"),
    "One person, own outfit": Card((PHOTOS[:2], (PLACE,)), ""),
    "Phantom, two people": Card((PHOTOS[:2], PHOTOS[2:]), "with Phantom's weights"),
    "Scene for Bernini-R": Card((PHOTOS, (PLACE,)), "image0, image1, image2 ..."),
    "Scene for LTX Ingredients": Card((PHOTOS, (PLACE, CUP)), "one reference sheet"),
    "Scene for MiniMax H3": Card((PHOTOS, (PLACE, CUP)), "<Picture 1>, <Picture 2> ..."),
    "Scene for Phantom": Card((PHOTOS[:2], PHOTOS[2:]), "four white canvases"),
    "Scene for VACE": Card((PHOTOS,), "one white canvas"),
    "Three people, objects, background": Card((THREE,), "", "SaveVideo"),
    "Two people, own outfits": Card((PHOTOS[:2], PHOTOS[2:]), ""),
    "Who looks at what (attention map)": Card((), "", "LumosXAttentionMap"),
    "With ComfyUI SAM3 and face detection": Card((PHOTOS[::2], PHOTOS[1::2]), "SAM3, MediaPipe, BiRefNet"),
    "With core segmentation nodes": Card((PHOTOS[1:2] + PHOTOS[3:],), "masks from ComfyUI's own nodes"),
}


def draw_card(card: Card, frames: Sequence[Image.Image]) -> Image.Image:
    """The thumbnail: frames of videos at the top, the example images below, and the label."""
    sheet = Image.new("RGB", (SIDE, SIDE), PAGE)
    draw = ImageDraw.Draw(sheet)
    top, bottom = GAP, SIDE - GAP - (46 if card.label else 0)
    if frames:
        width = (SIDE - GAP * (len(frames) + 1)) // len(frames)
        height = min(round(width * frames[0].height / frames[0].width), 440 if card.rows else bottom - top)
        for number, frame in enumerate(frames):
            left = GAP + number * (width + GAP)
            fitted = _fit(frame, width, height)
            sheet.paste(fitted, (left + (width - fitted.width) // 2, top))
            if card.titles:
                _centred(draw, card.titles[number], left + width // 2, top + height + 6, 30)
        top += height + GAP + (40 if card.titles else 0)
    if card.rows:
        height = (bottom - top - GAP * (len(card.rows) - 1)) // len(card.rows)
        for number, row in enumerate(card.rows):
            _draw_row(sheet, row, top + number * (height + GAP), height)
    if card.label:
        _centred(draw, card.label, SIDE // 2, SIDE - GAP - 40, 34)
    return sheet


def _draw_row(sheet: Image.Image, row: Sequence[tuple[str, int]], top: int, height: int) -> None:
    """Images in frames of their owners' colours, as large as the row allows."""
    side = min(height, (SIDE - GAP * (len(row) + 1)) // len(row))
    left = (SIDE - side * len(row) - GAP * (len(row) - 1)) // 2
    draw = ImageDraw.Draw(sheet)
    for path, owner in row:
        box = (left, top + (height - side) // 2, left + side, top + (height - side) // 2 + side)
        draw.rounded_rectangle(box, 10, fill="white", outline=COLOURS[owner], width=5)
        with Image.open(EXAMPLES / path) as image:
            fitted = _fit(_without_margin(image.convert("RGB")), side - 20, side - 20)
        sheet.paste(fitted, (box[0] + (side - fitted.width) // 2, box[1] + (side - fitted.height) // 2))
        left += side + GAP


def _without_margin(image: Image.Image) -> Image.Image:
    """Without the white around what it shows."""
    return image.crop(ImageChops.difference(image, Image.new("RGB", image.size, "white")).getbbox())


def _fit(image: Image.Image, width: int, height: int) -> Image.Image:
    scale = min(width / image.width, height / image.height)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def _centred(draw: ImageDraw.ImageDraw, text: str, middle: int, top: int, size: int) -> None:
    draw.text((middle - font(size).getlength(text) / 2, top), text, fill=TEXT, font=font(size))


def rendered(server: Server, name: str, kind: str) -> list[Image.Image]:
    """Run a template; the middle frame of each video, or the image, that its nodes of one kind show, by file name."""
    prompt = json.loads((PROMPTS / f"{name}.json").read_text(encoding="utf-8"))
    outputs = server.run(prompt)
    paths = [path for node in prompt if prompt[node]["class_type"] == kind for path in server.saved(outputs, node)]
    return [_middle(path) if path.suffix == ".mp4" else _top_of_map(path) for path in sorted(paths)]


def _middle(path: Path) -> Image.Image:
    with av.open(str(path)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    return frames[len(frames) // 2]


def _top_of_map(path: Path) -> Image.Image:
    """Two columns of the first three rows of an attention map."""
    with Image.open(path) as image:
        return image.convert("RGB").crop((0, 0, 220 + 2 * 246, 3 * 198 + 6))


def main(names: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, running(pages()[0], Path(folder)) as server:
        for name in names or CARDS:
            card = CARDS[name]
            frames = rendered(server, name, card.shown) if card.shown else []
            path = FOLDER / f"{name}.jpg"
            draw_card(card, frames).save(path, quality=80)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
