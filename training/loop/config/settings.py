"""The config file of a training run: TOML tables that become frozen dataclasses, each value checked.

A name that does not exist is an error that suggests the nearest one. Paths are relative to the current folder.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Literal

from lumosx_core.errors import LumosXError
from lumosx_core.models.families import trainable_named
from lumosx_core.models.lumosx.lumosx_training import ModelSettings, SizeSettings
from lumosx_core.models.lumosx.spec import SPEC
from lumosx_core.models.trainable import TrainableFamily, TrainableSettings
from lumosx_core.models.trainable import require_setting as _require

from ...lora import LoraSettings
from .old_names import with_current_names
from .toml_tables import read_tables, tables_to_dataclass

__all__ = ["ModelSettings", "SizeSettings"]  # LumosX's, which belong to a config as much as what is here

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataSettings:
    """`[data]`: the training data.

    Args:
        cache: folder written by `lumosx cache`.
        min_subjects, max_subjects: use only clips with this many subjects.
        text_dropout: fraction of clips trained without their caption, which classifier-free guidance needs.
        reference_dropout: fraction of steps without any reference image.
        single_reference_dropout: probability of each reference image to be left out of a step.
        preload: read everything into memory first.
        num_workers: processes that prepare batches; 0 prepares them in the training process.
        prefetch_factor: steps that each of them prepares ahead; 0 is the same as num_workers = 0.
        pin_memory: prepare batches in page-locked memory, for faster copies to a GPU.
    """

    cache: str
    min_subjects: int = 0
    max_subjects: int | None = None
    text_dropout: float = 0.1
    reference_dropout: float = 0.0
    single_reference_dropout: float = 0.0
    preload: bool = False
    num_workers: int = 2
    prefetch_factor: int = 2
    pin_memory: bool = True

    def __post_init__(self):
        for name in ("text_dropout", "reference_dropout", "single_reference_dropout"):
            _fraction(f"data.{name}", getattr(self, name))
        for name in ("min_subjects", "num_workers", "prefetch_factor"):
            _require(getattr(self, name) >= 0, f"data.{name}", getattr(self, name), "0 or more")
        for name in ("num_workers", "prefetch_factor"):
            _require(getattr(self, name) <= 1024, f"data.{name}", getattr(self, name), "at most 1024")
        if self.max_subjects is not None:
            _require(
                self.max_subjects >= self.min_subjects,
                "data.max_subjects",
                self.max_subjects,
                f"data.min_subjects ({self.min_subjects}) or more",
            )


@dataclass(frozen=True)
class LoopSettings:
    """`[training]`: the loop.

    Args:
        output: folder of checkpoints, log, samples and the finished file. A run resumes from what it contains.
        steps: steps of the optimizer.
        batch_size: clips a step, over all processes together, so that the result does not depend on their number.
        gradient_accumulation_steps: parts into which each process splits its part of the batch, for less memory.
        precision: bf16 computes in bfloat16 autocast; trained parameters are float32 always.
        gradient_checkpointing: compute each block again in the backward pass, for less memory.
        offload_blocks: blocks keep their weights in the CPU's memory and visit the GPU one by one; one process only.
        offload_activations: keep the inputs of recomputed blocks in the CPU's memory; needs one of the two above.
        save_every: steps between checkpoints.
        keep: number of checkpoints kept.
        trackers: where metrics go beside log.jsonl: "tensorboard" (files in OUTPUT/tensorboard), "wandb", or both.
    """

    output: str
    steps: int
    batch_size: int = 1
    gradient_accumulation_steps: int = 1
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "bf16"
    gradient_checkpointing: bool = False
    offload_blocks: bool = False
    offload_activations: bool = False
    save_every: int = 500
    keep: int = 2
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()

    def __post_init__(self):
        for name in ("steps", "batch_size", "gradient_accumulation_steps", "save_every", "keep"):
            _require(getattr(self, name) >= 1, f"training.{name}", getattr(self, name), "1 or more")
        _require(self.batch_size <= 100_000, "training.batch_size", self.batch_size, "at most 100000")
        recomputes = self.gradient_checkpointing or self.offload_blocks or not self.offload_activations
        _require(recomputes, "training.offload_activations", True, "training.gradient_checkpointing = true with it")
        _require(0 <= self.seed < 2**63, "training.seed", self.seed, "0 to 2**63 - 1")


@dataclass(frozen=True)
class TimestepSettings:
    """`[timesteps]`: how noisy the clips are that the network sees.

    Args:
        sampling: uniform (released), or logit_normal (arXiv 2403.03206): the middle more often than the ends.
        mean, std: of the normal distribution behind logit_normal.
        shift: moves levels towards noise as the sampler's shift does, s -> shift*s / (1 + (shift-1)*s); 1 does not.
    """

    sampling: Literal["uniform", "logit_normal"] = "uniform"
    mean: float = 0.0
    std: float = 1.0
    shift: float = 1.0

    def __post_init__(self):
        _require(self.std > 0, "timesteps.std", self.std, "more than 0")
        _require(self.shift > 0, "timesteps.shift", self.shift, "more than 0")


@dataclass(frozen=True)
class OptimizerSettings:
    """`[optimizer]`: AdamW and its learning rate.

    Args:
        name: adamw, or adamw8bit (bitsandbytes, CUDA) with its moments in 8 bits.
        weight_decay: on matrices only, not on biases, norms and modulation.
        max_grad_norm: largest norm of the gradient; 0 does not clip.
        schedule: constant, linear or cosine, falling to `min_lr_ratio` times the learning rate at the last step.
        warmup_steps: steps in which the learning rate rises from 0.
    """

    name: Literal["adamw", "adamw8bit"] = "adamw"
    learning_rate: float = 1e-5
    betas: tuple[float, ...] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = 0
    min_lr_ratio: float = 0.0

    def __post_init__(self):
        for name in ("learning_rate", "weight_decay", "eps", "max_grad_norm", "warmup_steps"):
            _require(getattr(self, name) >= 0, f"optimizer.{name}", getattr(self, name), "0 or more")
        fit = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        _require(fit, "optimizer.betas", list(self.betas), "two numbers from 0 to below 1")
        _fraction("optimizer.min_lr_ratio", self.min_lr_ratio)


@dataclass(frozen=True)
class EmaSettings:
    """`[ema]`: averaged weights, which are what is shown and exported.

    Args:
        decay: 0 does without averaging.
        warmup: begin with a short memory, min(decay, (1 + step) / (10 + step)), so that short runs are averaged, too.
    """

    decay: float = 0.9999
    warmup: bool = True

    def __post_init__(self):
        _require(0 <= self.decay < 1, "ema.decay", self.decay, "0 to below 1")


@dataclass(frozen=True)
class SampleSettings:
    """`[samples]`: videos made during training.

    Args:
        every: steps between them; 0 makes none.
        cases: case folders.
        vae, text_encoder: the files that turn them into latents and words.
        the rest: as in `lumosx generate`.
    """

    every: int = 0
    cases: tuple[str, ...] = ()
    vae: str = ""
    text_encoder: str = ""
    width: int = SPEC.width
    height: int = SPEC.height
    frames: int = SPEC.frames
    steps: int = SPEC.steps
    shift: float = SPEC.shift
    cfg: float = SPEC.cfg
    seed: int = 0
    negative_prompt: str | None = None

    def __post_init__(self):
        _require(self.every >= 0, "samples.every", self.every, "0 or more")
        SPEC.check_size(self.width, self.height, self.frames)
        SPEC.check_schedule(self.steps, self.shift)
        if self.every:
            for name in ("cases", "vae", "text_encoder"):
                _require(getattr(self, name), f"samples.{name}", getattr(self, name), "to be given with samples.every")


@dataclass(frozen=True)
class ExportSettings:
    """`[export]`: the finished file, `OUTPUT/model.safetensors` or `OUTPUT/lora.safetensors`.

    Args:
        precision: of the model's file; a LoRA's is written by its own rules.
        weights: the averaged ones (if there are any) or those of the last step.
    """

    precision: Literal["bf16", "fp32"] = "bf16"
    weights: Literal["ema", "last"] = "ema"


@dataclass(frozen=True)
class TrainConfig:
    """A whole run. With `lora`, low-rank adapters are trained and the model stays as it is.

    Args:
        model: the settings of the family that `model.family` names, such as ModelSettings.
    """

    model: TrainableSettings
    data: DataSettings
    training: LoopSettings
    timesteps: TimestepSettings = field(default_factory=TimestepSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    ema: EmaSettings = field(default_factory=EmaSettings)
    lora: LoraSettings | None = None
    samples: SampleSettings = field(default_factory=SampleSettings)
    export: ExportSettings = field(default_factory=ExportSettings)

    def __post_init__(self):
        self.model.check(self.training.steps, lora=self.lora is not None)
        names = ("reference_dropout", "single_reference_dropout")
        self.recipe.check_data({name: getattr(self.data, name) for name in names})
        if self.samples.every and not self.recipe.previews:
            raise LumosXError(
                f"samples.every is {self.samples.every}, but {self.recipe.family.spec.name} makes no sample videos "
                f"during training. Remove the table [samples], and make videos with the exported file."
            )

    @property
    def recipe(self) -> TrainableFamily:
        """How the family of the network is trained."""
        return trainable_named(self.model.family)


def read_config(path: str, changes: tuple[str, ...] = ()) -> TrainConfig:
    """Read a config file.

    Args:
        changes: "table.name=value" each, in the place of what the file says; the value is TOML, or text as it is.

    Raises:
        LumosXError: the file cannot be read, a name does not exist, or a value is not possible.
    """
    return parse_config(read_tables(path, changes), where=path)


def parse_config(tables: dict, where: str = "the config") -> TrainConfig:
    """The run that these tables, as tomllib gives them, describe."""
    try:
        current = with_current_names(tables, lambda hint: log.warning("%s: %s", where, hint))
        model = current.get("model")
        name = model.get("family", ModelSettings.family) if isinstance(model, dict) else ModelSettings.family
        kinds = {"model": trainable_named(name).settings} if isinstance(name, str) else {}
        return tables_to_dataclass(TrainConfig, current, kinds={"model": ModelSettings, **kinds})
    except LumosXError as error:
        raise LumosXError(f"{where}: {error}") from error


def _fraction(name: str, value: float) -> None:
    _require(0 <= value <= 1, name, value, "a fraction from 0 to 1")
