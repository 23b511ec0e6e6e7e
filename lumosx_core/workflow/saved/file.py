"""Workflow files: JSON as ComfyUI's page saves it, exports it for the API or sends it, and what saved videos carry."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import LumosXError, MissingPackageError
from .graph import Graph
from .ui_format import api_prompt, is_ui_format

VIDEOS = (".mp4", ".mov", ".mkv", ".webm")
SUFFIXES = (".json", ".png", *VIDEOS)
_AGAIN = "Save the workflow from ComfyUI again."


def read_workflow(path: str | os.PathLike) -> Graph:
    """Read a workflow file, or the workflow in the metadata of a video or PNG that ComfyUI saved.

    Raises:
        LumosXError: no such file, no JSON, or no workflow.
    """
    path = Path(path)
    if not path.exists():
        raise LumosXError(f"There is no workflow {path}. Check the path.")
    content = _json(path) if path.suffix.lower() == ".json" else _carried(path)
    content = unwrapped(content)
    if not is_ui_format(content):
        return Graph(content)
    try:
        prompt, unreadable = api_prompt(content)
        return Graph(prompt, unreadable)
    except LumosXError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
        raise LumosXError(
            f"{path} has nodes, but not as ComfyUI's page saves them ({type(error).__name__}: {error}). {_AGAIN}"
        ) from error


def unwrapped(content: Any) -> Any:
    """The workflow in what the page sends to /prompt, or in one entry of the server's history.

    Raises:
        LumosXError: a history of several runs.
    """
    if not isinstance(content, Mapping) or is_ui_format(content):
        return content
    if "prompt" in content and "class_type" not in _mapping(content["prompt"]):
        prompt = content["prompt"]
        if isinstance(prompt, list) and len(prompt) >= 3:  # number, id, prompt, extra data, outputs
            return prompt[2]
        return prompt
    if is_ui_format(content.get("workflow")):
        return content["output"] if isinstance(content.get("output"), Mapping) else content["workflow"]
    runs = [entry for entry in content.values() if isinstance(_mapping(entry).get("prompt"), list)]
    if len(runs) == 1:
        return unwrapped(runs[0])
    if runs:
        raise LumosXError(
            f"This is a history of {len(runs)} runs. Keep one of them: {', '.join(map(str, list(content)[:5]))}."
        )
    return content


def _mapping(value: Any) -> Mapping:
    return value if isinstance(value, Mapping) else {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise LumosXError(f"Cannot read the workflow {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise LumosXError(f"{path} is not JSON ({error}). {_AGAIN}") from error


def _carried(path: Path) -> Any:
    """What ComfyUI writes into the files that it saves: the prompt that ran, else the workflow of the page."""
    metadata = _video_metadata(path) if path.suffix.lower() in VIDEOS else _png_metadata(path)
    for name in ("prompt", "workflow"):
        if name not in metadata:
            continue
        try:
            return json.loads(metadata[name])
        except (ValueError, RecursionError) as error:
            raise LumosXError(
                f"The {name} in the metadata of {path} is not JSON ({error}). Use a .json file."
            ) from error
    raise LumosXError(
        f"{path} carries no workflow: only files that ComfyUI saved itself do, and most sites take it out. Ask for the "
        f"workflow's .json file."
    )


def _video_metadata(path: Path) -> Mapping[str, str]:
    try:
        import av
    except ImportError as error:
        raise MissingPackageError("av", "Reading the workflow in a video", error) from error
    try:
        with av.open(path) as container:
            return {name.lower(): text for name, text in container.metadata.items()}
    except (av.FFmpegError, OSError, UnicodeError) as error:
        raise LumosXError(f"Cannot read the video {path} ({error}). Use the workflow's .json file.") from error


def _png_metadata(path: Path) -> Mapping[str, Any]:
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()  # texts may come behind the pixels
            return dict(image.info)
    except Exception as error:  # on damaged bytes a decoder raises almost anything
        raise LumosXError(f"Cannot read the image {path} ({error}). Use the workflow's .json file.") from error
