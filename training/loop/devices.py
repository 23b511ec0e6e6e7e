"""Devices: one device, or several processes under accelerate (DDP, FSDP2)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lumosx_core.errors import LumosXError, MissingPackageError

from .config import TrainConfig
from .tracking.trackers import need_trackers


def make_accelerator(config: TrainConfig):
    """accelerate's view of the machine, set up by `accelerate launch` or for one process.

    Raises:
        LumosXError: block offload with several processes.
        MissingPackageError: accelerate or a tracker is not installed.
    """
    try:
        from accelerate import Accelerator
        from accelerate.utils import ProjectConfiguration
    except ImportError as error:
        raise MissingPackageError("accelerate", "Training", error) from error
    # Autocast is the trainer's own: accelerate allows one precision in the life of a program.
    need_trackers(config)
    output = Path(config.training.output)
    accelerator = Accelerator(
        mixed_precision="no",
        log_with=list(config.training.trackers) or None,
        project_config=ProjectConfiguration(str(output), logging_dir=str(output / "tensorboard")),
    )
    if config.training.offload_blocks and accelerator.num_processes > 1:
        raise LumosXError(
            f"training.offload_blocks works with one process, but there are {accelerator.num_processes}. Use FSDP2 "
            f"(training/configs/accelerate/fsdp2.yaml) to share the memory of several GPUs."
        )
    if accelerator.is_fsdp2 and config.training.precision == "bf16":
        from torch.distributed.fsdp import MixedPrecisionPolicy

        # The residual stream stays float32, as released: the network's own layers cast where they compute.
        accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    return accelerator


def place_model(model: nn.Module, config: TrainConfig, accelerator) -> None:
    """Move the network to the device and set up what saves memory there."""
    loop = config.training
    if loop.offload_blocks:
        from ..memory.offload import offload_blocks

        # A LoRA is small and stays on the device, where its optimiser is fast.
        offload_blocks(
            model, accelerator.device, keep_trainable=config.lora is not None, inputs_on_cpu=loop.offload_activations
        )
        return
    if not accelerator.is_fsdp2:  # which divides the weights first
        model.to(accelerator.device)
    if loop.gradient_checkpointing:
        from ..memory.gradient_checkpointing import checkpoint_blocks

        checkpoint_blocks(model, inputs_on_cpu=loop.offload_activations)
