"""LTX Ingredients: one black reference sheet of all images, and a prompt that says what is where on it.

Source: the model card of LTX-2.3 IC-LoRA Ingredients: panels on black without text, at the size of the video.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import LumosXError, shown
from ..prompt.literal_text import check_no_embedding
from .named_things import Thing
from .panels import Panel

MODEL = "LTX Ingredients"
SHEET_COLOUR = "black"
SIZE_STEP = 32
_OWN_HEADINGS = re.compile(r"#+\s*(?:Reference Sheet|Target) Description", re.IGNORECASE)


def sheet_prompt(prompt: str, things: Sequence[Thing], panels: Sequence[Panel]) -> str:
    """The prompt of LTX Ingredients for a sheet.

    Args:
        prompt: cleaned and without weights.
        things: of the images on the sheet, see `things_of`.
        panels: of each image.

    Raises:
        LumosXError: the prompt has the headings of this one, or words that ComfyUI reads as an embedding elsewhere.
    """
    if match := _OWN_HEADINGS.search(prompt):
        raise LumosXError(
            f'The prompt has "{shown(match[0], 60)}", but the description of the sheet is written here for you. Write '
            f"only what happens in the video."
        )
    check_no_embedding(prompt, "The prompt")
    lines: dict[int, str] = {}
    anchors: dict[int, str] = {}  # the place of each person's first panel
    for thing in things:
        for number, image in enumerate(thing.images):
            place = panels[image].place
            role = _role(thing, anchors.get(thing.owner), panels[thing.images[0]].place if number else None)
            lines[image] = f"**{place} ({role}):** {thing.words}"
            if thing.owner:
                anchors.setdefault(thing.owner, place)
    described = "\n".join(lines[image] for image in sorted(lines))
    return f"### Reference Sheet Description\n{described}\n\n### Target Description\n{prompt}"


def _role(thing: Thing, anchor: str | None, earlier_view: str | None) -> str:
    if earlier_view is not None:
        return f"Same as {earlier_view}"
    if not thing.owner:
        return {"object": "Prop", "background": "Location"}[thing.role]
    if anchor is None:
        return "Character" if thing.role == "face" else "Outfit of a character"
    return f"{'Held' if thing.held else 'Worn'} by the character of {anchor}"
