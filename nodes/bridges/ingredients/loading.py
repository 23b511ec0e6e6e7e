"""Loading of Ingredients (CogVideoX) as a MODEL of ComfyUI."""

from __future__ import annotations

import math
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import torch
from comfy.patcher_extension import WrappersMP

from ....lumosx_core.models.cogvideox.dpm import CogVideoXSchedule
from ....lumosx_core.models.family import OpenNetwork
from ....lumosx_core.models.ingredients.model import IngredientsModel
from ....lumosx_core.models.ingredients.weights.load import open_network, schedule_of
from .faces import KEY
from .model import GUIDANCE, IngredientsBase, Run
from .settings import DTYPES, Settings


def load_patcher(path: Path, dtype: torch.dtype | None = None, disable_dynamic: bool = False):
    """The MODEL of a checkpoint; see `open_network` for its forms, and `patcher_of`.

    Args:
        disable_dynamic: newer hosts ask for a patcher that does not fetch weights one by one, such as to compile.
    """
    patcher = patcher_of(open_network(path), dtype, disable_dynamic, schedule_of(path))
    patcher.cached_patcher_init = (load_patcher, (path, dtype))
    return patcher


def patcher_of(
    network: OpenNetwork,
    dtype: torch.dtype | None = None,
    disable_dynamic: bool = False,
    schedule: CogVideoXSchedule | None = None,
):
    """The MODEL of an opened network.

    Args:
        dtype: in which the weights of layers are kept; None: as ComfyUI chooses for the device and the file. Weights
            are computed with in the dtype that ComfyUI chooses, whatever they are kept in.
        schedule: that came with the network; None: that of CogVideoX-5B-I2V.
    """
    device = comfy.model_management.get_torch_device()
    offload = comfy.model_management.unet_offload_device()
    stored = dtype or comfy.model_management.unet_dtype(
        model_params=sum(math.prod(tensor.shape) for tensor in network.tensors.values()),
        supported_dtypes=DTYPES,
        weight_dtype=network.tensors["proj_out.weight"].dtype,
    )
    computing = comfy.model_management.unet_manual_cast(stored, device, DTYPES)
    settings = Settings(network.config)
    settings.set_inference_dtype(stored, computing)
    model = IngredientsBase(settings, schedule or CogVideoXSchedule())
    # Newer hosts have a patcher that fetches weights one by one; which one it is, is decided when ComfyUI starts.
    plain = comfy.model_patcher.ModelPatcher
    kind = plain if disable_dynamic else getattr(comfy.model_patcher, "CoreModelPatcher", plain)
    patcher = kind(model, load_device=device, offload_device=offload)
    state = {
        # Parameters that belong to no layer are few, and fp8 would ruin the table of positions.
        name: network.tensors[name].load().to(stored if name.endswith((".weight", ".bias")) else computing or stored)
        for name in IngredientsModel(network.config, device="meta").state_dict()
    }
    model.diffusion_model.load_state_dict(state, assign=True)
    model.diffusion_model.requires_grad_(False)
    if kind is not plain:
        comfy.model_management.archive_model_dtypes(model.diffusion_model)  # as they are, whatever they were made for
    model.to(offload)
    patcher.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, _with_run)
    return patcher


def with_guidance(patcher, guidance: str):
    """A clone of the MODEL with that guidance, "shared" or "per_branch"."""
    patcher = patcher.clone()
    patcher.model_options["transformer_options"][GUIDANCE] = guidance
    return patcher


def _with_run(executor, *args, **kwargs):
    options = executor.class_obj.model_options["transformer_options"]  # a copy that this run alone uses
    options[KEY] = Run()
    try:
        return executor(*args, **kwargs)
    finally:
        del options[KEY]
