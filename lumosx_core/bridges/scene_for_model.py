"""One scene and one prompt, as another model wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import LumosXError
from ..media.images import fit_on_canvas
from ..prompt.messages import owner_of
from ..prompt.readings import without_weights
from ..prompt.scene_warnings import EMPTY_PROMPT, shared_words
from ..scene.scene import Scene
from .bernini import MODEL as BERNINI
from .bernini import MOST_IMAGES as MOST_BERNINI
from .bernini import bernini_prompt
from .fitting_images import STOP, sent_scene, without_background
from .ltx_sheet import MODEL as LTX
from .ltx_sheet import SHEET_COLOUR, SIZE_STEP, sheet_prompt
from .minimax_h3 import MODEL as H3
from .minimax_h3 import MOST_IMAGES as MOST_H3
from .minimax_h3 import h3_prompt
from .named_things import Thing, things_of
from .panels import MOST_PANELS, draw_panels

PHANTOM, VACE = "Phantom", "VACE"
MOST_PHANTOM = 4
MODELS = (BERNINI, LTX, H3, PHANTOM, VACE)


@dataclass(frozen=True, eq=False)
class SceneForModel:
    """What another model gets.

    Args:
        images: (H, W, 3) float32, 0..1, in the model's order: the images as they are (MiniMax H3, Bernini-R), each on
            a canvas (Phantom), or one canvas of all (LTX Ingredients, VACE).
        canvases: (N, height, width, 3): the same on white canvases of one size, for an input that takes a batch.
        notes: sentences about what does not reach the model, or may disappoint.
        report: lines of text: which image is what and whose, then the notes.
    """

    prompt: str
    images: tuple[Tensor, ...]
    canvases: Tensor
    notes: tuple[str, ...]
    report: str


def scene_for_model(
    scene: Scene,
    prompt: str,
    model: str,
    *,
    width: int,
    height: int,
    too_many: str = STOP,
    soundscape: str = "",
    music: str = "",
) -> SceneForModel:
    """Compile a scene for another model.

    Args:
        prompt: as typed into ComfyUI. Weights such as (denim jacket:1.2) are dropped.
        model: one of `MODELS`.
        width, height: of the video, in pixels.
        too_many: "stop" raises for a scene of more images than the model takes; "leave out" drops some and says which.
        soundscape, music: sections of MiniMax H3's prompt; the other models have none.

    Raises:
        LumosXError: see `sent_scene`, `things_of`, `h3_prompt`, `bernini_prompt`, `sheet_prompt` and `draw_panels`; the
            prompt is empty, or the size does not fit the model.
    """
    if model not in MODELS:
        raise LumosXError(f"There is no model {model!r} to prepare a scene for, expected one of {', '.join(MODELS)}.")
    plain = without_weights(prompt)
    if not plain:
        raise LumosXError(EMPTY_PROMPT)
    _check_size(width, height, SIZE_STEP if model == LTX else 16, model)
    limits = {H3: MOST_H3, BERNINI: MOST_BERNINI, PHANTOM: MOST_PHANTOM}
    scene.check()
    things_of(scene, plain, model, words_needed=False)  # also a phrase of what is left out must be in the prompt
    by_words: list[str] = []
    if model == VACE:
        scene, by_words = without_background(scene, model)
        if not scene.references:
            raise LumosXError(
                f"The scene has only a background, which {model} gets by its words. Add a subject or an object."
            )
    scene, notes = sent_scene(scene, model, limits.get(model, MOST_PANELS), too_many)
    notes = by_words + notes
    things = things_of(scene, plain, model, words_needed=model in (H3, BERNINI, LTX))
    originals = [reference.image.detach().to("cpu", torch.float32).clamp(0, 1) for reference in scene.references]
    if model != H3 and (soundscape.strip() or music.strip()):
        notes.append(f"The prompt of {model} has no place for a soundscape or music, so they are left out.")
    images, places = originals, [f"image_{i}" for i in range(len(originals))]
    if model == H3:
        written, remarks = h3_prompt(plain, things, without_weights(soundscape), without_weights(music))
        notes += remarks
        places = [f"image_{i}, <Picture {i + 1}>" for i in range(len(originals))]
    elif model == BERNINI:
        written, remarks = bernini_prompt(plain, things)
        written, notes = _for_weights(written), notes + remarks
        places = [f"image_{i}, image{i}" for i in range(len(originals))]
    elif model == PHANTOM:
        written = _for_weights(plain)
        images = [fit_on_canvas(image, height, width) for image in originals]
    else:
        colour = SHEET_COLOUR if model == LTX else "white"
        canvas, panels = draw_panels(originals, scene.layout.groups, width, height, colour)
        written = sheet_prompt(plain, things, panels) if model == LTX else _for_weights(plain)
        images, places = [canvas], [panel.place for panel in panels]
    if model in (PHANTOM, VACE):
        notes += shared_words(scene, plain)
        if sum(bool(subject.references) for subject in scene.subjects) > 1:
            notes.append(
                f"{model} knows who wears what from the prompt alone. Describe each person and their clothes in it."
            )
    canvases = torch.stack([fit_on_canvas(image, height, width) for image in images])
    return SceneForModel(written, tuple(images), canvases, tuple(notes), _report(model, scene, things, places, notes))


def _check_size(width: int, height: int, step: int, model: str) -> None:
    if width < step or height < step or width % step or height % step:
        raise LumosXError(
            f"The size is {width}x{height}, but {model} takes multiples of {step}. Use "
            f"{max(1, round(width / step)) * step}x{max(1, round(height / step)) * step}."
        )


def _for_weights(prompt: str) -> str:
    """A plain text for a text encoder that takes brackets as weights."""
    return prompt.replace("(", r"\(").replace(")", r"\)")


def _report(model: str, scene: Scene, things: Sequence[Thing], places: Sequence[str], notes: Sequence[str]) -> str:
    words = {image: thing.words for thing in things for image in thing.images}
    lines = [f"{model}, {len(scene.references)} image{'s' if len(scene.references) > 1 else ''}:"]
    for image, (label, _) in enumerate(scene.labelled()):
        lines.append(f"{places[image]}: {owner_of(label)}" + (f' "{words[image]}"' if words[image] else ", no phrase"))
    return "\n".join([*lines, *(["", *notes] if notes else [])])
