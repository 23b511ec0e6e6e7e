"""Prompts of earlier versions name lumosx-tiny's files in ComfyUI's own loaders, which no longer list them.

They are translated on their way in to our loaders, which load the same file, so that saved workflows and API prompts
still run.
"""

from __future__ import annotations

import folder_paths
from server import PromptServer

from ...lumosx_core.models.lumosx.tiny import tiny_files

# Loader of ComfyUI -> its input, the folder, our loader and its input.
_LOADERS = {
    "VAELoader": ("vae_name", "vae", "LumosXLoadVAE", "vae_name"),
    "UNETLoader": ("unet_name", "diffusion_models", "LumosXLoadModel", "model_name"),
}


def translate_earlier_prompts() -> None:
    """Receive each prompt before it is validated, if ComfyUI has a server."""
    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.add_on_prompt_handler(translated)


def translated(request: dict) -> dict:
    """The body of POST /prompt, in which ComfyUI's loaders with a file of lumosx-tiny have become ours."""
    nodes = request.get("prompt") if isinstance(request, dict) else None
    for node in nodes.values() if isinstance(nodes, dict) else ():
        kind = node.get("class_type") if isinstance(node, dict) else None
        if not isinstance(kind, str) or kind not in _LOADERS or not isinstance(node.get("inputs"), dict):
            continue
        old, folder, ours, new = _LOADERS[kind]
        inputs = node["inputs"]
        tiny = tiny_files().by_folder[folder].name
        if inputs.get(old) != tiny or tiny in folder_paths.get_filename_list(folder):
            continue
        inputs[new] = inputs.pop(old)
        if inputs.get("weight_dtype") == "fp8_e4m3fn_fast":  # the same weights, and products that only GPUs have
            inputs["weight_dtype"] = "fp8_e4m3fn"
        node["class_type"] = ours
    return request
