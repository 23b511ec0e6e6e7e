"""Writes glyph clips as sample folders, such as one makes of one's own clips."""

from __future__ import annotations

from pathlib import Path

from lumosx_core.errors import LumosXError
from lumosx_core.media.video import write_video
from lumosx_core.models.lumosx.spec import SPEC
from lumosx_core.scene.write_case import write_case

from .source import GlyphSource


def write_folders(source: GlyphSource, directory: str | Path) -> None:
    """Write each clip of the source as DIRECTORY/KEY: caption, reference images and video.mp4.

    Raises:
        LumosXError: the directory is in use, or cannot be written.
        MissingPackageError: av is not installed.
    """
    directory = Path(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise LumosXError(f"{directory} is in use. Give a new or an empty folder.")
    for key in source.keys():  # noqa: SIM118 (a source is no dict)
        sample = source.sample(key)
        write_case(directory / key, sample.case)
        write_video(directory / key / "video.mp4", sample.clip.frames, SPEC.frames_per_second)
