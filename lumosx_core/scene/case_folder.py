"""A scene and its prompt as a folder, in the layout of the released LumosX:

    caption.txt                      "name;prompt", or the prompt alone
    background/PHRASE.png
    objects/PHRASE.png
    subjects/N/face_PHRASE.png       the face of person N
    subjects/N/PHRASE.png            what person N wears or carries
    order.txt                        optional, ours: paths in the order of the images, where that is not by name

The released code takes files in the order in which the disk lists them, so that a face can be anywhere in its
group. Here the face always comes first and the rest follows by name, or as order.txt says: the same folder gives the
same video on every machine. The caption is literal text: brackets in it are brackets, nowhere weights.
"""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import LumosXError, shown
from ..files.text_file import read_text
from ..media.images import read_picture
from .case_files import BACKGROUND, CAPTION, OBJECTS, ORDER, CaseFiles, Say, list_case, missing_caption
from .order_file import read_order
from .scene import MOST_IMAGES, Reference, Scene, Subject

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Case:
    """What one case folder holds.

    Args:
        name: what the caption calls the video; None if it does not say.
        prompt: the words that describe the video.
    """

    name: str | None
    prompt: str
    scene: Scene


def read_case(directory: str | Path, *, say: Say | None = None) -> Case:
    """Read a case folder.

    Subjects come in numerical order if all their folders are numbered, else by name. Of several backgrounds the first
    counts. "fullfullbody" images and the junk of operating systems are left out.

    Args:
        say: called with a sentence about everything else that is left out or may not be meant; None: it is logged.

    Raises:
        LumosXError: no folder or caption, a caption that is empty or of an unknown encoding, a line of order.txt that
            names no image, a part under another name (see `list_case`), an unreadable image, a subject without an
            image or with two faces, one phrase for two images of a folder, no image at all.
    """
    directory, say = Path(directory), say or log.warning
    if not os.path.isdir(directory):
        raise LumosXError(f"There is no case folder {directory}. Give a folder that holds caption.txt and images.")
    files = list_case(directory, say)
    name, prompt = _read_caption(files, say)
    if len(files.images) > MOST_IMAGES:
        raise LumosXError(
            f"The case folder {directory} has {len(files.images)} images, but a scene has at most {MOST_IMAGES}. "
            f"Remove some."
        )
    order = _order(files, say)

    def sort(paths: list[Path]) -> list[Path]:
        return sorted(paths, key=lambda path: (order.get(files.name_of(path), len(order) + 10**6), path.name))

    backgrounds = sort(files.backgrounds)
    if len(backgrounds) > 1:
        say(f"{directory / BACKGROUND} has {len(backgrounds)} images: taking {shown(backgrounds[0].name)!r}.")
    objects = [(path, phrase_of_object(path.name, prompt, say)) for path in sort(files.objects)]
    _check_phrases(objects)
    scene = Scene(
        tuple(_read_subject(folder, sort(paths), prompt) for folder, paths in files.subjects),
        tuple(Reference(phrase, read_picture(path)) for path, phrase in objects),
        Reference(backgrounds[0].stem, read_picture(backgrounds[0])) if backgrounds else None,
    )
    if not scene.references:
        raise LumosXError(
            f"The case folder {directory} has no images, so its scene is empty. Put some into subjects/1, objects "
            f"or background, named after their words in the prompt."
        )
    return Case(name, prompt, scene)


# Names


def parse_caption(text: str) -> tuple[str | None, str]:
    """Name and prompt of a caption."""
    name, divided, prompt = text.partition(";")
    return (name.strip() or None, prompt.strip()) if divided else (None, text.strip())


def phrase_of_object(name: str, prompt: str, say: Say = lambda text: None) -> str:
    """The phrase that the file name of an object means.

    Released, it ends at the first dot. A dot that belongs to the words ("no. 5 bottle.png") must not leave "no": so
    it ends there only where what follows is not a word of the phrase ("white lamp.2.png") and the caption has the rest.

    Args:
        prompt: the caption.
        say: called where the phrase ends at a dot within the name.
    """
    stem, cut = name.rpartition(".")[0], name.split(".", 1)[0]
    if stem == cut or _occurs(re.sub(r"\s*#[0-9]+$", "", stem), prompt):
        return stem
    if len(cut) > 3 and re.fullmatch(r"(\.[\w-]{1,12})+", stem[len(cut) :]) and _occurs(cut, prompt):
        say(f"{shown(name)!r} is bound to {shown(cut)!r}: the phrase of an object ends at the first dot.")
        return cut
    return stem


