"""How Ingredients is trained: the table `[model]` of a config, the network at the start, the losses of its two stages.

Stage 1 aligns the faces (facial extractor and cross-attention, or the whole network) with the diffusion loss alone;
stage 2 tunes the router with the routing loss beside it. Both are settings of the same training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from ....errors import LumosXError
from ....files.model_files import ModelFiles
from ....files.stored_tensor import StoredTensor
from ....files.text_file import read_text
from ....scene.layout import ReferenceLayout
from ...cogvideox.dpm import CogVideoXSchedule
from ...cogvideox.positions import rotary_table
from ...family import ModelFamily
from ...trainable import Note, PartsEncoder, require_setting, trained_names
from ..config import IngredientsConfig
from ..ingredients_family import INGREDIENTS
from ..model import IngredientsModel
from ..routing_loss import IGNORED, routing_loss
from ..spec import FACE_ENCODER, SPEC
from ..weights.load import CONFIG, build_model, open_network
from .example_encoder import FaceExampleEncoder
from .face_example import FaceExample, collate_faces

PARTS = ("id_cond", "id_vit_hidden", "image", "face_share")
POSITIONS = "patch_embed.pos_embedding"
"""The table of positions: upstream computes it once and does not train it."""


@dataclass(frozen=True)
class IngredientsModelSettings:
    """`[model]` with `family = "ingredients"`.

    Args:
        file: the released folder, its folder transformer, or one file; without it `config` is required.
        config: a config.json in the release's format: start from nothing.
        text_len: tokens the text is cut to; fewer than 226 are for networks that learn from nothing, which find the
            words sooner among little padding.
        train: patterns of the names of the parameters that are trained, such as "router.*"; empty: all but the table
            of positions.
        routing_weight: weight of the routing loss beside the diffusion loss; 0 does without.
        label_share: a token shows the face that has the largest share of its pixels, if that is at least this much.
        dtype: of frozen weights; bfloat16 halves their memory.
    """

    family: Literal["ingredients"] = "ingredients"
    file: str | None = None
    config: str | None = None
    text_len: int = SPEC.text_len
    train: tuple[str, ...] = ()
    routing_weight: float = 0.0
    label_share: float = 0.5
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self):
        both = (self.file is None) != (self.config is None)
        require_setting(both, "model", self, "either model.file or model.config")
        require_setting(1 <= self.text_len <= SPEC.text_len, "model.text_len", self.text_len, f"1 to {SPEC.text_len}")
        require_setting(self.routing_weight >= 0, "model.routing_weight", self.routing_weight, "0 or more")
        require_setting(0 < self.label_share <= 1, "model.label_share", self.label_share, "more than 0, and at most 1")

    @property
    def shuffle_references(self) -> bool:
        """Never: the order of faces carries no information but that of their places on the canvas."""
        return False

    def check(self, steps: int, *, lora: bool) -> None:
        """Raise LumosXError where these settings do not fit to the rest of a run."""
        if lora:
            raise LumosXError(
                f"[lora] is given, but {SPEC.name} is trained by its own weights. Remove the table, and name what is "
                f"trained in model.train."
            )
        require_setting(
            self.dtype == "float32" or self.train, "model.dtype", self.dtype, "float32, as all weights are trained"
        )


class IngredientsTraining:
    """The Ingredients entry of the families that are trained; see `TrainableFamily`."""

    family: ModelFamily = INGREDIENTS
    settings: type[Any] = IngredientsModelSettings
    sizes: tuple[tuple[int, int], ...] = ((SPEC.height, SPEC.width),)  # the network has positions for no other
    tiny_frames: tuple[int, ...] = (9,)
    augmentations: tuple[str, ...] = ("none",)
    companions: tuple[str, ...] = (FACE_ENCODER,)
    previews = False

    def parts_encoder(self, files: ModelFiles, vae: Any, text_encoder: Any, device: torch.device) -> PartsEncoder:
        return FaceExampleEncoder(files, vae, text_encoder, device)

    def conditions(self, tensors: Mapping[str, Tensor], layout: ReferenceLayout, record: Mapping[str, Any]) -> Any:
        id_cond, hidden, image, share = (tensors[name][None] for name in PARTS)
        example = FaceExample(id_cond, hidden, image, share, tokens=int(record["tokens"]))
        if example.layout != layout:
            raise LumosXError(f"It has {example.layout.pictures} faces, but its record says {layout.pictures}.")
        return example

    def collate(self, conditions: Sequence[FaceExample]) -> FaceExample:
        return collate_faces(conditions)

    def text(self, text: Tensor, length: int) -> Tensor:
        return text[:length]

    def shortened(self, conditions: FaceExample, length: int) -> FaceExample:
        if conditions.tokens > length:
            raise LumosXError(f"Its caption has {conditions.tokens} tokens, and model.text_len is {length}. Raise it.")
        return conditions

    def check_data(self, dropout: Mapping[str, float]) -> None:
        for name, fraction in dropout.items():
            require_setting(not fraction, f"data.{name}", fraction, f"0: {SPEC.name} always reads all faces of a clip")

    def network(self, settings: IngredientsModelSettings) -> IngredientsModel:
        if settings.file is None:
            assert settings.config is not None  # the settings require one of the two
            model = new_network(_read_config(settings.config))
        else:
            model = build_model(open_network(settings.file), dtype=getattr(torch, settings.dtype))
        if settings.text_len < model.sizes.max_text_seq_length:
            model = _with_short_text(model, settings.text_len)
        model.requires_grad_(False)
        trained = trained_names([name for name, _ in model.named_parameters()], settings.train, (POSITIONS,))
        for name, parameter in model.named_parameters():
            if name in trained:
                parameter.data = parameter.data.float()
                parameter.requires_grad_(True)
        return model

    def options(self, settings: IngredientsModelSettings, step: int, device: torch.device) -> IngredientsModelSettings:
        return settings

    def losses(
        self,
        model: nn.Module,
        video: Tensor,
        text: Tensor,
        conditions: FaceExample,
        noise: Tensor,
        timestep: Tensor,
        options: IngredientsModelSettings,
        note: Note,
    ) -> Tensor:
        """The squared error of v; with a weight, and the routing loss of the batch.

        The error of v is that of the clean latents over 1 - alpha, as ConsisID weighs it: clean latents are
        sqrt(alpha) * noisy - sqrt(1 - alpha) * v.
        """
        step = timestep.long().clamp(0, SCHEDULE.num_train_timesteps - 1)
        noisy, target = noisy_video(video, noise, step)
        predicted, logits = predict(model, noisy, step, text, conditions)
        losses = (predicted.float() - target.float()).square().flatten(1).mean(dim=1)
        note("diffusion_loss", losses.mean())
        labels = conditions.labels(options.label_share)
        if (labels != IGNORED).any():
            routing = routing_loss(logits, labels)
            note("routing_loss", routing)
            note("routed_right", routed_right(logits, labels).mean())
            if options.routing_weight:
                losses = losses + options.routing_weight * routing
        elif options.routing_weight:
            losses = losses + 0 * logits.sum()
        return losses

    def export_facts(self, settings: IngredientsModelSettings) -> dict[str, Any]:
        names = ("text_len", "routing_weight", "label_share")
        return {"train": list(settings.train), **{name: getattr(settings, name) for name in names}}

    def exported(
        self,
        settings: IngredientsModelSettings,
        network: nn.Module,
        frozen: Mapping[str, StoredTensor],
        weights: Mapping[str, StoredTensor],
    ) -> tuple[Mapping[str, StoredTensor], Mapping[str, str]]:
        tensors = {**frozen, **weights}
        config = cast(IngredientsModel, network).config
        if settings.text_len < SPEC.text_len:
            whole = replace(config.transformer, max_text_seq_length=SPEC.text_len)
            tensors[POSITIONS] = StoredTensor.of(_whole_positions(tensors[POSITIONS].load(), settings.text_len))
            config = replace(config, transformer=whole)
        return tensors, {CONFIG: json.dumps(config.to_dict())}


SCHEDULE = CogVideoXSchedule()


def noisy_video(video: Tensor, noise: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Clean latents with noise, and the v that is to be predicted, at integer timesteps 0 to 999."""
    alpha = SCHEDULE.alphas_cumprod[step.cpu()].to(video.device, torch.float32).view(-1, *(1,) * (video.ndim - 1))
    signal, spread = alpha.sqrt(), (1 - alpha).sqrt()
    return signal * video + spread * noise, signal * noise - spread * video


