"""Fetches the released weights from the hub and puts them where ComfyUI looks for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from ....errors import LumosXError
from ....files.formats.dcp import METADATA
from ....files.hub import (
    RemoteFile,
    check_space,
    fetch,
    folder_in_cache,
    forget,
    is_there,
    list_files,
    matching,
    models_folder,
    need_packages,
    place,
    size_text,
)
from ....files.model_files import user_cache
from ...write_checkpoint import Precision, check_precision, conversion_bar
from .convert import convert
from .load import open_network

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
        MissingPackageError: huggingface-hub or tqdm is not installed; nothing has been fetched then.
        LumosXError: no connection, a file that is missing, damaged, ambiguous or another model, or too little space.
    """
    need_packages("The download", "huggingface-hub", "tqdm", "numpy")
    if text_encoder not in get_args(TextEncoder):
        raise LumosXError(f"text_encoder {text_encoder!r} is not possible. Use one of fp8, fp16.")
    check_precision(dtype)
    models = models_folder(destination, comfyui)
    cache = user_cache() if cache is None else Path(cache)

    say(
        f"The weights are your own download under their own licence; read it at "
        f"https://huggingface.co/{LUMOSX_REPOSITORY} and https://huggingface.co/{WAN_REPOSITORY}."
    )
    wan = list_files(WAN_REPOSITORY)
    plain = {}
    for folder, name in {"vae": VAE, "text_encoders": TEXT_ENCODERS[text_encoder]}.items():
        [plain[models / folder / PurePosixPath(name).name]] = matching(wan, WAN_REPOSITORY, name)
    network = models / "diffusion_models" / f"lumosx_{dtype}.safetensors"
    wanted = {path: remote for path, remote in plain.items() if overwrite or not is_there(path, remote)}
    fetch_network = overwrite or not network.exists()
    if not fetch_network:
        open_network(network)  # raises for a bad one: it was converted here, so the hub knows no checksum of it
    checkpoint, checkpoint_name = _choose(list_files(LUMOSX_REPOSITORY), file) if fetch_network else ([], "")

    converted = _RELEASED_VALUES * (1 if dtype == "fp8_e4m3fn" else 2) * 11 // 10
    converted = min(converted, sum(part.size for part in checkpoint))
    check_space(cache, models, list(wanted.values()), checkpoint, converted)
    for path in (*plain, network):
        path.parent.mkdir(parents=True, exist_ok=True)
    for path, remote in wanted.items():
        say(f"Fetching {remote.name} ({size_text(remote.size)})")
        place(fetch(remote, cache), path)
    if fetch_network:
        say(f"Fetching {checkpoint_name} of LumosX ({size_text(sum(part.size for part in checkpoint))})")
        for part in checkpoint:
            fetch(part, cache)
        root = folder_in_cache(checkpoint[0], cache)
        with conversion_bar() as progress:
            convert(root / checkpoint_name, network, dtype, origin="lumosx", overwrite=overwrite, progress=progress)
        open_network(network)
    forget(cache, (LUMOSX_REPOSITORY, WAN_REPOSITORY))
    for path in (*plain, network):
        say(f"{path}  (ComfyUI: models/{path.parent.name})")
    return [network, *plain]


def _choose(files: list[RemoteFile], wanted: str | None) -> tuple[list[RemoteFile], str]:
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
        choices = ", ".join(f"{n} ({size_text(sum(f.size for f in group))})" for n, group in candidates.items())
        raise LumosXError(f"{LUMOSX_REPOSITORY} holds several checkpoints: {choices}. Choose one with --file.")
    [(name, group)] = candidates.items()
    return group, name


def _candidates(files: list[RemoteFile]) -> dict[str, list[RemoteFile]]:
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


def _listing(files: Iterable[RemoteFile]) -> str:
    return ", ".join(file.name for file in sorted(files, key=lambda file: -file.size)[:8])
