"""What cache and trainer ask of a model family, beside what `ModelFamily` says."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ..errors import LumosXError
from ..files.model_files import ModelFiles
from ..files.stored_tensor import StoredTensor
from ..scene.case_folder import Case
from ..scene.layout import ReferenceLayout
from .family import ModelFamily

Note = Callable[[str, Tensor], None]
"""Receives the name of a number for the log, and the number, a scalar."""
Conditions = TypeVar("Conditions", bound="TrainingConditions")


class TrainingConditions(Protocol):
    """What a network is given of the scenes of one or several clips, beside their text."""

    @property
    def layout(self) -> ReferenceLayout:
        """How many images or faces of whom: clips of one batch are alike in it."""
        ...

    def map(self: Conditions, change: Callable[[Tensor], Tensor]) -> Conditions:
        """The same with `change` applied to each tensor."""
        ...


@dataclass(frozen=True, eq=False)
class ClipParts:
    """What a cache stores of the scene of a clip.

    Args:
        tensors: by name; of each variant of reference images as "references.VARIANT".
        record: plain values, by name.
        variants: of the reference images; 0: the family conditions on something else.
    """

    tensors: Mapping[str, Tensor]
    layout: ReferenceLayout
    record: Mapping[str, Any] = field(default_factory=dict)
    variants: int = 0


class PartsEncoder(Protocol):
    """Encodes the scenes of clips for a cache."""

    def prepare(self, case: Case, prompt: str, video: Tensor, masks: Tensor | None) -> Any:
        """Check a scene and fit its images.

        Args:
            prompt: the cleaned caption.
            video: (F, H, W, 3) in 0..1.
            masks: (faces, F, H, W) in 0..1, which pixels show whose face; None: not known.

        Raises:
            LumosXError: the scene cannot be used.
        """
        ...

    def encode(self, prepared: Sequence[Any]) -> list[ClipParts]:
        """Encode prepared scenes."""
        ...


class TrainableSettings(Protocol):
    """What every table `[model]` has."""

    @property
    def file(self) -> str | None:
        """The checkpoint that training starts from."""
        ...

    @property
    def text_len(self) -> int:
        """Tokens that the text is padded to."""
        ...

    @property
    def dtype(self) -> str:
        """Of weights that are not trained."""
        ...

    @property
    def family(self) -> str:
        """By its name in `families.TRAINABLE`."""
        ...

    @property
    def shuffle_references(self) -> bool:
        """Whether reference images come in random order, each as a group of its own."""
        ...

    def check(self, steps: int, *, lora: bool) -> None:
        """Raise LumosXError where these settings do not fit to the rest of a run."""
        ...


class TrainableFamily(Protocol):
    """How a family is trained."""

    family: ModelFamily
    settings: type[Any]
    """The dataclass of the config's table `[model]`, a TrainableSettings."""
    sizes: tuple[tuple[int, int], ...]
    """(height, width) that clips of the release have."""
    tiny_frames: tuple[int, ...]
    """Lengths that clips of the built-in miniature have."""
    augmentations: tuple[str, ...]
    """The augmentations of reference images that a cache can have, the usual one first."""
    companions: tuple[str, ...]
    """The kinds of networks that a cache is made with beside VAE and text encoder."""
    previews: bool
    """Whether sample videos can be made during training."""

    def parts_encoder(
        self, files: ModelFiles, vae: Any, text_encoder: Any, device: torch.device
    ) -> PartsEncoder | None:
        """What encodes the scenes of clips; None: as reference images, the way that a cache does it by itself."""
        ...

    def conditions(self, tensors: Mapping[str, Tensor], layout: ReferenceLayout, record: Mapping[str, Any]) -> Any:
        """The conditions of one clip from what a cache has stored of it.

        Raises:
            LumosXError: shapes that no clip has.
        """
        ...

    def collate(self, conditions: Sequence[Any]) -> Any:
        """Those of several clips together."""
        ...

    def text(self, text: Tensor, length: int) -> Tensor:
        """An encoded caption (J, text_dim) as a network that reads `length` tokens takes it.

        Raises:
            LumosXError: it has more.
        """
        ...

    def shortened(self, conditions: Any, length: int) -> Any:
        """The conditions of one clip for a network that reads `length` tokens of text.

        Raises:
            LumosXError: its caption has more.
        """
        ...

    def check_data(self, dropout: Mapping[str, float]) -> None:
        """Raise LumosXError for a kind of dropout of reference images (setting -> fraction) that is not possible."""
        ...

    def network(self, settings: Any) -> nn.Module:
        """The network that training starts from, on the CPU; parameters that are not trained have no gradients.

        Raises:
            LumosXError: the file cannot be read or is another network, or nothing of that name is trained.
        """
        ...

    def options(self, settings: Any, step: int, device: torch.device) -> Any:
        """The switches of a forward pass in a step (0, 1, ...)."""
        ...

    def losses(
        self,
        model: nn.Module,
        video: Tensor,
        text: Tensor,
        conditions: Any,
        noise: Tensor,
        timestep: Tensor,
        options: Any,
        note: Note,
    ) -> Tensor:
        """The loss of each clip.

        Args:
            video: (B, C, T, h, w) clean latents.
            text: (B, J, text_dim).
            noise: as `video`.
            timestep: (B,), 0 to 1000 with fractions.
            note: receives parts of the loss for the log.

        Returns:
            (B,) float32.
        """
        ...

    def export_facts(self, settings: Any) -> dict[str, Any]:
        """What a finished file records about how it was trained, beside the number of steps."""
        ...

    def exported(
        self,
        settings: Any,
        network: nn.Module,
        frozen: Mapping[str, StoredTensor],
        weights: Mapping[str, StoredTensor],
    ) -> tuple[Mapping[str, StoredTensor], Mapping[str, str]]:
        """The tensors of a finished file, and what its metadata must say for it to be read.

        Args:
            network: what was trained.
            frozen: name -> each parameter that was not.
            weights: name -> the value of each trained parameter in the file.
        """
        ...


def trained_names(names: Sequence[str], patterns: Sequence[str], untouched: Sequence[str] = ()) -> set[str]:
    """The names that match a pattern such as "router.*"; without patterns all.

    Args:
        untouched: names that only a pattern without wildcards matches.

    Raises:
        LumosXError: a pattern matches nothing.
    """
    if not patterns:
        return set(names) - set(untouched)
    found: set[str] = set()
    for pattern in patterns:
        matching = [name for name in fnmatch.filter(names, pattern) if name == pattern or name not in untouched]
        if not matching:
            parts = ", ".join(sorted({name.split(".")[0] for name in names}))
            raise LumosXError(f"model.train has {pattern!r}, which no parameter is called. Its parts are {parts}.")
        found |= set(matching)
    return found


def require_setting(fits: object, name: str, value: object, expected: str) -> None:
    """Raise LumosXError for a setting that is not possible, or a number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        fits = False
    if not fits:
        statement = f"{name} is {value!r}" if isinstance(value, int | float | str | list | tuple | None) else name
        raise LumosXError(f"{statement}, expected {expected}.")
