"""ComfyUI LumosX: the entry ComfyUI loads. Outside ComfyUI it does nothing."""

import logging

OLDEST_COMFYUI = (0, 8, 0)

try:
    from comfyui_version import __version__ as _host_version
except ImportError:
    _host_version = None

if _host_version is not None:
    if tuple(int(part) for part in _host_version.split(".")[:3]) >= OLDEST_COMFYUI:
        from .nodes import comfy_entrypoint  # noqa: F401
    else:
        logging.warning(
            "LumosX needs ComfyUI %s or newer, but this is %s. Update ComfyUI, then restart it; until then the LumosX "
            "nodes are not available.",
            ".".join(map(str, OLDEST_COMFYUI)),
            _host_version,
        )
        # An older host looks for this name and would add a second, misleading line without it.
        NODE_CLASS_MAPPINGS = {}
