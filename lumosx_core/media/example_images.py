"""The images that come with the program, for trying it without any of one's own."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ..errors import LumosXError
from ..shipped import shipped
from .image_kinds import SUFFIXES
from .images import read_picture

EXAMPLES = shipped("examples")
SUFFIX = " [lumosx]"  # marks an example among the artist's own images, as " [output]" marks an image of ComfyUI's


def example_pictures() -> list[str]:
    """Names of the images: their paths below `examples/`, such as "two_people/subjects/2/face_man.png"."""
    files = (path for path in EXAMPLES.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path.relative_to(EXAMPLES).as_posix() for path in files)


def read_example(name: str) -> Tensor:
    """One of `example_pictures`, (H, W, 3) float32, 0..1.

    Raises:
        LumosXError: there is none of this name.
    """
    return read_picture(example_path(name))


def example_path(name: str) -> Path:
    """The file of one of `example_pictures`; also with SUFFIX behind the name.

    Raises:
        LumosXError: there is none of this name.
    """
    name = name.removesuffix(SUFFIX)
    if name not in (names := example_pictures()):
        have = f"expected one of {', '.join(names)}" if names else f"and there is none in {EXAMPLES}"
        raise LumosXError(f"There is no example image {name!r}, {have}. Install LumosX again if it should be there.")
    return EXAMPLES / name
