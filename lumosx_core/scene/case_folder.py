"""A scene and its prompt as a folder, in the layout of the released LumosX:

    caption.txt                      "name;prompt", or the prompt alone
    background/PHRASE.png
    objects/PHRASE.png
    subjects/N/face_PHRASE.png       the face of person N
    subjects/N/PHRASE.png            what person N wears or carries
    order.txt                        optional, ours: paths in the order of the images, where that is not by name

The released code takes files in the order in which the disk lists them, so that a face can be anywhere in its
group. Here the face always comes first and the rest follows by name, or as order.txt says: the same folder gives the
same video on every machine.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import LumosXError
from ..media.images import SUFFIXES, read_picture, to_pil
from .scene import Reference, Scene, Subject

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


def read_case(directory: str | Path) -> Case:
    """Read a case folder.

    Subjects come in numerical order if all their folders are numbered, else by name. Of several backgrounds the first
    counts. "fullfullbody" images, hidden files and files that are not images are left out.

    Raises:
        LumosXError: no folder or caption, a caption that is empty or not UTF-8, an unreadable image, a subject
            without an image or with two faces, one phrase for two images of a folder, no image at all.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise LumosXError(f"There is no case folder {directory}. Give a folder that holds caption.txt and images.")
    name, prompt = _parse_caption(_read_text(directory / "caption.txt", "as name;prompt, or the prompt alone"))
    if not prompt:
        raise LumosXError(
            f"{directory / 'caption.txt'} has no prompt. Write what happens in the video, as name;prompt."
        )
    order = _read_order(directory)

    backgrounds = _pictures(directory / "background", order)
    if len(backgrounds) > 1:
        log.warning("%s has %d images: taking %r", directory / "background", len(backgrounds), backgrounds[0].name)
    objects = _pictures(directory / "objects", order)
    _check_phrases([(path, _object_phrase(path.name)) for path in objects])
    scene = Scene(
        tuple(_read_subject(folder, order) for folder in _subject_folders(directory / "subjects")),
        tuple(Reference(_object_phrase(path.name), read_picture(path)) for path in objects),
        Reference(backgrounds[0].stem, read_picture(backgrounds[0])) if backgrounds else None,
    )
    if not scene.references:
        raise LumosXError(
            f"The case folder {directory} has no images, so its scene is empty. Put some into subjects/1, objects "
            f"or background, named after their words in the prompt."
        )
    return Case(name, prompt, scene)


