"""Ingredients (CogVideoX) as a MODEL of ComfyUI: its network with ComfyUI's layers, inside ComfyUI's own machinery.

Samplers, offloading, LoRAs, fp8 and torch.compile are ComfyUI's. What is particular to the network happens in
`_apply_model`, once for each forward pass: the features of the faces become tokens (once a run), and each row of the
batch learns whose face residual it gets. The rows say themselves which video and which branch they belong to, so the
order in which a guider passes the branches makes no difference. All of this goes with the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import comfy.conds
import comfy.model_base
import comfy.model_management
import torch
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor

from ....lumosx_core.errors import LumosXError
from ....lumosx_core.models.cogvideox.dpm import CogVideoXSchedule
from ....lumosx_core.models.cogvideox.layers import attention
from ....lumosx_core.models.cogvideox.positions import rotary_table
from ....lumosx_core.models.ingredients.config import IngredientsConfig
from ....lumosx_core.models.ingredients.model import IngredientsModel, PreparedFaces
from ...page.notices import run_notice
from .faces import IMAGE, KEY, FaceCondition, Faces
from .settings import Settings, noise_levels

ROWS = "ingredients_rows"
GUIDANCE = "ingredients_guidance"  # in transformer_options
OBSERVERS = "ingredients_observers"  # in transformer_options
ROOM_FOR_BOTH = 1.6

Observer = Callable[[dict, int, Tensor, "PassRows"], None]
"""Called at each injection of a forward pass as (transformer_options, its index, weights of the faces (rows, tokens,
faces), rows of the pass)."""


@dataclass(frozen=True)
class PassRows:
    """Which video and branch each row of one forward pass belongs to.

    Args:
        videos: index in the run's batch.
        negative: whether the row is of the negative branch.
        residual: the row whose face residual is added to it. These, each once and in order, are what is observed.
    """

    videos: tuple[int, ...]
    negative: tuple[bool, ...]
    residual: tuple[int, ...]


@dataclass(eq=False)
class Run:
    """What is computed once in one run of a sampler."""

    faces: dict[Faces, PreparedFaces] = field(default_factory=dict)
    rope: dict[torch.Size, tuple[Tensor, Tensor]] = field(default_factory=dict)
    warned: bool = False


class _Network(IngredientsModel):
    """The network with the calling convention of ComfyUI: (B, C, F, H, W) instead of (B, F, C, H, W).

    Its weights are not there until a checkpoint is assigned: random ones would take time, memory and, in fp8, fail.
    """

    def __init__(self, config: IngredientsConfig, dtype=None, device=None, operations=None):
        super().__init__(config, device="meta", dtype=dtype, operations=operations)
        self.dtype = dtype

    def forward(  # type: ignore[override]  # what ComfyUI calls
        self, x, timestep, context, control=None, transformer_options=None, *, faces, rope, residual_rows, observe=None
    ):
        self.attention = partial(_attention, transformer_options or {})
        out = super().forward(
            x.transpose(1, 2), timestep, context, faces, rope=rope, residual_rows=residual_rows, observe=observe
        )
        self.attention = attention
        return out.transpose(1, 2)


def _attention(transformer_options: dict, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return optimized_attention(
        q, k, v, q.shape[1], skip_reshape=True, skip_output_reshape=True, transformer_options=transformer_options
    )


class IngredientsBase(comfy.model_base.QwenImage):
    """The model in ComfyUI's sense: network, noise schedule, latent format and conditions.

    It has nothing of QwenImage but its class: by it ComfyUI's LoRA loaders map the names "transformer.NAME" and "NAME"
    of diffusers, beside "diffusion_model.NAME" and kohya's, to a network that has diffusers' own names.
    """

    def __init__(self, settings: Settings, schedule: CogVideoXSchedule):
        comfy.model_base.BaseModel.__init__(
            self, settings, comfy.model_base.ModelType.V_PREDICTION, unet_model=_Network
        )
        self.schedule = schedule
        self.model_sampling.set_sigmas(noise_levels(schedule))

    @property
    def config(self) -> IngredientsConfig:
        """The sizes of the network."""
        return self.model_config.unet_config["config"]

    def concat_cond(self, **kwargs) -> Tensor:
        """The latents of the conditioning image in the first frame, zeros in all others: (1, C, F, h, w)."""
        noise, image = kwargs["noise"], kwargs.get(IMAGE)
        _, channels, frames, height, width = noise.shape
        expected = (1, channels, 1, height, width)
        if image is None or image.shape != expected:
            made = "it has none" if image is None else f"it has one of shape {tuple(image.shape)}"
            raise LumosXError(
                f"The {kwargs['prompt_type']} conditioning needs a conditioning image of shape {expected} for this "
                f"latent, but {made}. Use positive, negative and latent of the same Ingredients (CogVideoX) To Video."
            )
        image = self.process_latent_in(image.to(noise))
        rest = image.new_zeros(1, channels, frames - 1, height, width)
        return torch.cat([image, rest], dim=2)

    def extra_conds(self, **kwargs) -> dict:
        """Conditions of one conditioning, for one run.

        Raises:
            LumosXError: no faces, or another size than the network's.
        """
        faces = kwargs.get("model_conds", {}).get(KEY)
        if not isinstance(faces, FaceCondition):
            raise LumosXError(
                f"The {kwargs['prompt_type']} conditioning of this sampler has no faces, but its MODEL is Ingredients "
                "(CogVideoX). Connect positive and negative of Ingredients (CogVideoX) To Video."
            )
        if kwargs.get("area") is not None:
            raise LumosXError(
                "The conditioning has an area, but Ingredients (CogVideoX) computes whole frames only. Take "
                "Conditioning (Set Area) out of the workflow."
            )
        self._check(kwargs["noise"], kwargs["cross_attn"])
        return {
            "c_concat": comfy.conds.CONDNoiseShape(self.concat_cond(**kwargs)),
            "c_crossattn": comfy.conds.CONDRegular(kwargs["cross_attn"]),
            KEY: FaceCondition(faces.cond, read=True),
            ROWS: _Rows(kwargs["prompt_type"] == "negative"),
        }

    def extra_conds_shapes(self, **kwargs) -> dict:
        return {}

    def memory_required(self, input_shape, cond_shapes=None) -> float:
        """Bytes for a forward pass; more when asked before the weights are loaded, then without conditions' shapes.

        ComfyUI runs both branches in one batch only if half as much again is free. Shared guidance needs one batch, so
        more weights stay outside the device instead.
        """
        needed = super().memory_required(input_shape, cond_shapes or {})
        return needed if cond_shapes else ROOM_FOR_BOTH * needed

    def _check(self, noise: Tensor, text: Tensor) -> None:
        sizes = self.config.transformer
        check_size(self.config, noise.shape[-1], noise.shape[-2])
        if noise.shape[1] != sizes.out_channels:
            raise LumosXError(
                f"The latent to sample has {noise.shape[1]} channels, but the network has {sizes.out_channels}. Use "
                "the latent of Ingredients (CogVideoX) To Video."
            )
        if text.shape[1:] != (sizes.max_text_seq_length, sizes.text_embed_dim):
            raise LumosXError(
                f"The text has the shape {tuple(text.shape[1:])}, but the network reads "
                f"{(sizes.max_text_seq_length, sizes.text_embed_dim)} (tokens, width). Use Ingredients (CogVideoX) To "
                "Video with the text encoder of CogVideoX, t5xxl."
            )

    def _apply_model(self, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
        options = transformer_options or {}
        if control is not None:
            raise LumosXError("Ingredients (CogVideoX) has no ControlNet. Take Apply ControlNet out of the workflow.")
        faces: Faces = kwargs.pop(KEY)
        run: Run = options.get(KEY) or Run()
        rows = self._rows(kwargs.pop(ROWS), options, run)
        observers: Sequence[Observer] = options.get(OBSERVERS, ())

        def observe(layer: int, weights: Tensor) -> None:
            for observer in observers:
                observer(options, layer, weights, rows)

        return super()._apply_model(
            x,
            t,
            c_concat,
            c_crossattn,
            None,
            options,
            faces=self._prepared(faces, x.device, run),
            rope=self._rope(x, run),
            residual_rows=rows.residual,
            observe=observe if observers else None,
            **kwargs,
        )

    def _prepared(self, faces: Faces, device: torch.device, run: Run) -> PreparedFaces:
        """What the network computes of the faces alone, when first asked for: then its weights are in place."""
        if faces not in run.faces:
            network, dtype = self.diffusion_model, self.get_dtype_inference()
            features = faces.features.id_cond.to(device, dtype), faces.features.id_vit_hidden.to(device, dtype)
            run.faces[faces] = network.prepare_faces(network.encode_faces(*features))
        return run.faces[faces]

    def _rope(self, x: Tensor, run: Run) -> tuple[Tensor, Tensor]:
        size = x.shape[2:]
        if size not in run.rope:
            frames, height, width = size
            run.rope[size] = rotary_table(self.config.transformer, frames, height, width, x.device)
        return run.rope[size]

    def get_dtype_inference(self) -> torch.dtype:
        """The dtype in which the network computes; ComfyUI has this method since 0.9."""
        return self.get_dtype() if self.manual_cast_dtype is None else self.manual_cast_dtype

    def _rows(self, rows: Tensor, options: dict, run: Run) -> PassRows:
        videos, negative = (tuple(column) for column in rows.T.tolist())
        own = tuple(range(len(videos)))
        residual: tuple[int, ...] = own
        if options.get(GUIDANCE, "shared") == "shared":
            shared = {video: row for row, video in enumerate(videos) if negative[row]}
            if not set(videos) <= set(shared):
                _warn_once(run)
            residual = tuple(shared.get(video, row) for row, video in enumerate(videos))
        return PassRows(videos, tuple(map(bool, negative)), residual)


class _Rows(comfy.conds.CONDRegular):
    """(B, 2), for each row of a batch its video and whether it is of the negative branch."""

    def __init__(self, negative: bool):
        self.negative = negative
        super().__init__(torch.tensor([[0, int(negative)]]))

    def process_cond(self, batch_size: int, **kwargs) -> comfy.conds.CONDRegular:
        rows = torch.tensor([[video, int(self.negative)] for video in range(batch_size)])
        return comfy.conds.CONDRegular(rows)


def schedule_of_model(model: comfy.model_base.BaseModel) -> CogVideoXSchedule:
    """The noise schedule that a model was released with; that of CogVideoX-5B-I2V for any other model."""
    return model.schedule if isinstance(model, IngredientsBase) else CogVideoXSchedule()


def check_size(config: IngredientsConfig, width: int, height: int) -> None:
    """Raise LumosXError unless latents of width x height are what the network's table of positions is for."""
    sizes = config.transformer
    if (width, height) != (sizes.sample_width, sizes.sample_height):
        raise LumosXError(
            f"The video is {width * 8}x{height * 8}, but this network knows positions for "
            f"{sizes.sample_width * 8}x{sizes.sample_height * 8} only. Set width {sizes.sample_width * 8} and height "
            f"{sizes.sample_height * 8} on Ingredients (CogVideoX) To Video."
        )


def ingredients_config(patcher) -> IngredientsConfig:
    """The sizes of a MODEL's network.

    Raises:
        LumosXError: it is another model.
    """
    if not isinstance(patcher.model, IngredientsBase):
        raise LumosXError(
            f"The MODEL is {type(patcher.model).__name__}, expected Ingredients (CogVideoX). Connect Ingredients "
            "(CogVideoX) Load Model, with LoRA loaders or without."
        )
    return patcher.model.config


def _warn_once(run: Run) -> None:
    if not run.warned:
        run.warned = True
        run_notice(
            "Ingredients (CogVideoX)",
            "Guidance is shared, but the positive branch is computed without the negative one: cfg is 1, memory is "
            "short, or the two conditionings do not fit into one batch. Faces are placed for each branch on its own "
            "(per_branch), so the video differs from the released one.",
        )
