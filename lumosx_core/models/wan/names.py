"""Wan2.1's own names of tensors, whatever saving, training or another program put in front of them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from torch import Tensor

from ...files.formats.unwrapped_names import unwrapped_names
from ...files.read_weights import open_weights
from ...files.stored_tensor import StoredTensor

# Outermost first: what saving, training, compiling, other programs and ComfyUI put in front of a network's own names.
_WRAPPERS = (
    *("ema.", "generator_ema.", "model.diffusion_model.", "diffusion_model.", "state_dict.", "model.", "module."),
    *("generator.", "pipe.dit.", "dit.", "net.", "transformer.", "first_stage_model.", "vae."),
    *("text_encoders.umt5xxl.transformer.", "umt5xxl.transformer.", "text_encoders.umt5xxl.", "umt5xxl."),
)
_TABLE, _OTHER_TABLE = "shared.weight", "encoder.embed_tokens.weight"  # of a text encoder: two names for one tensor


def native_names(names: Iterable[str]) -> dict[str, str]:
    """Wan2.1's own names of a network's tensors -> the names they have in a file.

    Wrappers such as `ema.`, `model.` and ComfyUI's `model.diffusion_model.` are taken off; where a file holds several
    sets, the averaged one (`ema.`) wins. Rotary tables (`freqs`), which the network computes itself, are left out.
    """
    plain = (name for name in names if "freqs" not in name)
    found = unwrapped_names(plain, _WRAPPERS, lambda name: name.startswith(("blocks.", "patch_embedding.")))
    if _TABLE not in found and _OTHER_TABLE in found:
        found[_TABLE] = found.pop(_OTHER_TABLE)
    return found


def open_checkpoint(path: str | os.PathLike) -> dict[str, StoredTensor]:
    """Name -> tensor as `read_state_dict` gives them, still in the file."""
    return open_weights(path, native_names)


def read_state_dict(path: str | os.PathLike) -> dict[str, Tensor]:
    """Read a checkpoint's tensors, on the CPU, under Wan2.1's native names.

    Nested sets are opened (averaged weights, `ema`, before `model`), ComfyUI's prefixes taken off, rotary tables left
    out, and scaled fp8 weights given as float32. Which model it is, is not judged here: see `detect_config`.

    Raises:
        LumosXError: the file is missing, damaged, of another format, holds code, or holds no tensor.
    """
    return {name: tensor.load() for name, tensor in open_checkpoint(path).items()}
