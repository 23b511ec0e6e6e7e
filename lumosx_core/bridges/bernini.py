"""Bernini-R: a system sentence, the prompt, and who wears what, with images named from image0.

Source: the released subject-to-video prompts; ComfyUI's BerniniConditioning takes up to eight images of any shape.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import LumosXError, shown
from .named_things import Thing, tagged_spans

MODEL = "Bernini-R"
MOST_IMAGES = 8
RELIABLE_IMAGES = 5
SYSTEM = "You are a helpful assistant specialized in subject-to-video generation."
_OWN_TAGS = re.compile(r"\bimage\s?\d+\b", re.IGNORECASE)


def bernini_prompt(prompt: str, things: Sequence[Thing]) -> tuple[str, list[str]]:
    """The prompt of Bernini-R for a scene, and remarks about it.

    Args:
        prompt: cleaned and without weights.
        things: of the images in the order in which they are connected, see `things_of`.

    Raises:
        LumosXError: the prompt names images itself, or see `tagged_spans`.
    """
    if match := _OWN_TAGS.search(prompt):
        raise LumosXError(
            f'The prompt has "{shown(match[0], 60)}", but such names are written here for you. Write the words of the '
            f"scene's phrases instead."
        )
    owned = [[thing for thing in things if thing.owner == owner] for owner in sorted({t.owner for t in things} - {0})]
    # A person's garments are named with their owner at the end, so that their words need not stand alone.
    tagged = [thing for thing in things if thing.role != "attribute"]
    parts, at = [], 0
    for _, end, thing in tagged_spans(list(things), tagged, prompt):
        parts.append(f"{prompt[at:end]} from {_images(thing)}")
        at = end
    sentence = "".join(parts) + prompt[at:]
    if sentence[-1:].isalnum():
        sentence += "."
    bindings = ", while ".join(filter(None, map(_binding, owned)))
    written = f"{SYSTEM} {sentence}" + (f" Generate a video where {bindings}." if bindings else "")
    count = sum(len(thing.images) for thing in things)
    if count <= RELIABLE_IMAGES:
        return written, []
    return written, [f"The scene has {count} images; {MODEL} is reliable with about {RELIABLE_IMAGES}."]


def _binding(own: Sequence[Thing]) -> str:
    """Such as "the woman from image2 wears the red raincoat from image3"; empty for a person of a face alone."""
    face = own[0].role == "face"
    garments = own[1:] if face else own
    if not garments:
        return ""
    owner = f"{own[0].definite} from {_images(own[0])}" if face else "someone"
    said = []
    for verb, held in (("wears", False), ("holds", True)):
        if named := [f"{each.definite} from {_images(each)}" for each in garments if each.held == held]:
            said.append(f"{verb} {', '.join(named)}")
    return f"{owner} {' and '.join(said)}"


def _images(thing: Thing) -> str:
    return " and ".join(f"image{image}" for image in thing.images)
