"""What the formats of other trainers have in common, and which there are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file
from lumosx_core.media.images import to_pil

from ..data.samples import RawSample
from .owned_images import OwnedImage


@dataclass(frozen=True, eq=False)
class ExportedSample:
    """One sample, its video written.

    Args:
        name: of its files, such as "000012".
        video: relative to the folder of the data set, with forward slashes.
    """

    name: str
    sample: RawSample
    images: Sequence[OwnedImage]
    video: str

    @property
    def caption(self) -> str:
        return self.sample.case.prompt


class TrainerFormat(Protocol):
    """The data set of one trainer.

    Attributes:
        name: as the command line has it.
        videos: the folder in which it wants videos, relative to the data set.
        lost: what of a scene it cannot carry, in a sentence.
    """

    name: str
    videos: str
    lost: str

    def write_sample(self, root: Path, exported: ExportedSample) -> Mapping[str, Any]:
        """Write what the sample needs beside its video.

        Returns: what `write_index` needs of it, as JSON values.

        Raises:
            LumosXError: the trainer cannot take this sample.
        """

    def write_index(self, root: Path, entries: Sequence[Mapping[str, Any]]) -> list[Path]:
        """Write the files that list all samples."""


def trainer_format(name: str) -> TrainerFormat:
    """A format by its name; raises LumosXError for an unknown one."""
    from .ai_toolkit import AiToolkit
    from .diffsynth import DiffSynth
    from .ltx import Ltx
    from .musubi_tuner import MusubiTuner

    formats: list[TrainerFormat] = [MusubiTuner(), AiToolkit(), DiffSynth(), Ltx()]
    for each in formats:
        if each.name == name:
            return each
    raise LumosXError(f"format is {name!r}, expected one of: {', '.join(each.name for each in formats)}.")


FORMATS = ("musubi-tuner", "ai-toolkit", "diffsynth", "ltx")


def write_image(path: Path, image: Tensor) -> None:
    """Write an (H, W, 3) image of 0..1 as a PNG, whole or not at all."""
    with atomic_file(path) as file:
        to_pil(image).save(file, format="PNG")


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write JSON lines, in UTF-8 and with every character as itself."""
    with atomic_file(path) as file:
        for row in rows:
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
    return path