def predict(model: nn.Module, noisy: Tensor, step: Tensor, text: Tensor, faces: FaceExample) -> tuple[Tensor, Tensor]:
    """v (B, C, T, h, w) of clips that have faces of their own, and the router's logits (injections, B, S, N)."""
    clips, _, frames, height, width = noisy.shape
    image = torch.cat([faces.image[:, None], faces.image.new_zeros(clips, frames - 1, *faces.image.shape[1:])], dim=1)
    network = cast(IngredientsModel, getattr(model, "module", model))
    predicted, logits = model(
        torch.cat([noisy.transpose(1, 2), image.to(noisy)], dim=2),
        step,
        text,
        (faces.id_cond, faces.id_vit_hidden),
        rope=rotary_table(network.config.transformer, frames, height, width, noisy.device),
        guidance="per_branch",
        return_router=True,
    )
    return predicted.transpose(1, 2), logits if clips > 1 else logits[:, None]


def routed_right(logits: Tensor, labels: Tensor) -> Tensor:
    """The fraction of labelled tokens whose most probable face is the right one, in each injection.

    Args:
        logits: (injections, B, S, N).
        labels: (B, S), -1 ignored.
    """
    counted = labels != IGNORED
    return (logits.argmax(dim=-1) == labels)[:, counted].float().mean(dim=1)


