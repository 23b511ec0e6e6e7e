"""ComfyUI LumosX: the entry ComfyUI loads. Outside ComfyUI it does nothing."""

import logging
import math
import re
import sys

OLDEST_COMFYUI = (0, 8, 0)

try:
    from comfyui_version import __version__ as _host_version
except ImportError:
    # The first ComfyUIs did not tell their version.
    _host_version = "0.0 (of unknown version)" if "folder_paths" in sys.modules else None

if _host_version is not None:
    # "0.8.0-rc1", "v1.0": only the numbers count; a version without any is somebody's own build, and new.
    _numbers = tuple(int(part) for part in re.findall(r"\d+", _host_version)[:3])
    HOST = (*_numbers, 0, 0)[:3] if _numbers else (math.inf,)
    if HOST >= OLDEST_COMFYUI:
        from .nodes import comfy_entrypoint  # noqa: F401
        from .nodes.inputs.subject_files import register_subject_folder
        from .nodes.page.earlier_prompts import translate_earlier_prompts
        from .nodes.page.example_route import add_example_route
        from .nodes.page.prompt_route import add_prompt_route

        WEB_DIRECTORY = "./web"
        add_prompt_route()
        register_subject_folder()
        add_example_route()
        translate_earlier_prompts()
    else:
        logging.warning(
            "LumosX needs ComfyUI %s or newer, but this is %s. Update ComfyUI, then restart it; until then the LumosX "
            "nodes are not available.",
            ".".join(map(str, OLDEST_COMFYUI)),
            _host_version,
        )
        # An older host looks for this name and would add a second, misleading line without it.
        NODE_CLASS_MAPPINGS: dict[str, type] = {}
