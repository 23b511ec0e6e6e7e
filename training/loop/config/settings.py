"""The config file of a training run: TOML tables that become frozen dataclasses, each value checked.

A name that does not exist is an error that suggests the nearest one. Paths are relative to the current folder.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Literal

from lumosx_core import RelationalOptions
from lumosx_core.errors import LumosXError
from lumosx_core.models.lumosx.spec import SPEC

from ...lora import LoraSettings
from .old_names import with_current_names
from .toml_tables import read_tables, tables_to_dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SizeSettings:
    """`[model.sizes]`: a network from nothing; the defaults are the released sizes (see LumosXConfig).

    A file does not record its number of heads, so every reader assumes Wan2.1's width of 128 per head.
    """

    dim: int = 1536
    ffn_dim: int = 8960
    num_heads: int = 12
    num_layers: int = 30
    text_dim: int = 4096
    freq_dim: int = 256

    def __post_init__(self):
        _require(self.dim > 0 and self.dim % 128 == 0, "model.sizes.dim", self.dim, "a multiple of 128, as in Wan2.1")
        heads = self.dim // 128
        _require(self.num_heads == heads, "model.sizes.num_heads", self.num_heads, f"{heads}: dim / 128")
        limits = {"dim": 16_384, "ffn_dim": 131_072, "num_layers": 1000, "text_dim": 65_536, "freq_dim": 65_536}
        for name, limit in limits.items():
            value = getattr(self, name)
            _require(1 <= value <= limit, f"model.sizes.{name}", value, f"1 to {limit}")


@dataclass(frozen=True)
class ModelSettings:
    """`[model]`: what training starts from.

    Args:
        file: a LumosX or Wan2.1 text-to-video checkpoint; without it `sizes` is required.
        sizes: start from nothing.
        text_len: tokens the text is padded to. A network that learns from nothing finds the words sooner among little
            padding than among the released 512 tokens, nearly all of them padding; it needs 512 in the end.
        mcam_ratio, r2pe, csam: the relational parts, as in RelationalOptions.
        mcam_ratio_start, mcam_ratio_steps: begin with this ratio, and fall from it, by the same factor each step, to
            mcam_ratio in so many steps. MCAM's bias is proportional to attention that a network which learns from
            nothing does not pay to words yet: with a strong start it finds them.
        shuffle_references: pass the reference images as separate groups in random order, so that the order carries
            no information about who owns what; only without r2pe, for ablations.
        dtype: of frozen weights; bfloat16 halves their memory when a LoRA is trained.
    """

    file: str | None = None
    sizes: SizeSettings | None = None
    text_len: int = SPEC.text_len
    mcam_ratio: float = 0.5
    mcam_ratio_start: float | None = None
    mcam_ratio_steps: int = 0
    r2pe: bool = True
    csam: bool = True
    shuffle_references: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self):
        _require((self.file is None) != (self.sizes is None), "model", self, "either model.file or [model.sizes]")
        _require(1 <= self.text_len <= SPEC.text_len, "model.text_len", self.text_len, f"1 to {SPEC.text_len}")
        if self.mcam_ratio_start is not None or self.mcam_ratio_steps:
            for name in ("mcam_ratio_start", "mcam_ratio", "mcam_ratio_steps"):
                value = getattr(self, name)
                _require(value is not None and value > 0, f"model.{name}", value, "more than 0 where the ratio falls")
        _require(
            not (self.shuffle_references and self.r2pe), "model.shuffle_references", True, "model.r2pe = false with it"
        )

    def options_at(self, step: int, *, join_text_padding: bool = False) -> RelationalOptions:
        """The network's switches in a step (0, 1, ...)."""
        return RelationalOptions(self.mcam_ratio_at(step), self.r2pe, self.csam, join_text_padding=join_text_padding)

    def mcam_ratio_at(self, step: int) -> float:
        """The ratio in a step (0, 1, ...)."""
        if self.mcam_ratio_start is None or step >= self.mcam_ratio_steps:
            return self.mcam_ratio
        return self.mcam_ratio_start * (self.mcam_ratio / self.mcam_ratio_start) ** (step / self.mcam_ratio_steps)


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
    """A whole run. With `lora`, low-rank adapters are trained and the model stays as it is."""

    model: ModelSettings
    data: DataSettings
    training: LoopSettings
    timesteps: TimestepSettings = field(default_factory=TimestepSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    ema: EmaSettings = field(default_factory=EmaSettings)
    lora: LoraSettings | None = None
    samples: SampleSettings = field(default_factory=SampleSettings)
    export: ExportSettings = field(default_factory=ExportSettings)

    def __post_init__(self):
        fall, steps = self.model.mcam_ratio_steps, self.training.steps
        _require(
            fall <= steps, "model.mcam_ratio_steps", fall, f"at most training.steps ({steps}), to end at mcam_ratio"
        )
        if self.lora is not None:
            _require(self.model.file, "model.file", self.model.file, "the model that the LoRA is for")
        else:
            _require(
                self.model.dtype == "float32", "model.dtype", self.model.dtype, "float32, as all weights are trained"
            )


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
        return tables_to_dataclass(TrainConfig, current)
    except LumosXError as error:
        raise LumosXError(f"{where}: {error}") from error


def _fraction(name: str, value: float) -> None:
    _require(0 <= value <= 1, name, value, "a fraction from 0 to 1")


def _require(fits: object, name: str, value: object, expected: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        fits = False
    if not fits:
        statement = f"{name} is {value!r}" if isinstance(value, int | float | str | list | tuple | None) else name
        raise LumosXError(f"{statement}, expected {expected}.")
