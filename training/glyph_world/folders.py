"""Writes glyph clips as sample folders, such as one makes of one's own clips."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_folder, remove_all_partials
from lumosx_core.media.video import write_video
from lumosx_core.scene.write_case import write_case

from ..data.masks import MASKS
from ..data.resumable import NOTE, resumable
from .source import GlyphSource


def write_folders(source: GlyphSource, directory: str | Path) -> None:
    """Write each clip of the source as DIRECTORY/KEY: caption, reference images, video.mp4, and masks where the source
    knows them.

    Each folder appears complete or not at all, and a run that was killed goes on where it stopped.

    Raises:
        LumosXError: the directory is in use, or cannot be written.
        MissingPackageError: av is not installed.
    """
    directory = Path(directory)
    note = directory / NOTE
    if directory.exists() and (not directory.is_dir() or (any(directory.iterdir()) and not note.is_file())):
        remove_all_partials(directory)
        if not directory.is_dir() or any(directory.iterdir()):
            raise LumosXError(f"{directory} is in use. Give a new or an empty folder.")
    keys = source.keys()
    made_from = source.fingerprint(keys[0]) if keys else ""
    with resumable(directory, {"command": "glyphs", "seed": source.seed, "count": len(keys), "made_from": made_from}):
        for key in keys:
            if (directory / key).exists():
                continue
            sample = source.sample(key)
            with atomic_folder(directory / key) as partial:
                write_case(partial, sample.case)
                write_video(partial / "video.mp4", sample.clip.frames, source.frames_per_second)
                for number, frames in enumerate(source.masks(sample), 1):
                    _write_mask(partial / MASKS / str(number), frames)


def _write_mask(folder: Path, frames: Tensor) -> None:
    """One PNG for each frame of (F, H, W) bool."""
    folder.mkdir(parents=True)
    for place, frame in enumerate(frames):
        Image.fromarray(frame.numpy()).save(folder / f"{place:04d}.png")
