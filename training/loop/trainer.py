"""The training loop on cached clips, with averaged weights, checkpoints and exact resume."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lumosx_core.errors import LumosXError
from lumosx_core.files.file_hash import sha256_of

from .batches.loading import Loader, explained_worker_failures
from .batches.noise import draw_seed
from .batches.step_batches import NoisyBatch
from .checkpoints.checkpoint import Checkpoint, Checkpoints
from .checkpoints.finished_file import export
from .checkpoints.run_facts import changes, run_facts
from .checkpoints.sharded_state import as_number, fill, load_optimizer_state, optimizer_state, stored
from .config import TrainConfig
from .devices import make_accelerator, place_model
from .ema import Ema, trained_parameters
from .interrupts import Interrupts
from .losses import clip_losses
from .optimizer import learning_rate, make_optimizer, set_learning_rate
from .starting_model import starting_model
from .tracking.progress import Progress
from .tracking.run_log import RunLog
from .tracking.trackers import finish_trackers, start_trackers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        step: steps that are done.
        stopped_by: the signal that ended it early, or None.
        file: the finished model or LoRA, or None if the run is not finished.
        bad_items: number of items that could not be used and were skipped since the start of this program.
    """

    step: int
    stopped_by: signal.Signals | None
    file: Path | None
    bad_items: int


