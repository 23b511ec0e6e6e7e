"""Rows of equal inputs: a few are shown, and the page shows one more whenever the last one is connected.

They are plain optional inputs. Of ComfyUI's own growing inputs (Autogrow) copying, pasting and subgraphs keep only the
first slots, and a link dragged into the empty canvas does not find them. web/growing_slots.js hides what is not needed;
without it all are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io

MOST_SLOTS = 20


def growing(kind, slot: str, tooltip: str, most: int = MOST_SLOTS) -> list[io.Input]:
    """The inputs slot_1, slot_2, ... of one kind, of which any may stay empty."""
    return [kind.Input(f"{slot}_{i}", optional=True, tooltip=tooltip) for i in range(1, most + 1)]


class _EarlierNames(io.Autogrow.TemplateNames):
    """ComfyUI 0.8.0 fails on optional slots if the empty dict of required ones is there, too."""

    def as_dict(self) -> dict:
        names = super().as_dict()
        return {**names, "input": {"optional": names["input"]["optional"]}}


def earlier(kind, name: str, slot: str, tooltip: str) -> io.Autogrow.Input:
    """The same inputs under their earlier names, "name.slot_1" ..., for API prompts that were saved with these.

    The page shows none of them, because a list that may have none starts with none.
    """
    names = [f"{slot}_{i}" for i in range(1, MOST_SLOTS + 1)]
    template = _EarlierNames(kind.Input(slot, optional=True, tooltip=tooltip), names, min=0)
    return io.Autogrow.Input(name, template=template, optional=True, tooltip=tooltip)


def connected(inputs: Mapping[str, Any], slot: str, name: str) -> list:
    """The values connected to the inputs of `growing`, then of `earlier`, by their numbers."""
    numbered = [f"{slot}_{i}" for i in range(1, MOST_SLOTS + 1)]
    values = [inputs.get(each) for each in numbered] + [(inputs.get(name) or {}).get(each) for each in numbered]
    return [value for value in values if value is not None]
