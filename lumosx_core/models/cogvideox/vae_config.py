"""The sizes of a CogVideoX VAE, as `vae/config.json` or the metadata of a single file have them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...errors import LumosXError, shown
from ...files.safetensors_file import read_header
from ...files.text_file import read_text

VAE_CONFIG = "cogvideox_vae_config"
"""In the metadata of a single file: the JSON of its config."""
CONFIG_FILE = "config.json"
_GIVE = "Give the folder vae that was released with the network, or a file that was made of it."
# Keys whose other values would change the result, or that only describe how the class of diffusers is built.
_FIXED: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "act_fn": "silu",
    "temporal_compression_ratio": 4,
    "shift_factor": None,
    "latents_mean": None,
    "latents_std": None,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "invert_scale_latents": False,
}
_HARMLESS = ("force_upcast",)
_BLOCKS = {"down_block_types": "CogVideoXDownBlock3D", "up_block_types": "CogVideoXUpBlock3D"}


@dataclass(frozen=True)
class VaeConfig:
    """The sizes of a VAE; the defaults are the released ones.

    Args:
        block_out_channels: of the four levels, the outermost first.
        scaling_factor: that latents are multiplied by for the transformer.
        sample_height, sample_width: the pixels it was trained on; tiles are half of that.
    """

    block_out_channels: tuple[int, ...] = (128, 256, 256, 512)
    latent_channels: int = 16
    layers_per_block: int = 3
    norm_eps: float = 1e-6
    norm_num_groups: int = 32
    sample_height: int = 480
    sample_width: int = 720
    scaling_factor: float = 0.7

    def __post_init__(self):
        channels = self.block_out_channels
        if len(channels) != 4 or not all(_is_size(each, 4096) for each in channels):
            raise LumosXError(f"The VAE's block_out_channels are {shown(channels, 80)}, expected four sizes. {_GIVE}")
        for name, most in (("latent_channels", 256), ("layers_per_block", 16), ("norm_num_groups", 512)):
            if not _is_size(getattr(self, name), most):
                raise LumosXError(
                    f"The VAE's {name} is {shown(getattr(self, name), 60)}, expected a whole number from 1 to {most}. "
                    f"{_GIVE}"
                )
        if any(each % self.norm_num_groups for each in channels):
            raise LumosXError(
                f"The VAE's block_out_channels {channels} are no multiples of norm_num_groups {self.norm_num_groups}. "
                f"{_GIVE}"
            )
        for name in ("sample_height", "sample_width"):
            if not _is_size(getattr(self, name), 8192) or getattr(self, name) < 16:
                raise LumosXError(
                    f"The VAE's {name} is {shown(getattr(self, name), 60)}, expected 16 to 8192 pixels. {_GIVE}"
                )
        for name in ("scaling_factor", "norm_eps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise LumosXError(f"The VAE's {name} is {shown(value, 60)!r}, expected a number above 0. {_GIVE}")

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> VaeConfig:
        """The sizes of a `config.json` of diffusers' AutoencoderKLCogVideoX.

        Raises:
            LumosXError: a key or value that stands for another VAE, such as that of CogVideoX 1.5.
        """
        if not isinstance(config, Mapping):
            raise LumosXError(f"The VAE's config is {shown(config, 60)!r}, expected a JSON object. {_GIVE}")
        kind = config.get("_class_name", "AutoencoderKLCogVideoX")
        if kind != "AutoencoderKLCogVideoX":
            raise LumosXError(f"The VAE's config is of {shown(kind, 60)!r}, not of AutoencoderKLCogVideoX. {_GIVE}")
        sizes: dict[str, Any] = {}
        for key, value in config.items():
            if str(key).startswith("_") or key in _HARMLESS:
                continue
            if key in _BLOCKS:
                if not isinstance(value, list | tuple) or list(value) != [_BLOCKS[key]] * 4:
                    raise LumosXError(f"The VAE's {key} are {shown(value, 120)}, expected {_BLOCKS[key]} x 4. {_GIVE}")
            elif key in _FIXED:
                if value != _FIXED[key] or isinstance(value, bool) != isinstance(_FIXED[key], bool):
                    raise LumosXError(
                        f"The VAE's config has {key} = {shown(value, 60)!r}, but that of CogVideoX-5B-I2V has "
                        f"{_FIXED[key]!r}. {_GIVE}"
                    )
            elif key in cls.__dataclass_fields__:
                sizes[key] = tuple(value) if isinstance(value, list) else value
            else:
                raise LumosXError(f"The VAE's config has the unknown key {shown(key, 60)!r}. {_GIVE}")
        return cls(**sizes)

    def to_dict(self) -> dict[str, Any]:
        """The config as JSON has it; `from_dict` reads it."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


def vae_config(path: Path) -> VaeConfig | None:
    """The config of a VAE: that beside a folder's or a file's weights, or in a file's metadata; None: there is none.

    Raises:
        LumosXError: a config that is damaged or of another VAE.
    """
    folder = os.path.isdir(path)
    file = path / CONFIG_FILE if folder else path.with_name(CONFIG_FILE)
    if not folder and path.suffix.lower() in (".safetensors", ".sft"):
        text = read_header(path).metadata.get(VAE_CONFIG)
        if text is not None:
            return VaeConfig.from_dict(_json(text, path))
    if not os.path.isfile(file):
        return None
    content = _json(read_text(file, _GIVE), file)
    if not folder and isinstance(content, dict) and content.get("_class_name") != "AutoencoderKLCogVideoX":
        return None  # a file in a folder with a config of something else, such as a folder of downloads
    return VaeConfig.from_dict(content)


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LumosXError(f"The VAE's config in {path} is not JSON ({error}). {_GIVE}") from error


def _is_size(value: Any, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
