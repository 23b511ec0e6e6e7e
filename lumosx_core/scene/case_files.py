"""The files of a case folder: which images there are, whose they are, and what is there that does not belong.

Nothing is passed over: a file or folder is part of the case, known junk, reported, or a mistake.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from ..errors import LumosXError, shown
from ..files.junk import is_junk
from ..files.seen_name import loosely
from ..files.text_file import check_regular
from ..media.image_kinds import check_stand_in, held_kind, is_image, is_image_name

CAPTION, ORDER, BACKGROUND, OBJECTS, SUBJECTS = "caption.txt", "order.txt", "background", "objects", "subjects"
PARTS = (CAPTION, ORDER, BACKGROUND, OBJECTS, SUBJECTS)
INFO, KEY_FRAMES = "info.json", "key_frames"
"""Beside the case: the same words in the research format, and masks of single frames. Not read with the case."""
_BESIDE = {INFO, KEY_FRAMES, "done.json"}  # the last: how data preparation notes that a sample is finished
MOST_FILES = 1000  # of one folder of a case
VIDEOS = {".mp4", ".mov", ".webm", ".mkv", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv"}
Say = Callable[[str], None]
"""Takes a sentence about what is left out."""

_FOLDERS = (BACKGROUND, OBJECTS, SUBJECTS)
_OTHER_WORDS = {  # for a folder that was meant
    **dict.fromkeys(("people", "persons", "person", "humans", "characters", "actors"), SUBJECTS),
    **dict.fromkeys(("bg", "scene", "place", "location", "environment"), BACKGROUND),
    **dict.fromkeys(("props", "items", "things"), OBJECTS),
}


@dataclass
class CaseFiles:
    """What a case folder holds, before anything is opened.

    Args:
        parts: the caption, the order and the three folders, each by its proper name, as far as they are there.
        subjects: the folder of each subject with its images, in the order of the subjects.
        unused: images that belong to the case but are not shown, such as whole bodies.
    """

    root: Path
    parts: dict[str, Path] = field(default_factory=dict)
    backgrounds: list[Path] = field(default_factory=list)
    objects: list[Path] = field(default_factory=list)
    subjects: list[tuple[Path, list[Path]]] = field(default_factory=list)
    unused: list[Path] = field(default_factory=list)

    @property
    def images(self) -> list[Path]:
        """All images of the case."""
        of_subjects = [path for _, paths in self.subjects for path in paths]
        return [*self.backgrounds, *self.objects, *of_subjects]

    def name_of(self, path: Path) -> str:
        """A file's path within the case, with "/"."""
        return path.relative_to(self.root).as_posix()


def list_case(directory: Path, say: Say) -> CaseFiles:
    """List the files of a case folder.

    Raises:
        LumosXError: a part of a case under another name, images that belong to nobody, an image in a format that is
            not read here, a subject without an image, more than 1000 files in one folder.
    """
    files = CaseFiles(directory, case_parts(directory))
    for path in _entries(directory):
        if path not in files.parts.values():
            _check_stray(path, files, say)
    files.backgrounds = _images(files, BACKGROUND, say)
    files.objects = _images(files, OBJECTS, say)
    if SUBJECTS in files.parts:
        files.subjects = _subjects(files, files.parts[SUBJECTS], say)
    return files


def case_parts(directory: Path) -> dict[str, Path]:
    """The caption, the order and the three folders of a case, by their proper names.

    Raises:
        LumosXError: two files or folders that look alike, such as subjects and Subjects.
    """
    found: dict[str, list[Path]] = {}
    for path in _entries(directory):
        if (part := loosely(path.name)) in PARTS:
            found.setdefault(part, []).append(path)
    for part, paths in found.items():
        if len(paths) > 1:
            raise LumosXError(
                f"{directory} has {' and '.join(sorted(path.name for path in paths))}, which look alike. Join them "
                f"into one: {part}."
            )
        if part in _FOLDERS and not os.path.isdir(paths[0]):
            raise LumosXError(f"{paths[0]} is not a folder. Make it one, and put its images there.")
    return {part: paths[0] for part, paths in found.items()}