def new_network(config: IngredientsConfig) -> IngredientsModel:
    """A network that learns from nothing: what it adds to images begins at 0, so that it begins as a short one."""
    model = IngredientsModel(config)
    for block in cast(Sequence[Any], model.transformer_blocks):
        for norm in (block.norm1, block.norm2):
            nn.init.zeros_(norm.linear.weight)
            nn.init.zeros_(norm.linear.bias)
    nn.init.zeros_(model.proj_out.weight)
    nn.init.zeros_(model.proj_out.bias)
    return model


def _read_config(path: str) -> IngredientsConfig:
    try:
        content = json.loads(read_text(path, "Check the path of model.config."))
    except (ValueError, RecursionError) as error:
        raise LumosXError(f"model.config {path!r} is not JSON ({error}). Give a config.json.") from error
    if not isinstance(content, dict):
        raise LumosXError(f"model.config {path!r} is not a JSON object. Give a config.json.")
    return IngredientsConfig.from_dict(content)


def _with_short_text(model: IngredientsModel, length: int) -> IngredientsModel:
    """The same network for texts of fewer tokens: the positions of the others are left out."""
    whole = model.sizes.max_text_seq_length
    config = replace(model.config, transformer=replace(model.config.transformer, max_text_seq_length=length))
    state = dict(model.state_dict())
    table = state[POSITIONS]
    state[POSITIONS] = torch.cat([table[:, :length], table[:, whole:]], dim=1)
    short = IngredientsModel(config, device="meta")
    short.load_state_dict(state, assign=True)
    return short


def _whole_positions(table: Tensor, length: int) -> Tensor:
    """A table of positions for texts of 226 tokens again; those that were left out have none."""
    missing = table.new_zeros(1, SPEC.text_len - length, table.shape[2])
    return torch.cat([table[:, :length], missing, table[:, length:]], dim=1)


INGREDIENTS_TRAINING = IngredientsTraining()
