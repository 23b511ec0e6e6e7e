"""How LumosX is trained: the table `[model]` of a config, the network at the start, the released loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...errors import LumosXError
from ...files.model_files import ModelFiles
from ...files.stored_tensor import StoredTensor
from ...sampling.objective import noisy_latents, velocity_loss
from ...scene.encoded import EncodedScene
from ...scene.layout import ReferenceLayout
from ..family import ModelFamily
from ..trainable import Note, PartsEncoder, require_setting
from .config import LumosXConfig, RelationalOptions
from .lumosx_family import LUMOSX
from .model import LumosXModel
from .spec import SPEC
from .weights.load import build_model, open_network


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
        require_setting(
            self.dim > 0 and self.dim % 128 == 0, "model.sizes.dim", self.dim, "a multiple of 128, as in Wan2.1"
        )
        heads = self.dim // 128
        require_setting(self.num_heads == heads, "model.sizes.num_heads", self.num_heads, f"{heads}: dim / 128")
        limits = {"dim": 16_384, "ffn_dim": 131_072, "num_layers": 1000, "text_dim": 65_536, "freq_dim": 65_536}
        for name, limit in limits.items():
            value = getattr(self, name)
            require_setting(1 <= value <= limit, f"model.sizes.{name}", value, f"1 to {limit}")


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
        family: of the network.
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
    family: Literal["lumosx"] = "lumosx"

    def __post_init__(self):
        require_setting(
            (self.file is None) != (self.sizes is None), "model", self, "either model.file or [model.sizes]"
        )
        require_setting(1 <= self.text_len <= SPEC.text_len, "model.text_len", self.text_len, f"1 to {SPEC.text_len}")
        if self.mcam_ratio_start is not None or self.mcam_ratio_steps:
            for name in ("mcam_ratio_start", "mcam_ratio", "mcam_ratio_steps"):
                value = getattr(self, name)
                require_setting(
                    value is not None and value > 0, f"model.{name}", value, "more than 0 where the ratio falls"
                )
        require_setting(
            not (self.shuffle_references and self.r2pe), "model.shuffle_references", True, "model.r2pe = false with it"
        )

    def check(self, steps: int, *, lora: bool) -> None:
        """Raise LumosXError where these settings do not fit to the rest of a run."""
        require_setting(
            self.mcam_ratio_steps <= steps,
            "model.mcam_ratio_steps",
            self.mcam_ratio_steps,
            f"at most training.steps ({steps}), to end at mcam_ratio",
        )
        if lora:
            require_setting(self.file, "model.file", self.file, "the model that the LoRA is for")
        else:
            require_setting(self.dtype == "float32", "model.dtype", self.dtype, "float32, as all weights are trained")

    def options_at(self, step: int, *, join_text_padding: bool = False) -> RelationalOptions:
        """The network's switches in a step (0, 1, ...)."""
        return RelationalOptions(self.mcam_ratio_at(step), self.r2pe, self.csam, join_text_padding=join_text_padding)

    def mcam_ratio_at(self, step: int) -> float:
        """The ratio in a step (0, 1, ...)."""
        if self.mcam_ratio_start is None or step >= self.mcam_ratio_steps:
            return self.mcam_ratio
        return self.mcam_ratio_start * (self.mcam_ratio / self.mcam_ratio_start) ** (step / self.mcam_ratio_steps)


class LumosXTraining:
    """The LumosX entry of the families that are trained; see `TrainableFamily`."""

    family: ModelFamily = LUMOSX
    settings: type[Any] = ModelSettings
    sizes: tuple[tuple[int, int], ...] = ((SPEC.height, SPEC.width), (SPEC.width, SPEC.height))
    tiny_frames: tuple[int, ...] = (9, 17)
    augmentations: tuple[str, ...] = ("paper", "code", "none")
    companions: tuple[str, ...] = ()
    previews = True

    def parts_encoder(
        self, files: ModelFiles, vae: Any, text_encoder: Any, device: torch.device
    ) -> PartsEncoder | None:
        return None

    def conditions(self, tensors: Mapping[str, Tensor], layout: ReferenceLayout, record: Mapping[str, Any]) -> Any:
        mask = tensors["phrase_mask"]
        return EncodedScene(tensors["references"][None], layout, mask)

    def collate(self, conditions: Sequence[EncodedScene]) -> EncodedScene:
        references = torch.cat([scene.references for scene in conditions]).float()
        masks = torch.stack([scene.words for scene in conditions])
        return EncodedScene(references, conditions[0].layout, masks)

    def text(self, text: Tensor, length: int) -> Tensor:
        if len(text) > length:
            raise LumosXError(f"Its caption has {len(text)} tokens, and model.text_len is {length}. Raise it.")
        return text

    def shortened(self, conditions: EncodedScene, length: int) -> EncodedScene:
        return replace(conditions, phrase_mask=conditions.words[:, :length])

    def check_data(self, dropout: Mapping[str, float]) -> None:
        """All kinds of dropout are possible."""

    def network(self, settings: ModelSettings) -> LumosXModel:
        if settings.file is None:
            assert settings.sizes is not None  # ModelSettings requires one of the two
            return LumosXModel(LumosXConfig(**asdict(settings.sizes), text_len=settings.text_len))
        network = open_network(settings.file)
        sizes = replace(network.config, text_len=settings.text_len)  # which does not show in the weights
        return build_model(replace(network, config=sizes), dtype=getattr(torch, settings.dtype))

    def options(self, settings: ModelSettings, step: int, device: torch.device) -> RelationalOptions:
        # Where attention with a bias costs nothing extra, joining the padding saves most of a small network's time.
        return settings.options_at(step, join_text_padding=device.type == "cpu")

    def losses(
        self,
        model: nn.Module,
        video: Tensor,
        text: Tensor,
        conditions: EncodedScene,
        noise: Tensor,
        timestep: Tensor,
        options: RelationalOptions,
        note: Note,
    ) -> Tensor:
        latents, target = noisy_latents(video, noise, timestep)
        return velocity_loss(model(latents, timestep, text, conditions, options), target)

    def export_facts(self, settings: ModelSettings) -> dict[str, Any]:
        return {name: getattr(settings, name) for name in ("mcam_ratio", "r2pe", "csam", "text_len")}

    def exported(
        self,
        settings: ModelSettings,
        network: nn.Module,
        frozen: Mapping[str, StoredTensor],
        weights: Mapping[str, StoredTensor],
    ) -> tuple[Mapping[str, StoredTensor], Mapping[str, str]]:
        return weights, {}


LUMOSX_TRAINING = LumosXTraining()
