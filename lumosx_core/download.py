"""Fetches the released weights from the hub and puts them where ComfyUI looks for them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from .atomic_file import atomic_file
from .checkpoint import open_network
from .convert import Precision, convert
from .dcp import METADATA
from .errors import LumosXError, MissingPackageError
from .model_files import user_cache

LUMOSX_REPOSITORY = "Alibaba-DAMO-Academy/LumosX"
WAN_REPOSITORY = "Comfy-Org/Wan_2.1_ComfyUI_repackaged"
VAE = "split_files/vae/wan_2.1_vae.safetensors"
TextEncoder = Literal["fp8", "fp16"]
TEXT_ENCODERS: dict[TextEncoder, str] = {
    "fp8": "split_files/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "fp16": "split_files/text_encoders/umt5_xxl_fp16.safetensors",
}

_CHECKPOINTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
# Networks that Wan repositories keep beside the transformer. Only a first choice: the content is judged later.
_COMPANIONS = re.compile(r"vae|t5|clip|text_encoder|tokenizer", re.IGNORECASE)
_RELEASED_VALUES = 1_418_996_800


@dataclass(frozen=True)
class _RemoteFile:
    """One file of a hub repository as the hub describes it."""

    repository: str
    commit: str
    name: str
    size: int
    sha256: str | None
    git_sha1: str | None


def download(
    destination: str | Path | None = None,
    *,
    comfyui: str | Path | None = None,
    dtype: Precision = "bf16",
    text_encoder: TextEncoder = "fp8",
    file: str | None = None,
    cache: str | Path | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Fetch LumosX, the Wan VAE and UMT5 from the hub, convert and check them, and put each in its folder.

    An interrupted download goes on where it stopped when it is started again: what has arrived waits in `cache`, and
    only whole, checked files enter the destination. Files that are there already are kept.

    Args:
        destination: folder that takes the place of ComfyUI's `models`; its sub-folders are made.
        comfyui: a ComfyUI folder, instead of `destination`.
        dtype: what LumosX is converted to: "bf16", "fp16" or "fp8_e4m3fn".
        text_encoder: UMT5 as "fp8" (6.7 GB) or "fp16" (11.4 GB).
        file: the file or DCP directory of the LumosX repository to take, where it holds several checkpoints.
        cache: folder of unfinished downloads; default `~/.cache/lumosx`.
        overwrite: replace files that are there already.
        say: takes each line of the report.

    Returns:
        The three files.

    Raises:
        MissingPackageError: huggingface-hub is not installed.
        LumosXError: no connection, a file that is missing, damaged, ambiguous or another model, or too little space.
    """
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("huggingface-hub", "lumosx download", error) from error
    if text_encoder not in get_args(TextEncoder):
        raise LumosXError(f"text_encoder {text_encoder!r} is not possible. Use one of fp8, fp16.")
    if dtype not in get_args(Precision):
        raise LumosXError(f"dtype {dtype!r} is not possible. Use one of {', '.join(get_args(Precision))}.")
    models = _models_folder(destination, comfyui)
    cache = user_cache() if cache is None else Path(cache)

    say(
        f"The weights are your own download under their own licence; read it at "
        f"https://huggingface.co/{LUMOSX_REPOSITORY} and https://huggingface.co/{WAN_REPOSITORY}."
    )
    wan = _list(WAN_REPOSITORY)
    plain = {
        models / "vae" / PurePosixPath(VAE).name: _named(wan, VAE),
        models / "text_encoders" / PurePosixPath(TEXT_ENCODERS[text_encoder]).name: _named(
            wan, TEXT_ENCODERS[text_encoder]
        ),
    }
    network = models / "diffusion_models" / f"lumosx_{dtype}.safetensors"
    wanted = {path: remote for path, remote in plain.items() if overwrite or not _is_there(path, remote)}
    fetch_network = overwrite or not network.exists()
    if not fetch_network:
        open_network(network)  # raises for a bad one: it was converted here, so the hub knows no checksum of it
    checkpoint, checkpoint_name = _choose(_list(LUMOSX_REPOSITORY), file) if fetch_network else ([], "")

    _check_space(cache, models, list(wanted.values()), checkpoint, dtype)
    for path in (*plain, network):
        path.parent.mkdir(parents=True, exist_ok=True)
    for path, remote in wanted.items():
        say(f"Fetching {remote.name} ({_gigabytes(remote.size)})")
        _place(_fetch(remote, cache), path)
    if fetch_network:
        say(f"Fetching {checkpoint_name} of LumosX ({_gigabytes(sum(part.size for part in checkpoint))})")
        for part in checkpoint:
            _fetch(part, cache)
        root = _folder(checkpoint[0], cache)
        convert(root / checkpoint_name, network, dtype, overwrite=overwrite)
        open_network(network)
    for repository in (LUMOSX_REPOSITORY, WAN_REPOSITORY):
        shutil.rmtree(cache / _flat(repository), ignore_errors=True)
    for path in (*plain, network):
        say(f"{path}  (ComfyUI: models/{path.parent.name})")
    return [network, *plain]