def missing_caption(directory: Path) -> str:
    """What to do about a case without caption.txt, named after a text file that is there instead."""
    texts = [
        path.name for path in _entries(directory) if re.search(r"\.(txt|caption|md|rtf)(\.txt)?$|caption", path.name)
    ]
    texts = [name for name in texts if not os.path.isdir(directory / name)]
    if len(texts) != 1:
        return "Write the prompt there, as name;prompt, or the prompt alone."
    return f"There is {shown(texts[0])!r}: if the prompt is in it, rename it to caption.txt."


def _check_stray(path: Path, files: CaseFiles, say: Say) -> None:
    """Raise LumosXError for what was probably meant to be a part of the case; report anything else."""
    name = loosely(path.name)
    if name in _BESIDE:
        return
    if os.path.isdir(path):
        meant = next(iter(get_close_matches(name, _FOLDERS, 1, 0.7)), _OTHER_WORDS.get(name))
        if meant and meant not in files.parts and any(_entries(path)):
            raise LumosXError(f"{path} is not part of a case folder. Did you mean {meant}? Rename it.")
        say(f"{path} is left out: the folders of a case are {', '.join(_FOLDERS)}.")
        return
    stem, _, suffix = name.rpartition(".")
    if f".{suffix}" in VIDEOS:
        return
    if _is_image(path):
        if stem.startswith("face") or stem in _FOLDERS or not (files.parts.keys() & set(_FOLDERS)):
            raise LumosXError(
                f"{path} belongs to nothing. Move it into {files.root / SUBJECTS / '1'}, {files.root / OBJECTS} or "
                f"{files.root / BACKGROUND}."
            )
        say(f"{path} is left out: images of a case are in {SUBJECTS}/1, {OBJECTS} and {BACKGROUND}.")
        return
    for part in (CAPTION, ORDER):
        if part not in files.parts and get_close_matches(name, [part], 1, 0.75):
            raise LumosXError(f"{path} is not part of a case folder. Did you mean {part}? Rename it.")
    say(f"{path} is left out: not part of a case folder.")


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, without junk, sorted by name."""
    try:
        names = []
        with os.scandir(folder) as entries:
            for entry in entries:
                check_stand_in(folder / entry.name)
                if is_junk(entry.name):
                    continue
                names.append(entry.name)
                if len(names) > MOST_FILES:
                    raise LumosXError(f"{folder} has more than {MOST_FILES} files. Is it the right folder?")
    except OSError as error:
        raise LumosXError(f"Cannot read the folder {folder}: {error.strerror}. Check its permissions.") from error
    return [folder / name for name in sorted(names)]


def _images(files: CaseFiles, part: str, say: Say) -> list[Path]:
    return _images_in(files.parts[part], files, say) if part in files.parts else []


def _images_in(folder: Path, files: CaseFiles, say: Say) -> list[Path]:
    """The images of a folder, sorted by name."""
    found = []
    for path in _entries(folder):
        if os.path.isdir(path):
            if any(_entries(path)):
                raise LumosXError(f"{path} is a folder within {folder.name}, where images are expected. Move them up.")
            say(f"{path} is left out: an empty folder.")
        elif "fullfullbody" in path.name:
            files.unused.append(path)
        elif is_image(path):  # also one of a kind that is not read: reading it says how to convert it
            _check_file(path)
            found.append(path)
        else:
            say(f"{path} is left out: not an image.")
    return found


def _check_file(path: Path) -> None:
    try:
        check_regular(path)
    except OSError as error:
        raise LumosXError(f"Cannot read the image {path}: {error.strerror}. Get the file again.") from error


def _is_image(path: Path) -> bool:
    """Whether a file is an image by its ending, or by its first bytes."""
    return is_image_name(path.name) or bool(held_kind(path))


def _subjects(files: CaseFiles, folder: Path, say: Say) -> list[tuple[Path, list[Path]]]:
    folders = []
    for path in _entries(folder):
        if os.path.isdir(path):
            folders.append(path)
        elif "fullfullbody" in path.name:
            files.unused.append(path)
        elif _is_image(path):
            raise LumosXError(
                f"{path} belongs to nobody. Move it into a folder for each person, such as {folder / '1'}."
            )
        else:
            say(f"{path} is left out: not an image.")
    if all(re.fullmatch("[0-9]+", path.name) for path in folders):
        folders.sort(key=lambda path: (int(path.name), path.name))
    subjects = [(path, _images_in(path, files, say)) for path in folders]
    for path, images in subjects:
        if not images:
            raise LumosXError(f"The subject folder {path} has no image. Put one there, or remove the folder.")
    return subjects