def write_case(directory: str | Path, case: Case) -> None:
    """Write a case folder that `read_case` reads back: same words, same order, images with 8 bits a channel.

    Everything is checked first, written beside `directory`, and moved into place at the end.

    Raises:
        LumosXError: the folder is in use, the scene is empty, or a phrase, the name or the prompt cannot be read back
            from the layout (a phrase becomes a file name).
    """
    directory = Path(directory).resolve()
    check_unused(directory)
    case.scene.check()
    caption = _caption(case)
    files = _files(case.scene)
    paths = list(files)
    partial = directory.parent / f".{directory.name}.{uuid.uuid4().hex}"
    try:
        partial.mkdir(parents=True)
        (partial / "caption.txt").write_bytes(caption.encode())
        for path, reference in files.items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            # "x": on a disk that ignores case, Shirt.png must not overwrite shirt.png.
            with (partial / path).open("xb") as file:
                to_pil(reference.image).save(file, format="PNG")
        if paths != sorted(paths, key=_by_place_and_name):
            (partial / "order.txt").write_bytes("\n".join(paths).encode())
        if directory.exists():
            directory.rmdir()
        partial.rename(directory)
    except OSError as error:
        raise LumosXError(f"Cannot write the case folder {directory}: {error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_unused(directory: Path) -> None:
    """Raise LumosXError unless a case can be written to the folder: it is not there yet, or empty."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise LumosXError(f"{directory} is in use. Give a new or an empty folder.")


def check_names(
    name: str | None,
    prompt: str,
    people: Sequence[tuple[str, Sequence[str]]],
    objects: Sequence[str] = (),
    background: str | None = None,
) -> None:
    """Raise LumosXError where `write_case` would refuse words, before there are images.

    Args:
        name, prompt: of the case.
        people: for each the phrase of the face and those of the attributes.
        objects, background: their phrases.
    """

    def named(phrase: str) -> Reference:
        return Reference(phrase, torch.zeros(1, 1, 3))

    scene = Scene(
        tuple(Subject(named(face), tuple(map(named, attributes))) for face, attributes in people),
        tuple(map(named, objects)),
        None if background is None else named(background),
    )
    _caption(Case(name, prompt, scene))
    _files(scene)


# Names


def _parse_caption(text: str) -> tuple[str | None, str]:
    name, divided, prompt = text.partition(";")
    return (name.strip() or None, prompt.strip()) if divided else (None, text.strip())


def _object_phrase(name: str) -> str:
    return name.split(".", 1)[0]  # at the first dot, as released


def _subject_phrase(name: str) -> tuple[bool, str]:
    """Whether a file of a subject is its face, and its phrase. "face mask.png" is not a face: no "_" in it."""
    stem = name.rpartition(".")[0]
    if "face" in stem and "_" in stem:
        return True, stem.split("_", 1)[1]
    return stem == "face", stem


# Reading


def _read_text(path: Path, content: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LumosXError(f"{path} is not UTF-8 text ({error}). Save it again as UTF-8.") from error
    except OSError as error:
        raise LumosXError(f"Cannot read {path}: {error.strerror}. Write the prompt there, {content}.") from error


def _read_order(directory: Path) -> dict[str, int]:
    path = directory / "order.txt"
    if not path.exists():
        return {}
    lines = _read_text(path, "one image's path a line").split("\n")
    return {str(directory / line.strip()): place for place, line in enumerate(lines)}


def _pictures(folder: Path, order: dict[str, int]) -> list[Path]:
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        if path.name.startswith(".") or "fullfullbody" in path.name or path.is_dir():
            continue
        if path.suffix.lower() in SUFFIXES:
            found.append(path)
        elif path.name not in ("Thumbs.db", "desktop.ini"):
            log.warning("%s is left out: not an image", path)
    return sorted(found, key=lambda path: (order.get(str(path), len(order)), path.name))


def _check_phrases(phrases: list[tuple[Path, str]]) -> None:
    """Raise LumosXError if two images of a folder have one phrase (the released code drops one silently)."""
    taken: dict[str, Path] = {}
    for path, phrase in phrases:
        if phrase in taken:
            raise LumosXError(
                f'{taken[phrase]} and {path.name} both mean the phrase "{phrase}". Rename or remove one of them'
                + (" (the phrase of an object ends at the first dot)." if path.parent.name == "objects" else ".")
            )
        taken[phrase] = path


def _subject_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    if astray := _pictures(folder, {}):
        raise LumosXError(
            f"{astray[0]} belongs to nobody. Move it into a folder for each person, such as {folder / '1'}."
        )
    folders = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if all(re.fullmatch("[0-9]+", path.name) for path in folders):
        return sorted(folders, key=lambda path: (int(path.name), path.name))
    return sorted(folders)


def _read_subject(folder: Path, order: dict[str, int]) -> Subject:
    paths = _pictures(folder, order)
    if not paths:
        raise LumosXError(f"The subject folder {folder} has no image. Put one there, or remove the folder.")
    parsed = [(path, *_subject_phrase(path.name)) for path in paths]
    _check_phrases([(path, phrase) for path, _, phrase in parsed])
    faces = [path for path, is_face, _ in parsed if is_face]
    if len(faces) > 1:
        raise LumosXError(
            f"The subject folder {folder} has {len(faces)} faces: {', '.join(path.name for path in faces)}. "
            f"Keep one; every other person needs an own folder."
        )
    references = [(is_face, Reference(phrase, read_picture(path))) for path, is_face, phrase in parsed]
    face = next((reference for is_face, reference in references if is_face), None)
    return Subject(face, tuple(reference for is_face, reference in references if not is_face))


# Writing


def _caption(case: Case) -> str:
    caption = case.prompt if case.name is None and ";" not in case.prompt else f"{case.name or ''};{case.prompt}"
    if not case.prompt.strip() or _parse_caption(caption) != (case.name, case.prompt.strip()):
        raise LumosXError(
            f"A case of name {case.name!r} and prompt {case.prompt!r} cannot be written as caption.txt. The prompt "
            f"must not be empty; the name must not be empty, contain ';', or start or end with a space."
        )
    return caption


def _files(scene: Scene) -> dict[str, Reference]:
    """The path of each image within the case folder, in the order of the scene."""
    files: dict[str, Reference] = {}

    def add(folder: str, name: str, reference: Reference, parsed: object, expected: object) -> None:
        path = f"{folder}/{name}"
        if not _is_file_name(name) or parsed != expected:
            raise LumosXError(
                f'Phrase "{reference.phrase}" cannot become the file name {path}: it is not allowed there, or would '
                f"be read as another phrase. Use a short phrase without / \\ and line breaks, without a dot at the "
                f'start (an object: without any dot), and without "fullfullbody" or "face_".'
            )
        if path in files:
            raise LumosXError(
                f'Two images of {folder} have the phrase "{reference.phrase}", but a case folder has one file for '
                f"each phrase. Give one of them another phrase."
            )
        files[path] = reference

    if scene.background is not None:
        name = f"{scene.background.phrase}.png"
        add("background", name, scene.background, Path(name).stem, scene.background.phrase)
    for reference in scene.objects:
        name = f"{reference.phrase}.png"
        add("objects", name, reference, _object_phrase(name), reference.phrase)
    for number, subject in enumerate(scene.subjects, 1):
        phrases = [reference.phrase for reference in subject.references]
        for reference in subject.references:
            is_face = reference is subject.face
            name = f"{'face_' * is_face}{reference.phrase}.png"
            if phrases.count(reference.phrase) > 1:
                raise LumosXError(
                    f'Two images of subject {number} have the phrase "{reference.phrase}", but a case folder has one '
                    f"file for each phrase. Give one of them another phrase."
                )
            add(f"subjects/{number}", name, reference, _subject_phrase(name), (is_face, reference.phrase))
    return files


def _is_file_name(name: str) -> bool:
    """Whether this system takes the name and `read_case` counts it."""
    forbidden = r"[/\\\x00-\x1f\x7f]" if os.name != "nt" else r'[/\\\x00-\x1f\x7f<>:"|?*]'
    try:
        short = len(name.encode()) <= 255
    except UnicodeEncodeError:
        return False
    return short and not name.startswith(".") and "fullfullbody" not in name and not re.search(forbidden, name)


def _by_place_and_name(path: str) -> tuple[bool, bool, int, bool, str]:
    """The order in which `read_case` takes images without an order.txt."""
    folder, _, name = path.rpartition("/")
    number = int(folder.rpartition("/")[2]) if folder.startswith("subjects/") else 0
    return folder != "background", folder != "objects", number, not (number and name.startswith("face_")), name
