"""Download of the models that read photos, into the folders where ComfyUI's packs look for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from ...files.hub import (
    RemoteFile,
    check_space,
    fetch,
    forget,
    is_there,
    list_files,
    matching,
    models_folder,
    need_packages,
    place,
    size_text,
)
from ...files.model_files import user_cache
from .known import PhotoModel, photo_model


def download_photo_models(
    names: Iterable[str],
    destination: str | Path | None = None,
    *,
    comfyui: str | Path | None = None,
    cache: str | Path | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Fetch models of the table from the hub, check them, and put each in its folder.

    An interrupted download goes on where it stopped when it is started again: what has arrived waits in `cache`. A
    model enters the destination when all of it is there and checked; of a folder config.json comes last, by which it
    is known. Files that are there already are kept.

    Args:
        names: of `known_models.PHOTO_MODELS`; `known_models.DEFAULTS` are what a scene is made with.
        destination: folder that takes the place of ComfyUI's `models`; its sub-folders are made.
        comfyui: a ComfyUI folder, instead of `destination`.
        cache: folder of unfinished downloads; default `~/.cache/lumosx`.
        overwrite: replace files that are there already.
        say: takes each line of the report, the licence before each model.

    Returns:
        The file or folder of each model.

    Raises:
        MissingPackageError: huggingface-hub is not installed.
        LumosXError: an unknown name, no connection, a file that is missing or damaged, or too little space.
    """
    need_packages("The download", "huggingface-hub")
    models = [photo_model(name) for name in dict.fromkeys(names)]
    root = models_folder(destination, comfyui)
    cache = user_cache() if cache is None else Path(cache)

    wanted = {}
    for model in models:
        files = _files_of(model, root)
        wanted[model] = {path: file for path, file in files.items() if overwrite or not is_there(path, file)}
    check_space(cache, root, [file for files in wanted.values() for file in files.values()])
    for model, files in wanted.items():
        say(f"{model.name} is your own download: {model.licence}. Read https://huggingface.co/{model.repository}")
        if files:
            say(f"Fetching {model.name} ({size_text(sum(file.size for file in files.values()))})")
            _place_all(files, cache)
    forget(cache, {model.repository for model in models})
    for model in models:
        say(f"{model.path_in(root)}  (ComfyUI: models/{model.folder})")
    return [model.path_in(root) for model in models]


def _files_of(model: PhotoModel, root: Path) -> dict[Path, RemoteFile]:
    """What a model consists of at its repository's newest commit, by the place each file takes."""
    listing = list_files(model.repository)
    files = [file for pattern in model.files for file in matching(listing, model.repository, pattern)]
    return {root / model.folder / PurePosixPath(file.name).name: file for file in files}


def _place_all(files: dict[Path, RemoteFile], cache: Path) -> None:
    """Fetch all files, then move them to their places, so that a folder appears whole."""
    arrived = {path: fetch(file, cache) for path, file in files.items()}
    for path in arrived:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "config.json":  # an older one must not vouch for a mixture of old and new files
            path.unlink(missing_ok=True)
    for path in sorted(arrived, key=lambda path: path.name == "config.json"):
        place(arrived[path], path)