class Trainer:
    """One run, resumed from what its output folder contains.

    Args:
        cache: a LatentCache; None: the one that the config names.
        say: takes each line for the user; None prints it.

    Raises:
        LumosXError: anything that cannot work, before the first step.
    """

    def __init__(self, config: TrainConfig, *, cache=None, say: Callable[[str], None] | None = None):
        self.recipe = config.recipe
        self.config, self.say = config, say or partial(print, flush=True)  # a log file shows a line at once
        self.output = Path(config.training.output)
        self.accelerator = make_accelerator(config)
        self.main = self.accelerator.is_main_process
        self.loader = Loader(
            open_cache(config) if cache is None else cache,
            config,
            self.accelerator.process_index,
            self.accelerator.num_processes,
            pin_memory=self.accelerator.device.type == "cuda",
        )
        self.preview = self._make_preview()
        network = starting_model(config)
        self.facts = run_facts(config, self.loader.keys, self._base_sha256())
        place_model(network, config, self.accelerator)
        self.model, self.optimizer = self.accelerator.prepare(
            network, make_optimizer(network, config.optimizer), device_placement=[False, False]
        )
        self.network = self.accelerator.unwrap_model(self.model)
        self.parameters = trained_parameters(self.network)
        self.ema = Ema(self.parameters, config.ema) if config.ema.decay else None
        self.checkpoints = Checkpoints(self.output, config.training.keep)
        self.has_dropout = any(isinstance(module, nn.Dropout) and module.p for module in self.network.modules())
        self.notes: dict[str, list[Tensor]] = {}  # parts of the loss in this step, for the log
        self.done = 0
        self.saved: Path | None = None
        self._resume()

    @explained_worker_failures()
    def run(self) -> Outcome:
        """Train to the last step, or until a signal arrives, after which a checkpoint is saved.

        Raises:
            LumosXError: a loss that is not finite, a full disk, a cache of which nothing can be read. The last
                checkpoint is untouched.
            KeyboardInterrupt: the second Ctrl-C.
        """
        loop = self.config.training
        if self.main:
            self._make_output()
        start_trackers(self.accelerator, self.config, self.done)
        record = RunLog(self.output, self.done) if self.main else None
        progress = Progress(self.done, loop.steps, self.say if self.main else lambda line: None)
        batches = self.loader.steps(self.done, loop.steps)
        stop = None
        try:
            with Interrupts() as interrupts:
                while self.done < loop.steps and stop is None:
                    begun = time.perf_counter()
                    rate = learning_rate(self.config.optimizer, self.done, loop.steps)
                    loss, norm, stop = self._step(next(batches), rate, interrupts)
                    seconds = time.perf_counter() - begun
                    self.done += 1
                    metrics = {"loss": loss, "lr": rate, "grad_norm": norm, "seconds": round(seconds, 4)}
                    metrics |= {name: torch.stack(values).mean().item() for name, values in self.notes.items()}
                    if record is not None:
                        record.write(self.done, **metrics)
                    self.accelerator.log(metrics, step=self.done)
                    progress.step(self.done, loss, rate, len(self.loader.bad))
                    if self.done % loop.save_every == 0:
                        self.save()
                    if self.preview is not None and self.done % self.config.samples.every == 0:
                        self._show()
                self.save()
                file = self.export() if self.done == loop.steps else None
        finally:
            batches.close()
            if record is not None:
                record.close()
            finish_trackers(self.accelerator)
        return Outcome(self.done, stop if file is None else None, file, len(self.loader.bad))

    @property
    def options(self) -> Any:
        """The switches of the network in this step."""
        return self.recipe.options(self.config.model, self.done, self.accelerator.device)

    def losses(self, part: NoisyBatch) -> Tensor:
        """The loss of each clip in the run's precision: (B,) float32."""
        bf16 = self.config.training.precision == "bf16"
        device = self.accelerator.device
        with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
            return clip_losses(self.model, part.to(device), self.options, self.recipe, self._note)

    def _note(self, name: str, value: Tensor) -> None:
        self.notes.setdefault(name, []).append(value.detach())

    def backward(self, parts: list[NoisyBatch]) -> Tensor:
        """Add the gradient of the mean loss of all parts (and processes) to the parameters; returns this process's
        mean loss.
        """
        total = torch.zeros((), device=self.accelerator.device)
        for place, part in enumerate(parts):
            # Gradients are averaged over processes once, with the last part.
            last = place == len(parts) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                loss = self.losses(part).mean() / len(parts)
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _step(
        self, parts: list[NoisyBatch], rate: float, interrupts: Interrupts
    ) -> tuple[float, float, signal.Signals | None]:
        """One step of the optimizer: the loss, the norm of the gradient, and the signal to stop after it."""
        if self.has_dropout:
            torch.manual_seed(
                draw_seed("dropout", self.config.training.seed, self.done, self.accelerator.process_index)
            )
        self.notes.clear()
        own_loss = self.backward(parts)
        limit = self.config.optimizer.max_grad_norm or math.inf
        norm = as_number(nn.utils.clip_grad_norm_(self.parameters.values(), limit))
        loss, stop = self._agree(own_loss, interrupts)
        if not math.isfinite(loss + norm):
            self._refuse(loss, norm, parts)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.done)
        return loss, norm, stop

    def _agree(self, loss: Tensor, interrupts: Interrupts) -> tuple[float, signal.Signals | None]:
        """The mean loss of all processes, and a signal that any of them received, so that all stop at the same step."""
        if self.accelerator.num_processes == 1:
            return loss.item(), interrupts.heard
        number = torch.tensor(float(interrupts.heard or 0), device=loss.device)
        gathered = self.accelerator.gather(torch.stack([loss, number])[None])
        received = int(gathered[:, 1].max())
        return gathered[:, 0].mean().item(), signal.Signals(received) if received else None

    def _refuse(self, loss: float, norm: float, parts: list[NoisyBatch]) -> None:
        keys = ", ".join(key for part in parts for key in part.batch.keys)
        last = self.checkpoints.latest()
        remaining = f"The last good checkpoint is {last.path}." if last else "There is no checkpoint yet."
        raise LumosXError(
            f"Step {self.done + 1} has the loss {loss} and a gradient of norm {norm}, so the weights would be "
            f"destroyed. Its clips: {keys}. {remaining} Lower optimizer.learning_rate, set optimizer.max_grad_norm, or "
            f"check these clips."
        )

    def save(self) -> None:
        """Write a checkpoint of the current step, unless there is one."""
        if self.saved is not None and self.saved.name == f"step-{self.done:08d}":
            return
        parts = {
            "model": stored(self.parameters),
            "optimizer": optimizer_state(self.network, self.optimizer.optimizer),
        }
        if self.ema is not None:
            parts["ema"] = stored(self.ema.averages)
        self.saved = self.checkpoints.save(self.done, self.facts, parts, write=self.main)
        self.accelerator.wait_for_everyone()

    def export(self) -> Path:
        """Write the current model or LoRA: `OUTPUT/model.safetensors` or `OUTPUT/lora.safetensors`."""
        averages = self.ema.averages if self.ema is not None else self.parameters
        weights = averages if self.config.export.weights == "ema" else self.parameters
        path = export(
            self.config, self.network, weights, self.done, base_sha256=self.facts["base_sha256"], write=self.main
        )
        self.accelerator.wait_for_everyone()
        if self.main:
            self.say(f"The {'model' if self.config.lora is None else 'LoRA'} is {path.resolve()}")
        return path

    def _make_preview(self):
        if not self.config.samples.every:
            return None
        from .preview import Preview  # only here, as it brings VAE and text encoder along

        # Before the network is on the device, so that they do not share its memory.
        return Preview(self.config, self.accelerator.device)

    def _show(self) -> None:
        """Write the sample videos; failures are logged and training continues."""
        try:
            with self.ema.swapped_in() if self.ema is not None else nullcontext():
                paths = self.preview.write(
                    self.network, self.output / "samples", self.done, self.options, decode=self.main
                )
            for path in paths:
                self.say(f"sample {path}")
        except (LumosXError, OSError) as error:
            log.warning("No sample videos at step %d: %s", self.done, error)

    def _resume(self) -> None:
        checkpoint = self.checkpoints.latest()
        if checkpoint is None:
            return
        if checkpoint.step > self.config.training.steps:
            raise LumosXError(
                f"training.steps is {self.config.training.steps}, but {checkpoint.path} has more steps already. Set "
                f"training.steps to {checkpoint.step} or more, or choose another training.output."
            )
        self._fill(self.parameters, checkpoint, "model")
        if self.ema is not None:
            # A run that only now turns averaging on begins with the weights as they are.
            self._fill(self.ema.averages, checkpoint, "ema" if checkpoint.has("ema") else "model")
        load_optimizer_state(self.network, self.optimizer.optimizer, checkpoint.tensors("optimizer"))
        self.done, self.saved = checkpoint.step, checkpoint.path
        if self.main:
            self.say(f"Continuing after step {self.done} from {checkpoint.path}")
            if changed := changes(checkpoint.facts, self.facts):
                self.say(f"Changed since that checkpoint, and used from here on: {', '.join(changed)}")

    def _base_sha256(self) -> str | None:
        """The hash of the file that a LoRA is for; asked once, as that file may be replaced during the run."""
        file = self.config.model.file
        if self.config.lora is None or not self.main or file is None or not Path(file).is_file():
            return None
        return sha256_of(file)

    def _fill(self, tensors: dict[str, Tensor], checkpoint: Checkpoint, part: str) -> None:
        if checkpoint.shapes(part) != {name: tuple(tensor.shape) for name, tensor in tensors.items()}:
            raise LumosXError(
                f"{checkpoint.path} belongs to a run of another model or LoRA than this config describes. Choose "
                f"another training.output, or go back to the config of that run."
            )
        for name, tensor in checkpoint.tensors(part):
            fill(tensors[name], tensor)

    def _make_output(self) -> None:
        try:
            self.output.mkdir(parents=True, exist_ok=True)
            self.checkpoints.clean()
        except OSError as error:
            raise LumosXError(
                f"training.output {self.output} cannot be used: {error.strerror}. Choose another folder."
            ) from error


def open_cache(config: TrainConfig):
    """The cache that the config names."""
    from ..cache import LatentCache

    return LatentCache(config.data.cache, family=config.recipe.family, recipe=config.recipe)
