"""Workflows within what programs put around them: requests, histories, queues, exports and metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import LumosXError, shown
from .json_text import parse_json

# Where a workflow is, the more exact form first: what ran, what would run, what the page saved.
_KEYS = ("prompt", "output", "workflow", "input", "extra_data", "extra_pnginfo", "graph", "data", "comment", "metadata")
_QUEUES = ("queue_running", "queue_pending")


def unwrapped(content: Any) -> Any:
    """The workflow in what the page sends to /prompt, in one entry of the server's history or queue, or in what
    services that run workflows take.

    Raises:
        LumosXError: several runs.
    """
    if is_workflow(content):
        return content
    if isinstance(content, str) and content.lstrip().startswith("{"):  # JSON in JSON, as metadata have it
        return unwrapped(parse_json(content, "A text that contains the workflow", "Save the workflow again."))
    if isinstance(content, list) and len(content) >= 3 and not isinstance(content[0], list | Mapping):
        return unwrapped(content[2])  # number, id, prompt, extra data, outputs
    if not isinstance(content, Mapping):
        return content
    for key in _KEYS:
        inner = unwrapped(content[key]) if key in content else None
        if is_workflow(inner):
            return inner
    runs = list(_runs(content))
    if len(runs) == 1:
        return runs[0][1]
    if runs:
        names = ", ".join(shown(name, 40) for name, _ in runs[:5])
        raise LumosXError(f"This is a history of {len(runs)} runs. Keep one of them: {names}.")
    return content


def is_workflow(content: Any) -> bool:
    """Whether this is a workflow as the page saves it, or an API prompt."""
    return is_ui_format(content) or is_api_prompt(content)


def is_ui_format(content: Any) -> bool:
    """Whether the content of a file was saved by the page, and is not an API prompt."""
    return isinstance(content, Mapping) and isinstance(content.get("nodes"), list)


def is_api_prompt(content: Any) -> bool:
    """Whether it has nodes by their ids."""
    return isinstance(content, Mapping) and any(
        isinstance(node, Mapping) and "class_type" in node for node in content.values()
    )


def _runs(content: Mapping) -> Iterator[tuple[str, Any]]:
    """The workflows of a history or a queue, with their names."""
    for name, entry in content.items():
        entries: list[tuple[str, Any]] = []
        if name in _QUEUES and isinstance(entry, list):
            entries = [(f"{name}[{i}]", each) for i, each in enumerate(entry)]
        elif isinstance(entry, Mapping) and isinstance(entry.get("prompt"), list):
            entries = [(str(name), entry)]
        yield from ((name, found) for name, each in entries if is_workflow(found := unwrapped(each)))
