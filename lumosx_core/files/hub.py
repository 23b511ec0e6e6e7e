"""Files of hub repositories: listed, fetched with resuming, checked, and put in their place whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, cast

from ..errors import LumosXError, MissingPackageError
from .atomic_file import atomic_file
from .safe_names import is_safe_name


@dataclass(frozen=True)
class RemoteFile:
    """One file of a hub repository as the hub describes it."""

    repository: str
    commit: str
    name: str
    size: int
    sha256: str | None
    git_sha1: str | None


def need_packages(feature: str, *packages: str) -> None:
    """Raise MissingPackageError for the first of these packages that cannot be imported, before anything is fetched."""
    for package in packages:
        try:
            import_module(package.replace("-", "_"))
        except ImportError as error:
            raise MissingPackageError(package, feature, error) from error


def models_folder(destination: str | Path | None, comfyui: str | Path | None) -> Path:
    """The folder that takes the place of ComfyUI's `models`: `destination`, or the one in `comfyui`."""
    if (destination is None) == (comfyui is None):
        raise LumosXError("Say where the files should go: either a folder, or a ComfyUI folder with --comfyui.")
    if destination is not None:
        return Path(destination)
    assert comfyui is not None  # one of the two
    models = Path(comfyui) / "models"
    if not models.is_dir():
        raise LumosXError(
            f"{comfyui} does not look like a ComfyUI folder (no models/). Give the folder that contains main.py."
        )
    return models


