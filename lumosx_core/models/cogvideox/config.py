"""Sizes of the CogVideoX transformer, read from the config.json of a release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...errors import LumosXError

# Switches of diffusers' configuration that change the result; the network is built for these values alone.
FIXED: Mapping[str, Any] = {
    "activation_fn": "gelu-approximate",
    "timestep_activation_fn": "silu",
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "dropout": 0.0,
    "norm_elementwise_affine": True,
    "use_rotary_positional_embeddings": True,
    "use_learned_positional_embeddings": True,
    "patch_size_t": None,
    "patch_bias": True,
    "ofs_embed_dim": None,
}


@dataclass(frozen=True)
class CogVideoXConfig:
    """Sizes of the transformer, named as diffusers names them; the defaults are CogVideoX-5B-I2V 1.0.

    Args:
        in_channels: of the input: noisy latents, and behind them the image latents.
        sample_width, sample_height: of the position table, in latent pixels.
        sample_frames: of the position table, in frames of the video.

    Raises:
        LumosXError: the sizes do not fit together.
    """

    num_attention_heads: int = 48
    attention_head_dim: int = 64
    in_channels: int = 32
    out_channels: int = 16
    time_embed_dim: int = 512
    text_embed_dim: int = 4096
    num_layers: int = 42
    attention_bias: bool = True
    sample_width: int = 90
    sample_height: int = 60
    sample_frames: int = 49
    patch_size: int = 2
    temporal_compression_ratio: int = 4
    max_text_seq_length: int = 226
    norm_eps: float = 1e-5
    spatial_interpolation_scale: float = 1.875
    temporal_interpolation_scale: float = 1.0

    def __post_init__(self):
        check_positive(self, "the transformer's configuration")
        if self.attention_head_dim % 16:
            raise LumosXError(
                f"attention_head_dim is {self.attention_head_dim}, expected a multiple of 16, which the rotation "
                f"divides among time, height and width. CogVideoX-5B uses 64."
            )
        if self.sample_width % self.patch_size or self.sample_height % self.patch_size:
            raise LumosXError(
                f"sample_width {self.sample_width} and sample_height {self.sample_height} must be multiples of "
                f"patch_size {self.patch_size}. CogVideoX-5B uses 90 and 60 with 2."
            )
        if (self.sample_frames - 1) % self.temporal_compression_ratio:
            raise LumosXError(
                f"sample_frames is {self.sample_frames}, expected a multiple of temporal_compression_ratio "
                f"({self.temporal_compression_ratio}) plus 1. CogVideoX-5B uses 49 with 4."
            )

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def latent_frames(self) -> int:
        """Latent frames of the position table."""
        return (self.sample_frames - 1) // self.temporal_compression_ratio + 1

    @classmethod
    def from_dict(cls, section: Mapping[str, Any]) -> CogVideoXConfig:
        """Read the keys of a config.json; keys that start with `_` name the software that wrote it.

        Raises:
            LumosXError: an unknown key, or a switch with a value that this network does not compute.
        """
        check_fixed(section, FIXED)
        own = {field.name for field in fields(cls)}
        refuse_unknown(section, own | FIXED.keys(), "the transformer's configuration")
        return cls(**{key: value for key, value in section.items() if key in own})


def check_fixed(section: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Raise LumosXError for a switch whose value differs from the only one that is computed."""
    for key, value in fixed.items():
        if key in section and section[key] != value:
            raise LumosXError(
                f"{key} is {section[key]!r} in the transformer's configuration, expected {value!r}: this network "
                f"computes nothing else. Load a CogVideoX-5B-I2V 1.0 or Ingredients (CogVideoX) release."
            )


def refuse_unknown(section: Mapping[str, Any], known: set[str], where: str) -> None:
    """Raise LumosXError for the keys that are neither known nor start with `_`."""
    unknown = sorted(str(key) for key in section if key not in known and not str(key).startswith("_"))
    if unknown:
        raise LumosXError(
            f"Unknown key {', '.join(map(repr, unknown))} in {where}; it might change the result. Known are "
            f"{', '.join(sorted(known))}. Load a CogVideoX-5B-I2V 1.0 or Ingredients (CogVideoX) release."
        )


def check_positive(config: Any, where: str) -> None:
    """Raise LumosXError for a size that is not a whole number above 0, or a number of another kind."""
    for field in fields(config):
        value = getattr(config, field.name)
        kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "")
        if kind == "bool":
            right, expected = isinstance(value, bool), "true or false"
        elif kind == "int":
            right = isinstance(value, int) and not isinstance(value, bool) and value > 0
            expected = "a whole number above 0"
        elif kind == "float":
            right = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
            expected = "a number above 0"
        else:
            continue
        if not right:
            raise LumosXError(
                f"{field.name} is {value!r} in {where}, expected {expected}. The released value is {field.default!r}."
            )
