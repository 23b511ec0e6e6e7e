"""What to say of a weight file that a workflow names and that is not there."""

from __future__ import annotations

from pathlib import Path

from ....errors import LumosXError
from ....own_command import own_command

# What the released files are called after `lumosx download`, and the option that fetches this variant.
_RELEASED = {
    "lumosx_bf16.safetensors": (),
    "lumosx_fp16.safetensors": ("--dtype", "fp16"),
    "lumosx_fp8_e4m3fn.safetensors": ("--dtype", "fp8_e4m3fn"),
    "wan_2.1_vae.safetensors": (),
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors": (),
    "umt5_xxl_fp16.safetensors": ("--text-encoder", "fp16"),
}


def missing_weights(name: str, folder: str, comfyui: str | Path) -> LumosXError:
    """The error for a missing file, with the command that fetches the released one.

    Args:
        folder: of ComfyUI's `models` folder, such as "diffusion_models".
        comfyui: ComfyUI's base folder, with `models` in it.
    """
    file = name.replace("\\", "/").rpartition("/")[2]
    command = own_command("download", "--comfyui", comfyui, *_RELEASED.get(file, ()))
    other = "" if file in _RELEASED else "Put the file there, choose another one, or take the released weights. "
    return LumosXError(
        f"{name} is not in models/{folder}. {other}To download the released weights, run this in a terminal, then "
        f"press R in ComfyUI: {command}"
    )