def list_files(repository: str) -> list[RemoteFile]:
    """The files of a repository at its newest commit."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        info = HfApi().model_info(repository, files_metadata=True)
    except GatedRepoError as error:
        raise LumosXError(
            f"https://huggingface.co/{repository} asks for consent. Accept its terms there and run: hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise LumosXError(
            f"https://huggingface.co/{repository} is not found, or needs a login. Open the page; where it asks for a "
            f"login, run: hf auth login"
        ) from error
    except Exception as error:  # each version of the hub's client raises errors of another HTTP library
        raise LumosXError(
            f"{repository} could not be listed ({type(error).__name__}: {error}). Check the connection and start again."
        ) from error
    if not _HASH.fullmatch(str(info.sha)):
        raise LumosXError(f"{repository} is listed with a commit that is none ({str(info.sha)[:60]!r}). Start again.")
    files: dict[str, RemoteFile] = {}
    for entry in info.siblings or ():
        name, size = entry.rfilename, entry.size
        # What has no size, or a name that would lead elsewhere on some system, is nothing that is ever fetched.
        if not is_safe_name(name) or not isinstance(size, int) or not 0 <= size < 2**50:
            continue
        if name in files:
            raise LumosXError(f"{repository} lists {name!r} twice, and it is unknown which is right. Start again.")
        sha256, sha1 = getattr(entry.lfs, "sha256", None), entry.blob_id
        files[name] = RemoteFile(repository, str(info.sha), name, size, sha256, sha1)
    return list(files.values())


_HASH = re.compile(r"[0-9a-f]{7,64}")


class _Limited:
    """A file that takes no more bytes than were announced, whatever the server sends."""

    def __init__(self, stream: BinaryIO, size: int):
        self._stream, self._size = stream, size

    def write(self, data: bytes) -> int:
        if self._stream.tell() + len(data) > self._size:
            raise _TooMuch
        return self._stream.write(data)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


class _TooMuch(Exception):
    """More has come than the file has."""


def matching(files: Sequence[RemoteFile], repository: str, pattern: str) -> list[RemoteFile]:
    """The files of a listing with this name; * stands for any part of a name, but not for folders.

    Raises:
        LumosXError: there is none.
    """
    found = [file for file in files if file.name.count("/") == pattern.count("/") and fnmatchcase(file.name, pattern)]
    if not found:
        raise LumosXError(
            f"{repository} no longer holds {pattern!r}. Look for the file on its page and put it into ComfyUI by hand."
        )
    return found


def is_there(path: Path, remote: RemoteFile) -> bool:
    """Whether the file has been placed before; a different file of that name is an error."""
    if not path.exists():
        return False
    if path.stat().st_size != remote.size:
        raise LumosXError(
            f"{path} exists but is not the hub's file ({path.stat().st_size} bytes instead of {remote.size}). Move it "
            f"away, or replace it with --overwrite."
        )
    return True


def check_space(
    cache: Path,
    models: Path,
    plain: Sequence[RemoteFile],
    converted: Sequence[RemoteFile] = (),
    converted_size: int = 0,
) -> None:
    """Raise LumosXError unless everything fits on the disks of the cache and of the destination.

    Args:
        plain: files that are fetched into the cache and moved to the destination as they are.
        converted: files that stay in the cache while something of `converted_size` bytes is made of them.
    """
    cache_disk, models_disk = _existing(cache), _existing(models)
    same = cache_disk.stat().st_dev == models_disk.stat().st_dev
    fetched = sum(file.size - _arrived(file, cache) for file in (*plain, *converted))
    placed = converted_size + (0 if same else sum(file.size for file in plain))
    needs = [(cache_disk, fetched + placed)] if same else [(cache_disk, fetched), (models_disk, placed)]
    for folder, need in needs:
        free = shutil.disk_usage(folder).free
        if need > free:
            raise LumosXError(
                f"The disk of {folder} has {size_text(free)} free, but {size_text(need)} are needed. Free some "
                f"space, or choose another folder (--cache for unfinished downloads)."
            )


def _existing(path: Path) -> Path:
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)


def _flat(repository: str) -> str:
    return repository.replace("/", "--")


def folder_in_cache(file: RemoteFile, cache: Path) -> Path:
    """Where the files of its repository lie while they are fetched, under their names there."""
    return cache / _flat(file.repository) / file.commit


def _paths(file: RemoteFile, cache: Path) -> tuple[Path, Path]:
    """Where the whole, checked file lies, and where what has arrived of it."""
    whole = folder_in_cache(file, cache) / file.name
    return whole, whole.with_name(whole.name + ".part")


def _arrived(file: RemoteFile, cache: Path) -> int:
    return max((path.stat().st_size for path in _paths(file, cache) if path.exists()), default=0)


def fetch(file: RemoteFile, cache: Path) -> Path:
    """Download one file, going on where an earlier try stopped, and check it."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    whole, part = _paths(file, cache)
    if whole.exists():
        return whole
    part.parent.mkdir(parents=True, exist_ok=True)
    url = hf_hub_url(file.repository, file.name, revision=file.commit)
    try:
        # The hub's client keeps nothing of an interrupted file between two runs, so the part file is kept here.
        with part.open("ab") as stream:
            if stream.tell() > file.size:
                stream.truncate(0)
            limited = cast("BinaryIO", _Limited(stream, file.size))
            http_get(url, limited, resume_size=stream.tell(), headers=build_hf_headers(), expected_size=file.size)
    except _TooMuch as error:
        part.unlink(missing_ok=True)
        raise LumosXError(
            f"{file.name} is not what the hub lists: more than its {file.size} bytes were sent. It was thrown away; "
            f"start again, and if that happens again, put the file into ComfyUI by hand."
        ) from error
    except Exception as error:  # each version of the hub's client raises errors of another HTTP library
        size = part.stat().st_size if part.exists() else 0
        raise LumosXError(
            f"{file.name} could not be fetched: {type(error).__name__}: {error}. {size} of {file.size} bytes have "
            f"arrived and are kept in {cache}; start again to go on from there."
        ) from error
    try:
        _check(file, part)
    except LumosXError:
        part.unlink()
        raise
    os.replace(part, whole)
    return whole


def _check(file: RemoteFile, path: Path) -> None:
    """Compare size and checksum with the hub's: SHA-256 of large files, git's SHA-1 of small ones."""
    if path.stat().st_size != file.size:
        raise LumosXError(f"{file.name} has {path.stat().st_size} bytes instead of {file.size}. Start again.")
    expected = file.sha256 or file.git_sha1
    if not expected:
        raise LumosXError(f"The hub gives no checksum of {file.name}, so it cannot be checked. Fetch it by hand.")
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != expected:
        raise LumosXError(
            f"{file.name} arrived damaged: its checksum is {digest.hexdigest()}, the hub says {expected}. It was "
            f"thrown away; start again."
        )


def place(source: Path, destination: Path) -> None:
    """Move a checked file to its place, in one step also between two disks."""
    try:
        os.replace(source, destination)
    except OSError:
        with source.open("rb") as stream, atomic_file(destination) as file:
            shutil.copyfileobj(stream, file, 1 << 24)
        source.unlink()


def forget(cache: Path, repositories: Iterable[str]) -> None:
    """Delete what the cache still holds of these repositories."""
    for repository in repositories:
        shutil.rmtree(cache / _flat(repository), ignore_errors=True)


def size_text(size: int) -> str:
    """A number of bytes for people, such as "2.84 GB"."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
