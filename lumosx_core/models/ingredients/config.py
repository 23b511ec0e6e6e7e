"""Sizes of the Ingredients (CogVideoX) network: transformer, facial extractor, cross-attention, router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ...errors import LumosXError
from ..cogvideox.config import FIXED, CogVideoXConfig, check_fixed, check_positive, refuse_unknown

SCALES = 5
"""Depths of the vision tower that the facial extractor reads."""

SECTIONS = ("transformer", "local_facial_extractor", "perceiver_cross_attention", "router")
FACE_SWITCHES: Mapping[str, Any] = {"is_train_face": True, "is_kps": False, "LFE_num_scale": SCALES}
# diffusers writes the face modules' sizes into the transformer's own section under these names.
EXTRACTOR_KEYS = {
    "LFE_id_dim": ("id_in",),
    "LFE_vit_dim": ("dim", "vit_in"),
    "LFE_depth": ("depth",),
    "LFE_dim_head": ("dim_head",),
    "LFE_num_heads": ("heads",),
    "LFE_num_id_token": ("num_id_token",),
    "LFE_num_querie": ("num_queries",),
    "LFE_output_dim": ("output_dim",),
    "LFE_ff_mult": ("ff_mult",),
}
CROSS_ATTENTION_KEYS = {"cross_attn_dim_head": ("dim_head",), "cross_attn_num_heads": ("heads",)}


@dataclass(frozen=True)
class ExtractorConfig:
    """Sizes of the local facial extractor.

    Args:
        dim: channels of its tokens.
        vit_in: channels of the vision tower's hidden states.
        id_in: channels of the face embedding: ArcFace's and the vision tower's.
        depth: layers, the same number for each depth of the vision tower.
        num_id_token: tokens made of the face embedding.
        num_queries: face tokens that it returns.
        output_dim: channels of a face token.

    Raises:
        LumosXError: the sizes do not fit together.
    """

    dim: int = 1024
    vit_in: int = 1024
    id_in: int = 1280
    depth: int = 10
    dim_head: int = 64
    heads: int = 16
    num_id_token: int = 5
    num_queries: int = 32
    output_dim: int = 2048
    ff_mult: int = 4

    def __post_init__(self):
        check_positive(self, "local_facial_extractor")
        if self.depth % SCALES:
            raise LumosXError(
                f"depth is {self.depth} in local_facial_extractor, expected a multiple of {SCALES}: the same number of "
                f"layers for each depth of the vision tower. The released value is 10."
            )


@dataclass(frozen=True)
class CrossAttentionConfig:
    """Heads of the perceiver cross-attention from image tokens to face tokens."""

    dim_head: int = 128
    heads: int = 16

    def __post_init__(self):
        check_positive(self, "perceiver_cross_attention")


@dataclass(frozen=True)
class RouterConfig:
    """Sizes of the router.

    Args:
        dim: channels of an image token.
        id_dim: channels of a face token.
        id_length: tokens of a face.
        inner_dim: channels in which queries meet keys.
    """

    dim: int = 3072
    id_dim: int = 2048
    id_length: int = 32
    inner_dim: int = 2048

    def __post_init__(self):
        check_positive(self, "router")


@dataclass(frozen=True)
class IngredientsConfig:
    """Sizes of the network; the defaults are the released model (6.4 billion parameters).

    Args:
        cross_attn_interval: faces are injected behind every so many blocks, from the first on.
        local_face_scale: strength of the injection.

    Raises:
        LumosXError: the sizes do not fit together.
    """

    transformer: CogVideoXConfig = field(default_factory=CogVideoXConfig)
    local_facial_extractor: ExtractorConfig = field(default_factory=ExtractorConfig)
    perceiver_cross_attention: CrossAttentionConfig = field(default_factory=CrossAttentionConfig)
    router: RouterConfig = field(default_factory=RouterConfig)
    cross_attn_interval: int = 2
    local_face_scale: float = 1.0

    def __post_init__(self):
        check_positive(self, "the transformer's configuration")
        layers, interval = self.transformer.num_layers, self.cross_attn_interval
        if layers % interval:
            raise LumosXError(
                f"num_layers {layers} is not a multiple of cross_attn_interval {interval}: the last injection would "
                f"have no weights. The release has 42 layers and an interval of 2."
            )
        extractor = self.local_facial_extractor
        for name, value, expected, meaning in (
            ("dim", self.router.dim, self.transformer.width, "the transformer's width"),
            ("id_dim", self.router.id_dim, extractor.output_dim, "output_dim of local_facial_extractor"),
            ("id_length", self.router.id_length, extractor.num_queries, "num_queries of local_facial_extractor"),
        ):
            if value != expected:
                raise LumosXError(f"{name} of router is {value}, expected {expected}: {meaning}.")

    @property
    def injections(self) -> int:
        """How many blocks are followed by an injection of the faces."""
        return self.transformer.num_layers // self.cross_attn_interval

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> IngredientsConfig:
        """Read the sections `transformer`, `local_facial_extractor`, `perceiver_cross_attention` and `router`.

        A release's transformer/config.json, which has no section `transformer`, is read as that section. Missing keys
        have their released values, or follow from the other sections. Sections of other names are not the network's.

        Raises:
            LumosXError: an unknown key, sections that contradict one another, or sizes that do not fit.
        """
        if not isinstance(config, Mapping):
            raise LumosXError(f"The configuration is {config!r}, expected sections with names and values.")
        flat = {key: value for key, value in config.items() if key not in SECTIONS}
        transformer = _section(config, "transformer") if "transformer" in config else flat
        extractor = _face_section(config, "local_facial_extractor", transformer, EXTRACTOR_KEYS)
        attention = _face_section(config, "perceiver_cross_attention", transformer, CROSS_ATTENTION_KEYS)
        router = _section(config, "router")
        check_fixed(transformer, FACE_SWITCHES)
        injection = {
            key: transformer.pop(key) for key in ("cross_attn_interval", "local_face_scale") if key in transformer
        }
        sizes = CogVideoXConfig.from_dict(
            {key: value for key, value in transformer.items() if key not in FACE_SWITCHES}
        )
        faces = _read(ExtractorConfig, extractor, "local_facial_extractor")
        for name, expected in (("dim", sizes.width), ("kv_dim", faces.output_dim)):
            value = attention.pop(name, expected)
            if value != expected:
                raise LumosXError(
                    f"{name} is {value!r} in perceiver_cross_attention, expected {expected}, which follows from the "
                    f"other sections. Correct it, or leave it out."
                )
        router = {"dim": sizes.width, "id_dim": faces.output_dim, "id_length": faces.num_queries, **router}
        return cls(
            sizes,
            faces,
            _read(CrossAttentionConfig, attention, "perceiver_cross_attention"),
            _read(RouterConfig, router, "router"),
            **injection,
        )

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The sections that `from_dict` reads, with the fixed switches of diffusers' configuration."""
        injection = {"cross_attn_interval": self.cross_attn_interval, "local_face_scale": self.local_face_scale}
        switches = {key: value for key, value in FIXED.items() if value is not None}
        faces = {"is_train_face": True, "is_kps": False}
        return {
            "transformer": {**asdict(self.transformer), **switches, **faces, **injection},
            "local_facial_extractor": asdict(self.local_facial_extractor),
            "perceiver_cross_attention": asdict(self.perceiver_cross_attention),
            "router": asdict(self.router),
        }


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = config.get(name, {})
    if not isinstance(section, Mapping):
        raise LumosXError(f"The section {name} is {section!r}, expected names and values.")
    return dict(section)


def _face_section(
    config: Mapping[str, Any], name: str, transformer: dict[str, Any], keys: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """A section of its own, or the same sizes under diffusers' names, which leave the transformer's section."""
    section = _section(config, name)
    for key, targets in keys.items():
        if key not in transformer:
            continue
        value = transformer.pop(key)
        for target in targets:
            if section.setdefault(target, value) != value:
                raise LumosXError(
                    f"{key} is {value!r} in the transformer's configuration, but {target} is {section[target]!r} in "
                    f"{name}. Both mean the same size: correct one of them."
                )
    return section


def _read(kind: type[Any], section: Mapping[str, Any], name: str) -> Any:
    refuse_unknown(section, {each.name for each in fields(kind)}, name)
    return kind(**{key: value for key, value in section.items() if not str(key).startswith("_")})
