"""Workflow files: JSON as ComfyUI's page saves it, exports it for the API or sends it, and what saved videos carry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ...errors import LumosXError, shown
from ...files.text_file import check_regular, read_text
from .carried import IMAGES, VIDEOS, carried_workflow
from .graph import Graph
from .json_text import parse_json
from .ui_format import api_prompt, turned_off
from .wrappers import is_ui_format, unwrapped

SUFFIXES = (".json", *IMAGES, *VIDEOS)
MOST_BYTES = 64 * 2**20  # of a JSON file; a thousand nodes have about one million
_AGAIN = "Save the workflow from ComfyUI again."


def read_workflow(path: str | os.PathLike) -> Graph:
    """Read a workflow file, or the workflow in the metadata of a video or an image that ComfyUI saved.

    Raises:
        LumosXError: no such file, no JSON, or no workflow.
    """
    path = Path(path)
    try:
        check_regular(path)
    except FileNotFoundError as error:
        raise LumosXError(f"There is no workflow {shown(path)}. Check the path.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, LumosXError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise LumosXError(f"Cannot read the workflow {shown(path)}: {reason}. Check the path.") from error
    content = carried_workflow(path) if path.suffix.lower() in (*IMAGES, *VIDEOS) else _json(path)
    content = unwrapped(content)
    if not is_ui_format(content):
        return Graph(content)
    try:
        prompt, unreadable = api_prompt(content)
        return Graph(prompt, unreadable, turned_off(content))
    except LumosXError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
        raise LumosXError(
            f"{path} has nodes, but not as ComfyUI's page saves them ({type(error).__name__}: {shown(error)}). {_AGAIN}"
        ) from error


def _json(path: Path) -> Any:
    return parse_json(read_text(path, _AGAIN, most=MOST_BYTES), str(path), _AGAIN)
