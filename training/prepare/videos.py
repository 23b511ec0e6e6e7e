"""The source videos of a run: found in folders and lists, each content once."""

from __future__ import annotations

import filecmp
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lumosx_core.errors import LumosXError, shown
from lumosx_core.files.file_hash import sha256_of
from lumosx_core.files.junk import is_junk

ENDINGS = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".wmv", ".flv"),
    *(".3gp", ".3g2", ".ogv", ".ogg", ".mxf", ".gif", ".vob", ".asf", ".y4m"),
}
_PIECE, _PIECES = 2**18, 16  # bytes that are read of a file, evenly over it


@dataclass(frozen=True)
class SourceVideo:
    """A video file.

    Args:
        id: of its content: the same wherever the file is and whatever it is called.
        path: absolute.
    """

    id: str
    path: Path


@dataclass(frozen=True)
class FoundVideos:
    """What there is to prepare.

    Args:
        videos: in the order of their paths, each content once.
        copies: a path whose content another video has already, and the path of that one.
        ignored: what in the folders is not a video by its name, and links to nothing or to folders.
    """

    videos: tuple[SourceVideo, ...]
    copies: tuple[tuple[Path, Path], ...]
    ignored: tuple[Path, ...]


def find_videos(paths: Iterable[str | Path], dataset: str | Path | None = None) -> FoundVideos:
    """The videos of files, of folders (at any depth), and of lists: .txt files with one path a line.

    A file that is named itself, or in a list, is taken whatever its ending; of a folder, what ends like a video. Paths
    in a list are relative to the list; empty lines and lines that begin with # are skipped.

    Args:
        dataset: the folder of the data set that is made of them.

    Raises:
        LumosXError: a path does not exist or cannot be read, there is no video at all, or a folder of videos contains
            the data set, whose own clips would be taken for videos, or is in it.
    """
    ignored: set[Path] = set()
    files: set[Path] = set()
    for path in map(Path, paths):
        for file in _files_of(path, ignored, None if dataset is None else Path(dataset).resolve()):
            files.add(file)
    videos: dict[str, SourceVideo] = {}
    copies: list[tuple[Path, Path]] = []
    for path in sorted(files, key=os.fspath):
        video = SourceVideo(content_id(path), path)
        if video.id in videos and not filecmp.cmp(path, videos[video.id].path, shallow=False):
            video = SourceVideo(f"v{sha256_of(path)[:20]}", path)  # they differ only between the pieces
        if video.id in videos:
            copies.append((path, videos[video.id].path))
        else:
            videos[video.id] = video
    if not videos:
        others = f" None of the {len(ignored)} files there ends as a video does." if ignored else ""
        raise LumosXError(
            f"There is no video in {shown(', '.join(map(str, paths)) or 'nothing')}.{others} Give video files, folders "
            f"with videos, or .txt files with one path a line."
        )
    return FoundVideos(tuple(videos.values()), tuple(copies), tuple(sorted(ignored - files, key=os.fspath)))


def content_id(path: Path) -> str:
    """An id of a file's content, from its size and 16 pieces of it: whole films would take hours to read.

    Raises:
        LumosXError: the file cannot be read.
    """
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            if size <= _PIECE * _PIECES:
                digest.update(file.read())
            else:
                for number in range(_PIECES):
                    file.seek((size - _PIECE) * number // (_PIECES - 1))
                    digest.update(file.read(_PIECE))
    except OSError as error:
        raise LumosXError(f"{path} cannot be read ({error.strerror}). Check the path and its permissions.") from error
    return f"v{digest.hexdigest()[:20]}"


def _files_of(path: Path, ignored: set[Path], dataset: Path | None) -> Iterator[Path]:
    if path.is_dir():
        _keep_apart(path, dataset)
        yield from _videos_below(path.absolute(), ignored)
    elif path.is_file() and path.suffix.lower() == ".txt":
        yield from _listed(path.absolute(), ignored, dataset)
    elif path.is_file():
        yield path.absolute()
    else:
        raise LumosXError(f"There is no file or folder {shown(path)}. Check the path.")


def _keep_apart(folder: Path, dataset: Path | None) -> None:
    if dataset is None:
        return
    videos = folder.resolve()
    if dataset.is_relative_to(videos) or any(videos.is_relative_to(dataset / own) for own in ("samples", "stages")):
        raise LumosXError(
            f"The folder of videos {videos} has clips of the data set {dataset} in it, which would be taken for "
            f"videos. Choose an --out that is not in a folder of videos."
        )


def _videos_below(folder: Path, ignored: set[Path]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise LumosXError(f"{error.filename} cannot be read ({error.strerror}). Check its permissions.") from error

    for directory, below, names in os.walk(folder, onerror=refuse):
        links = {name for name in below if os.path.islink(os.path.join(directory, name))}  # they may lead in circles
        ignored.update(Path(directory, name) for name in links if not is_junk(name))
        below[:] = sorted(name for name in below if not is_junk(name) and name not in links)
        for name in names:
            path = Path(directory, name)
            if is_junk(name):
                continue
            if path.suffix.lower() in ENDINGS and path.is_file():
                yield path
            else:
                ignored.add(path)


def _listed(path: Path, ignored: set[Path], dataset: Path | None) -> Iterator[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise LumosXError(f"{path} is not a list of videos: it is not UTF-8 text. Save it as UTF-8.") from error
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        entry = path.parent / line
        if entry.suffix.lower() == ".txt" or not entry.exists():
            what = "is another list" if entry.exists() else "does not exist"
            raise LumosXError(f"{path}, line {number}: {shown(line)} {what}. Write the path of a video or of a folder.")
        yield from _files_of(entry, ignored, dataset)
