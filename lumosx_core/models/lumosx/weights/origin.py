"""Whether a file's weights were trained for LumosX, as far as that can be known.

LumosX and plain Wan2.1 text-to-video have the same tensors. What can tell them apart: the metadata that we write, the
checksums of the published files of plain Wan2.1, and, last, the name of a file.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ....files.safetensors_file import read_header
from ....own_command import own_command
from ..config import CUSTOM_PRESET, PHANTOM_PRESET, RELEASED_PRESET

Origin = Literal["lumosx", "lumosx by name", "wan", "wan by name", "phantom by name", "unknown"]
ORIGIN = "lumosx_origin"  # in the metadata of a file that was made from another one: `noted_origin` of that one
CERTAIN: tuple[Origin, ...] = ("lumosx", "wan")
RELEASED_DIM, LARGE_DIM = 1536, 5120

_LUMOSX = re.compile(r"lumos[-_ ]?x", re.IGNORECASE)
# wan2.1_t2v_1.3B_bf16, Wan2_1-T2V-1_3B, wan2.2_..., wanvideo_..., Wan14B...
_WAN = re.compile(r"(?<![a-z])wan(?![a-z])|(?<![a-z])wan(video|t2v)|t2v[-_.]?(1[._]3b|14b)", re.IGNORECASE)

_PHANTOM = re.compile(r"phantom", re.IGNORECASE)  # Phantom-Wan-1_3B_fp16, Wan2_1_Phantom_14B, ...

# SHA-256 of Wan2.1-T2V-1.3B as its authors (float32) and Comfy-Org (fp16, bf16) publish it.
_PLAIN_WAN = {
    "96b6b242ca1c2f24e9d02cd6596066fab6d310e2d7538f33ae267cb18d957e8f",
    "be531024cd9018cb5b48c40cfbb6a6191645b1c792eb8bf4f8c1c6e10f924dc5",
    "6f999b0d6cb9a72b3d98ac386ed96f57f8cecae13994a69232514ea4974ad5fd",
}
# Of 5,676,070,424 and 2,838,303,560 bytes, and bf16 about as many as fp16. Other sizes need no checksum.
_PLAIN_WAN_SIZES = (range(5_676_000_000, 5_677_000_000), range(2_838_000_000, 2_840_000_000))


def origin_of(path: str | Path) -> Origin:
    """What is known of a model file.

    First comes what our own conversion noted; then the name, and the name of the file that it was converted from; then
    the rest of our metadata. Checksums find plain Wan2.1 under another name.

    Raises:
        LumosXError: the header is damaged.
    """
    path = Path(path)
    metadata = metadata_of(path)
    noted = metadata.get(ORIGIN)
    if noted in CERTAIN:
        return noted
    ours = noted is None and any(key.startswith("lumosx_") for key in metadata)
    names = [path.stem, metadata.get("lumosx_source", ""), metadata.get("modelspec.title", "")]
    if any(map(_LUMOSX.search, names)):
        if (
            ours or os.path.isdir(path) or path.suffix in (".pt", ".pth")
        ):  # plain Wan2.1 is not published in these forms
            return "lumosx"
        return "wan" if is_plain_wan(path) else "lumosx by name"
    if any(map(_PHANTOM.search, names)):
        return "phantom by name"
    if any(map(_WAN.search, names)):
        return "wan by name"
    if ours:
        return "lumosx"
    return "wan" if is_plain_wan(path) else "unknown"


def noted_origin(path: str | Path) -> str:
    """What a file that is made from another one says of it in its metadata, as `ORIGIN`."""
    origin = origin_of(path)
    return origin if origin in CERTAIN else "wan" if origin == "wan by name" else "unknown"


def origin_warning(
    name: str, origin: Origin, dim: int, comfyui: str | Path, preset: str = RELEASED_PRESET
) -> str | None:
    """What the artist should know of a model before a long run, if anything.

    Args:
        name: of the file.
        dim: width of the network.
        comfyui: ComfyUI's base folder, for the command that downloads the released weights.
        preset: that it is run with; see `preset_options`.
    """
    if preset == CUSTOM_PRESET:
        return None  # an experiment with whatever weights
    if preset == PHANTOM_PRESET:
        return _not_phantom(name, origin)
    if origin == "phantom by name":
        return (
            f"{name} is Phantom, by its name. It was not trained with LumosX's parts, nor with its integer timesteps. "
            f"Load it with Load Diffusion Model, and choose the preset Phantom in LumosX Apply behind it."
        )
    if dim == LARGE_DIM:
        return (
            f"{name} is a 14B network (width {LARGE_DIM}); LumosX's released weights are for the 1.3B one (width "
            f"{RELEASED_DIM}). It sees the reference images, but was not trained to keep who wears what apart."
        )
    command = own_command("download", "--comfyui", comfyui)
    choose = f"LumosX's own weights, such as lumosx_bf16.safetensors, can be downloaded with: {command}"
    if origin in ("wan", "wan by name"):
        how = "by its name" if origin == "wan by name" else "whatever its name: its content is the published one"
        return (
            f"{name} is plain Wan2.1, {how}. It was not trained for LumosX and will hardly follow the reference "
            f"images. {choose}"
        )
    if origin == "lumosx by name":
        return (
            f"Only its name says that {name} was trained for LumosX; its content cannot show it. If the video follows "
            f"the reference images, all is well. {choose}"
        )
    if origin == "unknown":
        return (
            f"It is unknown whether {name} was trained for LumosX: plain Wan2.1, which does not follow reference "
            f"images, has the same tensors. If the video follows them, all is well. {choose}"
        )
    return None


def _not_phantom(name: str, origin: Origin) -> str | None:
    """A warning about weights that are known not to be Phantom's, for its preset."""
    if origin in ("lumosx", "lumosx by name"):
        return (
            f"{name} was trained for LumosX, but the preset Phantom turns LumosX's parts off. Choose the preset LumosX "
            f"released in LumosX Apply, or load Phantom's weights."
        )
    if origin in ("wan", "wan by name"):
        return (
            f"{name} is plain Wan2.1, not Phantom: it was not trained with reference images and will hardly follow "
            f"them. Load Phantom's weights."
        )
    return None


def is_plain_wan(path: Path) -> bool:
    """Whether a file is one of the published files of plain Wan2.1-T2V-1.3B, under whatever name.

    Reads a file of their size once, which takes some seconds, and no other file.
    """
    if not os.path.isfile(path):
        return False
    about = path.stat()
    if not any(about.st_size in sizes for sizes in _PLAIN_WAN_SIZES):
        return False
    return _checksum(path, about.st_size, about.st_mtime_ns) in _PLAIN_WAN


@lru_cache(maxsize=64)
def _checksum(path: Path, size: int, changed: int) -> str:
    checksum = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            checksum.update(part)
    return checksum.hexdigest()


def metadata_of(path: Path) -> Mapping[str, str]:
    """The metadata in the header of a safetensors file; none for other files.

    Raises:
        LumosXError: the header is damaged.
    """
    if path.suffix.lower() not in (".safetensors", ".sft"):
        return {}
    return read_header(path).metadata
