"""Settings of a cache, and the header that records them: weights and settings of two caches never mix."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file
from lumosx_core.files.file_hash import sha256_of
from lumosx_core.files.model_files import ModelFiles
from lumosx_core.models.family import ModelFamily
from lumosx_core.models.lumosx.lumosx_family import LUMOSX
from lumosx_core.models.lumosx.lumosx_training import LUMOSX_TRAINING
from lumosx_core.models.lumosx.spec import SPEC
from lumosx_core.models.trainable import TrainableFamily
from lumosx_core.own_command import own_command

from ..data.clips import ClipSettings

FORMAT = 1
HEAD = "cache.json"
AUGMENTATIONS = ("none", "paper", "code")
STORED = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True)
class CacheSettings:
    """How samples are turned into latents.

    Args:
        frames, sizes: lengths and (height, width) that a clip may have, see `ClipSettings`; no sizes: the video's own.
        variants: differently augmented copies of the reference images, at least 1.
        augment: "paper", "code" (see augment.py) or "none".
        seed: of the augmentation.
        dtype: what is stored. Latents are normalised and encoded words are moderate, so float16 never overflows and
            is eight times finer than bfloat16 at the same size.
        family: of the model that is trained.
        recipe: how it is trained.

    Raises:
        LumosXError: a value that is not possible.
    """

    frames: tuple[int, ...] = (SPEC.frames,)
    sizes: tuple[tuple[int, int], ...] = ((SPEC.height, SPEC.width),)
    variants: int = 1
    augment: str = "paper"
    seed: int = 0
    dtype: str = "float16"
    family: ModelFamily = LUMOSX
    recipe: TrainableFamily = LUMOSX_TRAINING

    def __post_init__(self):
        clip = self.clip
        object.__setattr__(self, "frames", clip.frames)
        object.__setattr__(self, "sizes", clip.sizes)
        if self.augment not in AUGMENTATIONS:
            raise LumosXError(f"augment is {self.augment!r}. Use one of: {', '.join(AUGMENTATIONS)}.")
        if self.augment not in self.recipe.augmentations:
            raise LumosXError(
                f"augment is {self.augment!r}, but the images of {self.family.spec.name} are not augmented. Use "
                f"{', '.join(self.recipe.augmentations)}."
            )
        if self.dtype not in STORED:
            raise LumosXError(f"dtype is {self.dtype!r}. Use one of: {', '.join(STORED)}.")
        if self.variants < 1:
            raise LumosXError(f"variants is {self.variants}, expected 1 or more. Use 1.")
        if self.augment == "none" and self.variants > 1:
            raise LumosXError(
                f"{self.variants} variants without augmentation would be equal. Use 1 variant, or an augmentation."
            )

    @property
    def stored(self) -> dict[str, Any]:
        """The settings that the head of a cache records; the family is recorded by its name."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("family", "recipe")}

    @cached_property
    def clip(self) -> ClipSettings:
        """How a source reads its videos for this cache."""
        spec = self.family.spec
        return ClipSettings(frames=self.frames, sizes=self.sizes, fps=spec.frames_per_second, spec=spec)


def prepare_head(directory: Path, files: ModelFiles, settings: CacheSettings) -> None:
    """Write the header of a new cache, or check that an existing one was made with the same weights and settings.

    Raises:
        LumosXError: it was made with others, or the folder is used for something else.
    """
    for kind, path in (("VAE", files.vae), ("text encoder", files.text_encoder)):
        if not path.exists():
            raise LumosXError(f"There is no {kind} at {str(path)!r}. Check the path.")
    wanted = {
        "format": FORMAT,
        "vae": _hash_of(files.vae),
        "text_encoder": _hash_of(files.text_encoder),
        **{kind: _hash_of(path) for kind, path in files.companions.items()},
        "family": settings.family.spec.name,
        "settings": json.loads(json.dumps(settings.stored)),
    }
    path = directory / HEAD
    if not path.exists():
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise LumosXError(f"{directory} is in use and does not contain a cache. Choose a new or an empty folder.")
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LumosXError(f"The folder {directory} cannot be created: {error.strerror}. Choose another.") from error
        with atomic_file(path) as file:
            file.write(json.dumps(wanted, indent=1).encode())
    header = read_head(directory)
    differences = [
        *(["model family"] if header["family"] != wanted["family"] else []),
        *(
            f"{name.replace('_', ' ')} file"
            for name in ("vae", "text_encoder", *files.companions)
            if header.get(name) != wanted[name]
        ),
        *(
            f"{name} ({header['settings'].get(name)} there, {value} now)"
            for name, value in wanted["settings"].items()
            if header["settings"].get(name) != value
        ),
    ]
    if differences:
        raise LumosXError(
            f"The cache {directory} was made with another {', '.join(differences)}. Use what it was made with, or give "
            f"a new folder."
        )


def _hash_of(path: Path) -> str:
    """The hash of a file, or of the files below a folder with their names."""
    if path.is_file():
        return sha256_of(path)
    total = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        total.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode())
    return total.hexdigest()


def read_head(directory: Path) -> dict:
    """The header of a cache: format, family, sha256 of "vae" and "text_encoder", settings.

    Raises:
        LumosXError: there is no cache, or one of another version.
    """
    path = directory / HEAD
    try:
        head = json.loads(path.read_bytes())
        version = head["format"]
        if not isinstance(head["settings"], dict):
            raise ValueError("no settings")
    except FileNotFoundError as error:
        raise LumosXError(
            f"There is no cache in {directory}. Make one: {own_command('cache', 'SOURCE', directory)}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise LumosXError(f"The header of the cache, {path}, is damaged ({error}). Build the cache again.") from error
    if version != FORMAT:
        raise LumosXError(f"The cache {directory} has format {version}; this version reads {FORMAT}. Build it again.")
    head.setdefault("family", LUMOSX.spec.name)  # caches of earlier versions know no other
    return head
