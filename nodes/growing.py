"""Inputs that grow by a slot whenever the last one is connected."""

from __future__ import annotations

from comfy_api.latest import io

MOST_SLOTS = 20


class _OptionalNames(io.Autogrow.TemplateNames):
    """Names of a growing list that shows its first slot and may stay empty.

    The page shows no slot to grow from if the least number is 0; newer hosts refuse an empty list if it is 1, unless
    the slots are optional; and ComfyUI 0.8.0 fails on optional slots if the empty dict of required ones is there, too.
    """

    def as_dict(self) -> dict:
        names = super().as_dict()
        return {**names, "input": {"optional": names["input"]["optional"]}}


def growing(kind, name: str, slot: str, tooltip: str) -> io.Autogrow.Input:
    """A list of inputs of a kind with one more slot as soon as the last one is connected.

    The last input of its node: the page puts grown slots at the end when it loads a workflow.
    """
    template = _OptionalNames(
        kind.Input(slot, optional=True, tooltip=tooltip), [f"{slot}_{i}" for i in range(1, MOST_SLOTS + 1)], min=1
    )
    return io.Autogrow.Input(name, template=template, optional=True, tooltip=tooltip)


def connected(slots: dict | None) -> list:
    """What is connected to a growing list, in the order of its slots."""
    numbered = sorted((slots or {}).items(), key=lambda slot: int(slot[0].rpartition("_")[2]))
    return [value for _, value in numbered if value is not None]
