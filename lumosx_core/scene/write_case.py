"""Writes a scene and its prompt as a case folder (see case_folder.py)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from ..errors import LumosXError, shown
from ..files.atomic_file import atomic_folder
from ..media.images import to_pil
from .case_folder import Case, parse_caption, phrase_of_subject
from .scene import Reference, Scene, Subject


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
    with atomic_folder(directory) as partial:
        (partial / "caption.txt").write_bytes(caption.encode())
        for path, reference in files.items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            # "x": on a disk that ignores case, Shirt.png must not overwrite shirt.png.
            with (partial / path).open("xb") as file:
                to_pil(reference.image).save(file, format="PNG")
        if paths != sorted(paths, key=_by_place_and_name):
            (partial / "order.txt").write_bytes("\n".join(paths).encode())


def lost_in_case(scene: Scene) -> list[str]:
    """Sentences about what a case folder has no place for: strengths and time ranges."""
    lost = []
    if any(value != 1 for value in scene.strengths.values):
        lost.append(
            "The strengths are left out: a case folder has none, so every image counts as in the released model."
        )
    if any(span != (0, 1) for span in scene.strengths.spans):
        lost.append(
            "start_percent and end_percent are left out: a case folder has none, so every subject is seen in all steps."
        )
    return lost


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


def _caption(case: Case) -> str:
    caption = case.prompt if case.name is None and ";" not in case.prompt else f"{case.name or ''};{case.prompt}"
    if not case.prompt.strip() or parse_caption(caption) != (case.name, case.prompt.strip()):
        raise LumosXError(
            f"A case of name {case.name!r} and prompt {case.prompt!r} cannot be written as caption.txt. The prompt "
            f"must not be empty; the name must not be empty, contain ';', or start or end with a space."
        )
    try:
        caption.encode()
    except UnicodeEncodeError as error:
        raise LumosXError(
            f"The caption {shown(caption)!r} has half a surrogate pair, which no file takes. Write it again."
        ) from error
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
        add("objects", name, reference, name.split(".", 1)[0], reference.phrase)
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
            add(f"subjects/{number}", name, reference, phrase_of_subject(name), (is_face, reference.phrase))
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