def _models_folder(destination: str | Path | None, comfyui: str | Path | None) -> Path:
    if (destination is None) == (comfyui is None):
        raise LumosXError("Say where the files should go: either a folder, or a ComfyUI folder with --comfyui.")
    if comfyui is None:
        return Path(destination)
    models = Path(comfyui) / "models"
    if not models.is_dir():
        raise LumosXError(f"{comfyui} has no folder 'models', so it is no ComfyUI. Give the folder with main.py in it.")
    return models


def _list(repository: str) -> list[_RemoteFile]:
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
    return [
        _RemoteFile(
            repository, info.sha, entry.rfilename, entry.size, getattr(entry.lfs, "sha256", None), entry.blob_id
        )
        for entry in info.siblings
        if ".." not in PurePosixPath(entry.rfilename).parts and not entry.rfilename.startswith("/")
    ]


def _named(files: list[_RemoteFile], name: str) -> _RemoteFile:
    for file in files:
        if file.name == name:
            return file
    raise LumosXError(
        f"{WAN_REPOSITORY} no longer holds {name!r}. Look for the file on its page and put it into ComfyUI by hand."
    )


def _choose(files: list[_RemoteFile], wanted: str | None) -> tuple[list[_RemoteFile], str]:
    """The files of one checkpoint, and the name of the file or directory they make."""
    candidates = _candidates(files)
    if wanted is not None:
        wanted = wanted.rstrip("/")
        inside = [file for file in files if file.name == wanted or file.name.startswith(f"{wanted}/")]
        if not inside:
            raise LumosXError(f"{LUMOSX_REPOSITORY} holds no {wanted!r}. It holds: {_listing(files)}.")
        return inside, wanted
    if not candidates:
        raise LumosXError(
            f"{LUMOSX_REPOSITORY} holds no checkpoint that is known ({', '.join(_CHECKPOINTS)}, or a DCP directory), "
            f"only: {_listing(files) or 'nothing'}. Name the right file with --file."
        )
    if len(candidates) > 1:
        choices = ", ".join(f"{n} ({_gigabytes(sum(f.size for f in group))})" for n, group in candidates.items())
        raise LumosXError(f"{LUMOSX_REPOSITORY} holds several checkpoints: {choices}. Choose one with --file.")
    [(name, group)] = candidates.items()
    return group, name


