"""The model families by name; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import LumosXError

if TYPE_CHECKING:
    from .family import ModelFamily
    from .trainable import TrainableFamily
    from .video_pipeline import VideoSettings

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class FamilyEntry:
    """What a program needs to make videos with a family.

    Args:
        settings: with the released values as defaults.
        tiny_directory: of the built-in miniature, laid out as ComfyUI's models folder.
        tiny_settings: what the miniature was trained on, as far as it differs from the release.
    """

    family: ModelFamily
    settings: type[VideoSettings]
    tiny_directory: Path
    tiny_settings: Mapping[str, Any]


def _lumosx() -> FamilyEntry:
    from .lumosx.lumosx_family import LUMOSX
    from .lumosx.pipeline import Settings
    from .lumosx.tiny import TINY_DIRECTORY, TINY_SETTINGS

    return FamilyEntry(LUMOSX, Settings, TINY_DIRECTORY, TINY_SETTINGS)


def _ingredients() -> FamilyEntry:
    from .ingredients.ingredients_family import INGREDIENTS
    from .ingredients.pipeline import IngredientsSettings
    from .ingredients.tiny import TINY_DIRECTORY, TINY_SETTINGS

    return FamilyEntry(INGREDIENTS, IngredientsSettings, TINY_DIRECTORY, TINY_SETTINGS)


def _lumosx_training() -> TrainableFamily:
    from .lumosx.lumosx_training import LUMOSX_TRAINING

    return LUMOSX_TRAINING


def _ingredients_training() -> TrainableFamily:
    from .ingredients.training.ingredients_training import INGREDIENTS_TRAINING

    return INGREDIENTS_TRAINING


FAMILIES: Mapping[str, Callable[[], FamilyEntry]] = {"lumosx": _lumosx, "ingredients": _ingredients}
TRAINABLE: Mapping[str, Callable[[], TrainableFamily]] = {
    "lumosx": _lumosx_training,
    "ingredients": _ingredients_training,
}


def family_named(name: str) -> FamilyEntry:
    """What makes videos with the family of that name.

    Raises:
        LumosXError: there is none.
    """
    return _named(FAMILIES, name, "")


def trainable_named(name: str) -> TrainableFamily:
    """How the family of that name is trained.

    Raises:
        LumosXError: there is none.
    """
    return _named(TRAINABLE, name, " to train")


def _named(families: Mapping[str, Callable[[], Entry]], name: str, purpose: str) -> Entry:
    if name not in families:
        raise LumosXError(f"There is no model family {name!r}{purpose}. Use one of {', '.join(families)}.")
    return families[name]()
