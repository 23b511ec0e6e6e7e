"""Sizes and switches of the network: `LumosXConfig` describes the weights, `RelationalOptions` one forward pass."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ...errors import LumosXError
from .spec import SPEC


@dataclass(frozen=True)
class LumosXConfig:
    """Sizes of the network; the defaults are the released model (1.3 billion parameters).

    Args:
        text_len: text positions; the text is padded to it.

    Raises:
        LumosXError: the sizes do not fit together.
    """

    dim: int = 1536
    ffn_dim: int = 8960
    num_heads: int = 12
    num_layers: int = 30
    text_dim: int = 4096
    text_len: int = SPEC.text_len
    freq_dim: int = 256
    in_dim: int = SPEC.channels
    out_dim: int = SPEC.channels
    patch_size: tuple[int, int, int] = (1, 2, 2)
    eps: float = 1e-6

    def __post_init__(self):
        object.__setattr__(self, "patch_size", tuple(self.patch_size))
        if self.dim % self.num_heads or self.head_dim % 2:
            raise LumosXError(
                f"dim {self.dim} does not divide into {self.num_heads} heads of an even width. Wan2.1 uses 128 a head."
            )
        if self.patch_size[0] != 1:
            raise LumosXError(f"patch_size {self.patch_size} joins frames, but each image is a frame of its own.")

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.dim // self.num_heads


@dataclass(frozen=True)
class RelationalOptions:
    """Switches of one forward pass; at their defaults the output is the released model's.

    Args:
        mcam_ratio: strength of MCAM; 0 turns it off.
        r2pe: False gives every image its own position in time (for ablations).
        csam: False lets every token attend to every other (for ablations).
        truncate_timestep: the network receives the timestep truncated to an integer, as it was trained; False passes
            it on as it is.
        join_text_padding: compute the padding behind the text, equal rows that no phrase names, as one row that counts
            that often. The same numbers up to rounding, and less work where captions are short and attention with a
            bias costs nothing extra, as on a CPU.

    Raises:
        LumosXError: mcam_ratio is not a finite number.
    """

    mcam_ratio: float = 0.5
    r2pe: bool = True
    csam: bool = True
    truncate_timestep: bool = True
    join_text_padding: bool = False

    def __post_init__(self):
        if not math.isfinite(self.mcam_ratio):
            raise LumosXError(f"mcam_ratio is {self.mcam_ratio}, expected a finite number; 0.5 is as released.")


PRESETS = RELEASED_PRESET, PHANTOM_PRESET, CUSTOM_PRESET = ("LumosX released", "Phantom", "custom")

PHANTOM_OPTIONS = RelationalOptions(mcam_ratio=0.0, r2pe=False, csam=False, truncate_timestep=False)
"""The forward pass of Phantom: reference latents behind the video, each a frame of its own, and nothing else."""

PHANTOM_IMAGES = 4  # that Phantom was trained with, at most


def preset_options(preset: str, switches: RelationalOptions) -> RelationalOptions:
    """The options of a forward pass with a preset.

    Args:
        preset: "LumosX released": the switches as they are, timesteps truncated to integers, as released. "Phantom":
            all parts off and timesteps as the sampler has them, whatever the switches; these weights were not trained
            with the parts. "custom": the switches as they are, timesteps as the sampler has them.

    Raises:
        LumosXError: there is no such preset.
    """
    if preset == RELEASED_PRESET:
        return switches
    if preset == PHANTOM_PRESET:
        return PHANTOM_OPTIONS
    if preset == CUSTOM_PRESET:
        return replace(switches, truncate_timestep=False)
    raise LumosXError(f"preset is {preset!r}, expected one of {', '.join(PRESETS)}. Choose one of them.")