def _candidates(files: list[_RemoteFile]) -> dict[str, list[_RemoteFile]]:
    """Checkpoints in a listing: DCP directories, and single files that are no companion of the network."""
    directories: dict[PurePosixPath, PurePosixPath] = {}
    for directory in (PurePosixPath(file.name).parent for file in files if PurePosixPath(file.name).name == METADATA):
        # all, ema and model side by side are one checkpoint; averaged weights are preferred.
        nested = directory.name in ("all", "ema", "model")
        root = directory.parent if nested else directory
        directories[root] = min(directories.get(root, directory), directory, key=lambda path: path.name)
    candidates = {
        str(directory): [file for file in files if PurePosixPath(file.name).parent == directory]
        for directory in directories.values()
    }
    for file in files:
        if PurePosixPath(file.name).suffix in _CHECKPOINTS and not _COMPANIONS.search(file.name):
            candidates[file.name] = [file]
    return candidates


def _listing(files: Iterable[_RemoteFile]) -> str:
    return ", ".join(file.name for file in sorted(files, key=lambda file: -file.size)[:8])


def _is_there(path: Path, remote: _RemoteFile) -> bool:
    """Whether the file has been placed before; a different file of that name is an error."""
    if not path.exists():
        return False
    if path.stat().st_size != remote.size:
        raise LumosXError(
            f"{path} exists but is not the hub's file ({path.stat().st_size} bytes instead of {remote.size}). Move it "
            f"away, or replace it with --overwrite."
        )
    return True


def _check_space(
    cache: Path, models: Path, plain: list[_RemoteFile], checkpoint: list[_RemoteFile], dtype: Precision
) -> None:
    """Raise LumosXError unless everything fits on the disks of the cache and of the destination."""
    cache_disk, models_disk = _existing(cache), _existing(models)
    same = cache_disk.stat().st_dev == models_disk.stat().st_dev
    fetched = sum(file.size - _arrived(file, cache) for file in (*plain, *checkpoint))
    converted = min(
        sum(file.size for file in checkpoint), _RELEASED_VALUES * (1 if dtype == "fp8_e4m3fn" else 2) * 11 // 10
    )
    placed = converted + (0 if same else sum(file.size for file in plain))
    needs = [(cache_disk, fetched + placed)] if same else [(cache_disk, fetched), (models_disk, placed)]
    for folder, need in needs:
        free = shutil.disk_usage(folder).free
        if need > free:
            raise LumosXError(
                f"The disk of {folder} has {_gigabytes(free)} free, but {_gigabytes(need)} are needed. Free some "
                f"space, or choose another folder (--cache for unfinished downloads)."
            )


def _existing(path: Path) -> Path:
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)


def _flat(repository: str) -> str:
    return repository.replace("/", "--")


def _folder(file: _RemoteFile, cache: Path) -> Path:
    return cache / _flat(file.repository) / file.commit


def _paths(file: _RemoteFile, cache: Path) -> tuple[Path, Path]:
    """Where the whole, checked file lies, and where what has arrived of it."""
    whole = _folder(file, cache) / file.name
    return whole, whole.with_name(whole.name + ".part")


def _arrived(file: _RemoteFile, cache: Path) -> int:
    return max((path.stat().st_size for path in _paths(file, cache) if path.exists()), default=0)


def _fetch(file: _RemoteFile, cache: Path) -> Path:
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
            http_get(url, stream, resume_size=stream.tell(), headers=build_hf_headers(), expected_size=file.size)
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


def _check(file: _RemoteFile, path: Path) -> None:
    """Compare size and checksum with the hub's: SHA-256 of large files, git's SHA-1 of small ones."""
    if path.stat().st_size != file.size:
        raise LumosXError(f"{file.name} has {path.stat().st_size} bytes instead of {file.size}. Start again.")
    expected = file.sha256 or file.git_sha1
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != expected:
        raise LumosXError(
            f"{file.name} arrived damaged: its checksum is {digest.hexdigest()}, the hub says {expected}. It was "
            f"thrown away; start again."
        )


def _place(source: Path, destination: Path) -> None:
    """Move a checked file to its place, in one step also between two disks."""
    try:
        os.replace(source, destination)
    except OSError:
        with source.open("rb") as stream, atomic_file(destination) as file:
            shutil.copyfileobj(stream, file, 1 << 24)
        source.unlink()


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
