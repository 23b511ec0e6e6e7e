"""A training sample: a case (who wears what, and the caption) and the video that shows it.

On the disk a sample is a case folder, the layout of `lumosx generate`, with a video.mp4 in it: any case becomes a
sample by adding its video, and any sample is a case.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError, MissingPackageError, shown
from lumosx_core.files.atomic_file import atomic_folder, atomic_path
from lumosx_core.files.junk import is_junk
from lumosx_core.files.seen_name import find_seen, loosely
from lumosx_core.media.video import write_video
from lumosx_core.models.lumosx.spec import SPEC
from lumosx_core.prompt.phrase_mask import clean_prompt
from lumosx_core.scene.case_files import BACKGROUND, CAPTION, OBJECTS, SUBJECTS, VIDEOS
from lumosx_core.scene.case_folder import Case, read_case
from lumosx_core.scene.scene import Scene
from lumosx_core.scene.write_case import write_case

from .clips import ClipSettings, VideoInfo, read_clip
from .fingerprints import entries_below
from .masks import read_masks

VIDEO = "video.mp4"
SAMPLE_PARTS = (CAPTION, SUBJECTS, OBJECTS, BACKGROUND)


class BadSample(LumosXError):
    """One sample cannot be used; the others can.

    Args:
        path: the sample: its folder, its line of a manifest, its member of a shard.
        reasons: what is wrong and how to fix it, a sentence or two each.
    """

    def __init__(self, path: str | Path, *reasons: str):
        # What pickle hands to the constructor between processes.
        super().__init__(printable(str(path)), *(printable(reason) for reason in reasons))
        self.path: str = self.args[0]
        self.reasons: tuple[str, ...] = self.args[1:]  # escaped and cut as messages are

    def __str__(self) -> str:
        return f"{self.path}: {' '.join(self.reasons)}"


@dataclass(frozen=True, eq=False)
class RawSample:
    """A sample as it was read, before any model has seen it.

    Args:
        key: its name within its source.
        case: caption and reference images.
        video: (F, H, W, 3), uint8, or float in 0..1.
        fps: frames a second.
        original: the video as its file describes it; None if it was made, not read.
        file: the video file, for as long as the source keeps it; None if there is none to keep.
        place: its location: its folder, its line of a manifest, its member of a shard.
        notes: sentences about what was left out of it.
        masks: (faces, F, H, W) bool, which pixels show the face of each subject; None: not known.
    """

    key: str
    case: Case
    video: Tensor
    fps: float = SPEC.frames_per_second
    original: VideoInfo | None = None
    file: Path | None = None
    place: str = ""
    notes: tuple[str, ...] = ()
    masks: Tensor | None = None

    @property
    def where(self) -> str:
        """Its name in messages."""
        return self.place or printable(self.key)

    def pixels(self) -> Tensor:
        """The video as the VAE takes it: (3, F, H, W) float32, -1..1."""
        video = self.video.float() / 255 if self.video.dtype == torch.uint8 else self.video.float()
        return (video * 2 - 1).permute(3, 0, 1, 2).contiguous()


class Source(Protocol):
    """A collection of samples. Reading it twice gives the same samples in the same order."""

    def keys(self) -> list[str]:
        """The name of each sample, of bad ones too."""

    def load(self, key: str) -> RawSample:
        """Read one sample; raises BadSample if anything is wrong with it."""


@dataclass(frozen=True)
class SampleSettings:
    """What is read from a source, and what a sample must have.

    Args:
        clip: which frames of a video, at which size.
        require_faces: a subject without a face makes a bad sample. Who it is cannot be learned from it, and most
            often a face was meant to be there; people who are masked or seen from behind are the exception.
        seed: of the choices that the research format leaves open.
        whole_body: in the research format, the fraction of videos that show people as whole bodies without a group.
    """

    clip: ClipSettings = ClipSettings()  # noqa: RUF009 - immutable
    require_faces: bool = True
    seed: int = 0
    whole_body: float = 0.3


def read_sample(directory: str | Path, settings: SampleSettings | None = None, *, key: str | None = None) -> RawSample:
    """Read a sample folder.

    Raises:
        BadSample: anything is wrong with it: see `read_case` and `read_clip`; or a name that is not UTF-8, or a
            subject without a face.
    """
    directory = Path(directory)
    settings = settings or SampleSettings()
    notes: list[str] = []
    case: Case | None = None
    with problems_of(directory) as attempt:
        with attempt():
            _check_names(directory)
        with attempt():
            case = read_case(directory, say=notes.append)
            if settings.require_faces:
                check_faces(case.scene)
        with attempt():
            file = _video(directory)
            video, original = read_clip(file, settings.clip)
            # Without a case nobody knows whose they are; what is wrong with that is reported already.
            masks = read_masks(directory, len(case.scene.subjects), file, settings.clip) if case else None
    assert case is not None  # or there were problems
    return RawSample(
        key or directory.name, case, video, settings.clip.fps, original, file, str(directory), tuple(notes), masks
    )


def is_sample(folder: Path) -> bool:
    """Whether a folder has any part of a sample."""
    if any(os.path.exists(folder / part) for part in (*SAMPLE_PARTS, VIDEO)):
        return True
    try:
        return any(loosely(name) in (*SAMPLE_PARTS, VIDEO) for name in os.listdir(folder) if not is_junk(name))
    except OSError:
        return False


def _video(directory: Path) -> Path:
    """The video of a sample folder, as people see its name; raises LumosXError if only another one is there."""
    found = find_seen(directory, VIDEO)
    if found is not None or not os.path.isdir(directory):
        return found or directory / VIDEO
    others = [name for name in sorted(os.listdir(directory)) if not is_junk(name)]
    others = [name for name in others if os.path.splitext(name)[1].lower() in VIDEOS]
    if len(others) == 1:
        raise LumosXError(
            f"There is no video {directory / VIDEO}, but {shown(others[0])!r}. If that is the clip, name it {VIDEO}."
        )
    return directory / VIDEO


def write_sample(directory: str | Path, sample: RawSample) -> None:
    """Write a sample folder that `read_sample` reads back; the video's file is copied if there is one.

    Raises:
        LumosXError: the folder is in use, or the scene cannot be derived from the layout (see `write_case`).
    """
    directory = Path(directory).resolve()
    if directory.exists():
        raise LumosXError(f"{directory} is in use. Give a new folder.")
    with atomic_folder(directory) as partial:
        write_case(partial, sample.case)
        write_sample_video(partial / VIDEO, sample)


def write_sample_video(path: Path, sample: RawSample) -> None:
    """Copy a sample's video file as it is, or write its frames if it has none."""
    if sample.file is None:
        write_video(path, sample.video, sample.fps)
        return
    with atomic_path(path) as partial:
        shutil.copyfile(sample.file, partial)


