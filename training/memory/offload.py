"""Block offload: the transformer blocks live in the CPU's memory and visit the GPU one after the other.

A block's weights are copied to the device for its forward pass, dropped, and copied again when the backward pass
recomputes the block (see gradient_checkpointing.py, without which there would be nothing to drop). While one block
computes, the next one's weights travel on a stream of their own. Two blocks are on the device at a time, and the
gradients are bit-identical.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lumosx_core import LumosXError

from .gradient_checkpointing import CheckpointedForward


def offload_blocks(
    model: nn.Module,
    device: torch.device | str,
    *,
    keep_trainable: bool = True,
    inputs_on_cpu: bool = False,
) -> BlockOffload:
    """Keep the model's blocks in the CPU's memory (pinned for CUDA) and run each on `device` when its turn comes.

    Everything else of the model moves to the device. The blocks are checkpointed. Parameters stay the same objects
    under the same names, so optimizers, checkpoints and LoRA files are not affected; but call it after whatever moves
    the whole model, such as Accelerator.prepare, since blocks that were moved to the device stay there.

    Args:
        keep_trainable: parameters that are trained stay on the device, as is right for a LoRA. False also offloads
            these: gradients then arrive in the CPU's memory, where the optimiser works, too.
        inputs_on_cpu: also keep the blocks' inputs in the CPU's memory between forward and backward.

    Raises:
        LumosXError: nothing could be offloaded, because everything is trained and stays.
    """
    return BlockOffload(model, torch.device(device), keep_trainable, inputs_on_cpu)


class BlockOffload:
    """Copies the blocks' weights to the device and back; made by `offload_blocks`."""

    def __init__(self, model: nn.Module, device: torch.device, keep_trainable: bool, inputs_on_cpu: bool):
        self.device = device
        blocks = cast(nn.ModuleList, model.blocks)
        self.blocks = [
            {name: p for name, p in block.named_parameters() if not (keep_trainable and p.requires_grad)}
            for block in blocks
        ]
        if not any(self.blocks):
            raise LumosXError("Every weight of the blocks is trained and would stay on the device. Offload these, too.")
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._ready: tuple[int, dict[str, Tensor]] | None = None  # the block that was fetched ahead
        self._step = 1  # -1 in the backward pass, which meets the blocks in reverse
        offloaded = {id(p) for block in self.blocks for p in block.values()}
        for parameter in model.parameters():
            if id(parameter) in offloaded:
                data = parameter.data.cpu()
                parameter.data = data.pin_memory() if self.stream else data
            else:
                parameter.data = parameter.data.to(device)
        for index, block in enumerate(blocks):
            block.forward = CheckpointedForward(self._forward(index, block), inputs_on_cpu, self._backward_pass)

    def _forward(self, index: int, block: nn.Module):
        # A second face of the block, with the same layers but its class's own forward, which this one replaces.
        inner = copy.copy(block)
        inner.__dict__.pop("forward", None)

        def forward(*inputs):
            with self._fetched(index) as weights:
                return functional_call(inner, weights, inputs)

        return forward

    @contextmanager
    def _fetched(self, index: int) -> Iterator[dict[str, Tensor]]:
        """The weights of a block on the device; when its work is under way, the next block's are sent for."""
        ready, self._ready = self._ready, None
        copies = ready[1] if ready and ready[0] == index else self._copy(index)
        before = None
        if self.stream:
            current = torch.cuda.current_stream(self.device)
            before = current.record_event()
            current.wait_stream(self.stream)
            for each in copies.values():
                each.record_stream(current)
        try:
            yield {name: _OnDevice.apply(p, copies[name]) for name, p in self.blocks[index].items()}
        finally:
            # Also reached when the backward pass has computed enough of the block and breaks off.
            following = index + self._step
            if 0 <= following < len(self.blocks):
                if before is not None:
                    # The program runs ahead of the GPU. Unless it waits here for the block before this one to end,
                    # all blocks would be sent for at once.
                    before.synchronize()
                self._ready = (following, self._copy(following))

    def _copy(self, index: int) -> dict[str, Tensor]:
        with torch.cuda.stream(self.stream) if self.stream else nullcontext():
            return {
                name: p.detach().to(self.device, non_blocking=True, copy=True) for name, p in self.blocks[index].items()
            }

    @contextmanager
    def _backward_pass(self) -> Iterator[None]:
        self._step = -1
        try:
            yield
        finally:
            self._step = 1


class _OnDevice(torch.autograd.Function):
    """A parameter's copy on the device, whose gradient goes to the parameter."""

    @staticmethod
    def forward(ctx, parameter: Tensor, copied: Tensor) -> Tensor:
        ctx.home = parameter.device
        return copied.view_as(copied)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.to(ctx.home), None
