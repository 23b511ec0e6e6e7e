"""`lumosx train`: runs a config file, on one device or under `accelerate launch`.

One process, on the best device there is:

    lumosx train CONFIG.toml --set training.steps=100

Several GPUs of one machine, or several machines (`accelerate config` asks for their addresses):

    accelerate launch --config_file training/configs/accelerate/ddp.yaml -m lumosx_core train CONFIG.toml

On CPUs, where accelerate starts no second process by itself, its part is done by torchrun:

    ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m lumosx_core train CONFIG.toml

The same command resumes a run that was stopped: see training.output.
"""

from __future__ import annotations

import signal

from .config import read_config
from .trainer import Trainer


def main(options) -> None:
    """Run the config that the command line names; its exit code names a signal (130: Ctrl-C, 143: SIGTERM)."""
    outcome = Trainer(read_config(options.config, tuple(options.set))).run()
    if outcome.stopped_by == signal.SIGINT:
        raise KeyboardInterrupt
    if outcome.stopped_by is not None:
        raise SystemExit(128 + outcome.stopped_by)