@contextmanager
def problems_of(path: str | Path) -> Iterator:
    """Collect what is wrong with one sample, so that all of it is reported at once.

    Gives a context manager that records a mistake instead of raising it; at the end of the block BadSample is raised
    if there was one. A missing package is not a problem of the sample and is raised.
    """
    reasons: list[str] = []

    @contextmanager
    def attempt() -> Iterator[None]:
        try:
            yield
        except MissingPackageError:
            raise
        except BadSample as error:
            reasons.extend(error.reasons)
        except (LumosXError, OSError) as error:
            reasons.append(str(error))

    yield attempt
    if reasons:
        raise BadSample(path, *reasons)


def check_faces(scene: Scene) -> None:
    """Raise LumosXError for subjects without a face."""
    faceless = [str(number) for number, subject in enumerate(scene.subjects, 1) if subject.face is None]
    if faceless:
        raise LumosXError(
            f"Subject {' and subject '.join(faceless)} has no face. Add its image (in a folder: face_PHRASE.png), "
            f"make its images objects, or allow subjects without faces if this is meant."
        )


def printable(text: str) -> str:
    """A text that every terminal and file takes: bytes of a file name that are not UTF-8 become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def check_caption(prompt: str) -> str:
    """The caption without spaces around it; raises LumosXError if nothing is left."""
    if not clean_prompt(prompt):
        raise LumosXError("The caption is empty. Write what happens in the video.")
    return prompt.strip()


def _check_names(directory: Path) -> None:
    for path in (directory, *sorted(entries_below(directory))):
        if printable(path.name) != path.name:
            raise LumosXError(f"The name of {path} is not UTF-8, so its words are not known. Rename it.")
