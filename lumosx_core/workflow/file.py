"""Workflow files: JSON as ComfyUI's page saves it, or as it exports it for the API."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..errors import LumosXError
from .graph import Graph
from .ui_format import api_prompt, is_ui_format


def read_workflow(path: str | os.PathLike) -> Graph:
    """Read a workflow file.

    Raises:
        LumosXError: no such file, no JSON, or no workflow.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise LumosXError(f"There is no workflow {path}. Check the path.") from error
    except OSError as error:
        raise LumosXError(f"Cannot read the workflow {path}: {error.strerror}.") from error
    except ValueError as error:
        raise LumosXError(f"{path} is no JSON ({error}). Save the workflow from ComfyUI again.") from error
    if not is_ui_format(content):
        return Graph(content)
    try:
        prompt, unreadable = api_prompt(content)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise LumosXError(
            f"{path} has nodes, but not as ComfyUI's page saves them ({type(error).__name__}: {error}). Save the "
            f"workflow from ComfyUI again."
        ) from error
    return Graph(prompt, unreadable)
