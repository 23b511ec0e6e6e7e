"""First step: load the model and make it relational."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import comfy.model_management
import comfy.sd
import comfy.utils
import torch
from comfy_api.latest import io
from safetensors import safe_open

from ..lumosx_core.errors import LumosXError
from ..lumosx_core.files.formats.quantised import QUANTISATION
from ..lumosx_core.models.lumosx.config import PHANTOM_PRESET, PRESETS, RelationalOptions, preset_options
from ..lumosx_core.models.lumosx.weights.load import open_network
from ..lumosx_core.models.wan.names import native_names, open_checkpoint
from ..lumosx_core.own_command import own_command
from .bridges.clip_bridge import load_umt5
from .bridges.comfy_bridge import patch_model
from .inputs.host_schema import FOLDED, found_by
from .inputs.weight_files import validated, weight_files, weight_path
from .page.notices import HIDDEN, notice
from .page.weight_warnings import warn_of_file, warn_of_model

_DTYPES = {"default": None, "fp8_e4m3fn": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2}
_PARTS_OFF = (
    "Preset Phantom: these weights were not trained with R2PE, CSAM and MCAM, so they are off, whatever this node's "
    "switches say. To try them all the same, choose the preset custom."
)
_CHOOSE_UMT5 = "Choose the umt5 file that belongs to Wan2.1, e.g. umt5_xxl_fp8_e4m3fn_scaled.safetensors."


class LumosXLoadModel(io.ComfyNode):
    """Loads LumosX weights with ComfyUI's own loader and makes the model relational with the released settings."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXLoadModel",
            display_name="LumosX Load Model",
            **found_by("model", "weights", "people", "character"),
            category="LumosX",
            description="Loads LumosX weights and applies LumosX's relational attention with the released settings.",
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=weight_files("diffusion_models"),
                    tooltip="A LumosX (Wan2.1 text-to-video) file in models/diffusion_models. If the file is "
                    "missing, the node shows the command that downloads the released weights.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(_DTYPES),
                    tooltip="Data type of the weights in memory. default: as in the file.",
                    extra_dict=FOLDED,
                ),
            ],
            outputs=[
                io.Model.Output(
                    tooltip="A model that follows a LumosX scene. Put LoRA loaders between it and the sampler."
                )
            ],
            hidden=HIDDEN,
        )

    @classmethod
    def validate_inputs(cls, model_name):
        return validated("diffusion_models", model_name)

    @classmethod
    def execute(cls, model_name, weight_dtype) -> io.NodeOutput:
        path = weight_path("diffusion_models", model_name)
        options = {} if _DTYPES[weight_dtype] is None else {"dtype": _DTYPES[weight_dtype]}
        try:
            model = patch_model(comfy.sd.load_diffusion_model(path, model_options=options), RelationalOptions())
        except comfy.model_management.OOM_EXCEPTION:
            raise
        except Exception as error:
            # Our own reader knows the formats people have and says what is wrong with the file, if anything is.
            open_network(path)
            raise LumosXError(
                f"{model_name} contains a LumosX network, but not in a format that ComfyUI loads "
                f"({_first_line(error)}). Convert it to a safetensors file: "
                f"{own_command('convert', path, _converted(path))}"
            ) from error
        names = native_names(_tensor_names(path))
        network = model.model.diffusion_model
        _check_complete(model_name, network, names, "Download or convert it again.")
        warn_of_file(cls, model_name, path, network.dim)
        return io.NodeOutput(model)


