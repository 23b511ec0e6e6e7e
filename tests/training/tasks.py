"""Tasks for the processes of forked.py, by name."""

from __future__ import annotations

import argparse
import os
import resource
import time
from itertools import count
from pathlib import Path

import torch
from fakes import FakeCache, tiny_config
from safetensors.torch import save_file

from lumosx_core.commands import main as cli
from lumosx_core.scene.layout import ReferenceLayout
from lumosx_training.loop import train as train_command
from lumosx_training.loop import trainer as trainer_module
from lumosx_training.loop.checkpoints.sharded_state import whole
from lumosx_training.loop.trainer import Trainer


def cache() -> FakeCache:
    return FakeCache([ReferenceLayout(1, (2,))] * 6 + [ReferenceLayout(0, (1, 2))] * 6, damaged=[3])


def train(tables: dict) -> int:
    """`lumosx train`, with the tests' cache; returns its exit code."""
    limit = tables.pop("largest_file", None)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if tables.pop("own_group", False):  # as a shell starts a command
        os.setpgid(0, 0)
    stuck_at = tables.pop("stuck_at", None)
    if stuck_at is not None:
        trainer_module.clip_losses = _stuck(trainer_module.clip_losses, stuck_at)
    trainer_module.open_cache = lambda config: cache()
    train_command.read_config = lambda path, changes: tiny_config(**tables)
    parser = argparse.ArgumentParser()
    parser.set_defaults(run=train_command.main, config="config.toml", set=[])
    cli._parser = lambda: parser
    try:
        return cli.main([])
    except SystemExit as leaving:
        return leaving.code


def _stuck(work, at: int):
    """`work`, which takes forever when it is called for that time."""
    calls = count(1)

    def stuck(*inputs):
        if next(calls) == at:
            print("stuck", flush=True)
            while True:
                time.sleep(0.01)
        return work(*inputs)

    return stuck


def gradients(tables: dict) -> int:
    """One backward pass of two parts; the gradients and the loss become `OUTPUT/gradients.safetensors`."""
    run = Trainer(tiny_config(**tables), cache=cache(), say=lambda line: None)
    loss = run.accelerator.reduce(run.backward(run.loader.step(0)), "mean")
    found = {name: whole(parameter.grad) for name, parameter in run.parameters.items()} | {"loss": loss}
    if run.main:
        save_file(found, Path(tables["output"]) / "gradients.safetensors")
    run.accelerator.wait_for_everyone()
    return 0


def train_sharded(tables: dict) -> int:
    """`train` with the weights shared by FSDP2, which accelerate itself sets up on GPUs only."""
    import accelerate
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    plain = accelerate.Accelerator

    def sharded(**options):
        accelerator = plain(**options)
        accelerator.state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=["Block"],
            cpu_ram_efficient_loading=False,
            reshard_after_forward=True,
        )
        return accelerator

    accelerate.Accelerator = sharded
    assert torch.distributed.is_available()
    return train(tables)


def command(tables: dict) -> int:
    """Any command line; returns its exit code."""
    try:
        return cli.main(tables["arguments"])
    except SystemExit as leaving:
        return leaving.code or 0


def case_folder(tables: dict) -> int:
    """Writes a scene as `lumosx scene` does, with a preview."""
    from lumosx_core.files.atomic_file import atomic_path
    from lumosx_core.media.images import to_pil
    from lumosx_core.scene.case_folder import read_case
    from lumosx_core.scene.write_case import write_case

    case = read_case(tables["source"])
    with atomic_path(Path(tables["out"]).with_suffix(".png")) as partial:
        to_pil(case.scene.references[0].image).save(partial)
    write_case(tables["out"], case)
    return 0