def phrase_of_subject(name: str) -> tuple[bool, str]:
    """Whether a file of a subject is its face, and its phrase. "face mask.png" is not a face: no "_" in it."""
    stem = name.rpartition(".")[0]
    lowered = stem.lower()
    if "face" in lowered and "_" in stem:
        return True, stem.split("_", 1)[1]
    return lowered == "face", stem


def _occurs(words: str, text: str) -> bool:
    """Whether a text has words, as they are, with nothing joined to them."""
    words, text = (" ".join(unicodedata.normalize("NFKC", each).split()) for each in (words, text))
    found = text.find(words) if words else -1
    while found >= 0:
        around = text[max(0, found - 1) : found], text[found + len(words) : found + len(words) + 1]
        if not any(each.isalnum() and each.isascii() for each in around):
            return True
        found = text.find(words, found + 1)
    return False


# Reading


def _read_caption(files: CaseFiles, say: Say) -> tuple[str | None, str]:
    path = files.parts.get(CAPTION, files.root / CAPTION)
    advice = "" if CAPTION in files.parts else missing_caption(files.root)
    name, prompt = parse_caption(read_text(path, advice or "Write the prompt there, as name;prompt."))
    if not prompt:
        raise LumosXError(f"{path} has no prompt. Write what happens in the video, as name;prompt.")
    if name and len(name.split()) > 3:
        say(
            f'{path} has a ";": the words in front of it, {shown(name, 60)!r}, are the name of the video, not part of '
            f"the prompt. If they belong to the prompt, begin the file with a semicolon."
        )
    return name, prompt


def _order(files: CaseFiles, say: Say) -> dict[str, int]:
    if ORDER not in files.parts:
        return {}
    images = [files.name_of(path) for path in files.images]
    order = read_order(files.parts[ORDER], images, [files.name_of(path) for path in files.unused])
    if unlisted := sorted(set(images) - order.keys()):
        more = f" and {len(unlisted) - 3} more" if len(unlisted) > 3 else ""
        say(
            f"{files.parts[ORDER]} does not list {', '.join(shown(each) for each in unlisted[:3])}{more}: "
            f"{'it follows' if len(unlisted) == 1 else 'they follow'} the listed images, by name."
        )
    return order


def _check_phrases(phrases: Sequence[tuple[Path, str]]) -> None:
    """Raise LumosXError if two images of a folder have one phrase (the released code drops one silently)."""
    taken: dict[str, Path] = {}
    for path, phrase in phrases:
        key = unicodedata.normalize("NFC", phrase)
        if key in taken:
            raise LumosXError(
                f'{taken[key]} and {path.name} both mean the phrase "{shown(phrase)}". Rename or remove one of them'
                + (" (the phrase of an object ends at the first dot)." if path.parent.name == OBJECTS else ".")
            )
        taken[key] = path


def _read_subject(folder: Path, paths: list[Path], prompt: str) -> Subject:
    parsed = [(path, *phrase_of_subject(path.name)) for path in paths]
    _check_phrases([(path, phrase) for path, _, phrase in parsed])
    faces = [path for path, is_face, _ in parsed if is_face]
    if len(faces) > 1:
        raise LumosXError(
            f"The subject folder {folder} has {len(faces)} faces: {', '.join(shown(path.name) for path in faces[:9])}. "
            f"Keep one; every other person needs an own folder."
        )
    if faces and "_" not in faces[0].name and not _occurs(faces[0].stem, prompt):
        raise LumosXError(
            f"{faces[0]} does not say which words of the prompt name the person. Rename it to face_PHRASE.png, such as "
            f"face_man.png for the man of the prompt."
        )
    references = [(is_face, Reference(phrase, read_picture(path))) for path, is_face, phrase in parsed]
    face = next((reference for is_face, reference in references if is_face), None)
    return Subject(face, tuple(reference for is_face, reference in references if not is_face))