class LumosXLoadTextEncoder(io.ComfyNode):
    """Loads a UMT5 text encoder of any size; ComfyUI's Load CLIP knows the released size only."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXLoadTextEncoder",
            display_name="LumosX Load Text Encoder",
            category="LumosX",
            description="Loads a UMT5 text encoder of any size, such as lumosx-tiny's. For the released umt5_xxl it "
            "does the same as Load CLIP with type wan.",
            inputs=[
                io.Combo.Input(
                    "text_encoder_name",
                    options=weight_files("text_encoders"),
                    tooltip="A UMT5 file in models/text_encoders.",
                )
            ],
            outputs=[io.Clip.Output(tooltip="The text encoder, for LumosX Scene To Video.")],
        )

    @classmethod
    def validate_inputs(cls, text_encoder_name):
        return validated("text_encoders", text_encoder_name)

    @classmethod
    def execute(cls, text_encoder_name) -> io.NodeOutput:
        path = weight_path("text_encoders", text_encoder_name)
        try:
            clip, network, names = load_umt5(path)
        except comfy.model_management.OOM_EXCEPTION:
            raise
        except Exception as error:
            open_checkpoint(path)  # says what is wrong with a damaged file
            reason = f"it has no tensor {error}" if isinstance(error, KeyError) else _first_line(error)
            raise LumosXError(f"{text_encoder_name} is not a UMT5 text encoder: {reason}. {_CHOOSE_UMT5}") from error
        _check_complete(text_encoder_name, network, names, _CHOOSE_UMT5)
        return io.NodeOutput(clip)


class LumosXLoadVAE(io.ComfyNode):
    """Loads a VAE as ComfyUI's Load VAE does, and also lists lumosx-tiny's."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXLoadVAE",
            display_name="LumosX Load VAE",
            category="LumosX",
            description="Loads the VAE of Wan2.1, or lumosx-tiny's. For the released VAE it does the same as Load VAE.",
            inputs=[
                io.Combo.Input(
                    "vae_name",
                    options=weight_files("vae"),
                    tooltip="The VAE of Wan2.1 (wan_2.1_vae.safetensors) in models/vae, or lumosx-tiny's.",
                )
            ],
            outputs=[io.Vae.Output(tooltip="The VAE, for LumosX Scene To Video and VAE Decode.")],
        )

    @classmethod
    def validate_inputs(cls, vae_name):
        return validated("vae", vae_name)

    @classmethod
    def execute(cls, vae_name) -> io.NodeOutput:
        path = weight_path("vae", vae_name)
        try:
            tensors, metadata = comfy.utils.load_torch_file(path, return_metadata=True)
            vae = comfy.sd.VAE(sd=tensors, metadata=metadata)
            vae.throw_exception_if_invalid()
        except comfy.model_management.OOM_EXCEPTION:
            raise
        except Exception as error:
            open_checkpoint(path)  # says what is wrong with a damaged file
            raise LumosXError(
                f"{vae_name} is not a VAE that ComfyUI loads ({_first_line(error)}). Choose the VAE of Wan2.1, "
                f"wan_2.1_vae.safetensors."
            ) from error
        return io.NodeOutput(vae)


def _tensor_names(path: str) -> list[str]:
    if path.lower().endswith((".safetensors", ".sft")):
        with safe_open(path, framework="pt") as file:  # names only: our reader leaves out kinds it cannot compute with
            return list(file.keys())
    return list(open_checkpoint(path))


def _check_complete(file_name: str, network: torch.nn.Module, names: Collection[str], fix: str) -> None:
    """Raise LumosXError for a tensor the file lacks: ComfyUI only logs it and computes with random memory."""
    missing = [name for name, _ in network.named_parameters() if name not in names and not name.endswith(QUANTISATION)]
    if missing:
        raise LumosXError(f"{file_name} is incomplete: it lacks {len(missing)} tensors, such as {missing[:3]}. {fix}")


def _converted(source: str) -> Path:
    """A free name beside a file for what it is converted into."""
    path = Path(source)
    new = path.with_suffix(".safetensors")
    return path.with_name(f"{path.stem}_converted.safetensors") if new.exists() else new


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".: ")


class LumosXApply(io.ComfyNode):
    """Makes any loaded Wan2.1 text-to-video MODEL (fp8, GGUF, with LoRA) relational."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXApply",
            display_name="LumosX Apply (to a loaded model)",
            **found_by("model", "people", "character"),
            category="LumosX",
            description="Makes a loaded Wan2.1 text-to-video model follow a LumosX scene. Without a scene in the "
            "conditioning the model is unchanged. Use it after loaders other than LumosX Load Model, or "
            "to change the settings.",
            inputs=[
                io.Model.Input("model", tooltip="A Wan2.1 text-to-video model from any loader, with or without LoRA."),
                io.Float.Input(
                    "mcam_ratio",
                    default=0.5,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    tooltip="How strongly each subject's reference images attend to the subject's own words rather "
                    "than to the words of others. Released: 0.5.",
                ),
                io.Boolean.Input(
                    "r2pe",
                    default=True,
                    tooltip="Give all reference images of one subject the same position in time.",
                    extra_dict=FOLDED,
                ),
                io.Boolean.Input(
                    "csam",
                    default=True,
                    tooltip="Keep the reference images of different subjects apart.",
                    extra_dict=FOLDED,
                ),
                io.Boolean.Input(
                    "mcam",
                    default=True,
                    tooltip="Bind each subject's reference images to its words.",
                    extra_dict=FOLDED,
                ),
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default=PRESETS[0],
                    optional=True,
                    tooltip="What the weights were trained for. LumosX released: integer timesteps, and the parts as "
                    "set here. Phantom (1.3B or 14B): as ComfyUI's own Phantom, with R2PE, CSAM and MCAM off whatever "
                    "is set here, because these weights were not trained with them. custom: the parts as set here, and "
                    "the sampler's own timesteps.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The same model, which now follows a LumosX scene.")],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(cls, model, mcam_ratio, r2pe, csam, mcam, preset=PRESETS[0]) -> io.NodeOutput:
        options = preset_options(preset, RelationalOptions(mcam_ratio if mcam else 0.0, r2pe, csam))
        model = patch_model(model, options, phantom=preset == PHANTOM_PRESET)
        if preset == PHANTOM_PRESET:
            notice(cls, _PARTS_OFF)
        warn_of_model(cls, model.model.diffusion_model.dim, preset)
        return io.NodeOutput(model)
