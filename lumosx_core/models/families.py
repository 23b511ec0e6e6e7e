"""The model families by name; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import LumosXError
from .family import ModelFamily
from .video_pipeline import VideoSettings


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


FAMILIES: Mapping[str, Callable[[], FamilyEntry]] = {"lumosx": _lumosx, "ingredients": _ingredients}


def family_named(name: str) -> FamilyEntry:
    """The family of that name.

    Raises:
        LumosXError: there is none.
    """
    if name not in FAMILIES:
        raise LumosXError(f"There is no model family {name!r}. Use one of {', '.join(FAMILIES)}.")
    return FAMILIES[name]()
