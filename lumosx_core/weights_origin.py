"""Whether a file's weights were trained for LumosX, as far as the file says so.

LumosX and plain Wan2.1 text-to-video have the same tensors. Only what writes a file can say which it is, in its
metadata: `lumosx download`, `lumosx convert` and training do. Of other files the name is all there is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from .errors import LumosXError

Origin = Literal["lumosx", "wan", "unknown"]
RELEASED_DIM = 1536

_LUMOSX = re.compile(r"lumos[-_ ]?x", re.IGNORECASE)
# wan2.1_t2v_1.3B_bf16, Wan2_1-T2V-1_3B, wan2.2_..., wanvideo_..., Wan14B...
_WAN = re.compile(r"(?<![a-z])wan(?![a-z])|(?<![a-z])wan(video|t2v)|t2v[-_.]?(1[._]3b|14b)", re.IGNORECASE)


def origin_of(path: str | Path) -> Origin:
    """What a model file says of itself.

    Its name, and the name of the file it was converted from, come first: who converts plain Wan2.1 gets a file with our
    metadata. Then the metadata: everything that LumosX writes has keys of its own.
    """
    path = Path(path)
    metadata = metadata_of(path)
    names = [path.stem, metadata.get("lumosx_source", ""), metadata.get("modelspec.title", "")]
    if any(map(_LUMOSX.search, names)):
        return "lumosx"
    if any(map(_WAN.search, names)):
        return "wan"
    return "lumosx" if any(key.startswith("lumosx_") for key in metadata) else "unknown"


def origin_warning(name: str, origin: Origin, dim: int) -> str | None:
    """What the artist is to know of a model before a long run, if anything.

    Args:
        name: of the file.
        dim: width of the network.
    """
    if dim == 5120:
        return (
            f"{name}: this is a 14B network (width 5120); LumosX's released weights are for the 1.3B one (width "
            f"{RELEASED_DIM}). It sees the reference images, but was not trained to keep who wears what apart."
        )
    if origin == "wan":
        return (
            f"{name} is plain Wan2.1, by its name: it was not trained for LumosX, and will hardly follow the reference "
            f"images. Choose LumosX's weights, such as lumosx_bf16.safetensors."
        )
    if origin == "unknown":
        return (
            f"It cannot be told whether {name} was trained for LumosX: it has the tensors of plain Wan2.1, which does "
            f"not follow reference images. A file that `lumosx download` or `lumosx convert` writes says what it is."
        )
    return None


def metadata_of(path: Path) -> Mapping[str, str]:
    """The metadata in the header of a safetensors file; none for other files.

    Raises:
        LumosXError: the header is damaged.
    """
    if path.suffix.lower() not in (".safetensors", ".sft"):
        return {}
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        try:
            if size > 100_000_000:
                raise ValueError(f"a header of {size} bytes")
            return json.loads(file.read(size)).get("__metadata__", {})
        except ValueError as error:
            raise LumosXError(f"{path} is damaged: its header cannot be read ({error}). Get the file again.") from error
