"""The released names of the network's tensors, whatever saving, training or another program put in front of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ....files.formats.unwrapped_names import unwrapped_names

# Outermost first. The names of other networks are unwrapped, too: it is the unwrapped ones by which they are known.
_WRAPPERS = (
    *(
        "ema.",
        "model.diffusion_model.",
        "diffusion_model.",
        "state_dict.",
        "model.",
        "module.",
        "transformer.",
        "pipe.",
    ),
    *("net.", "dit.", "first_stage_model."),
)
_OWN = ("transformer_blocks.", "patch_embed.", "local_facial_extractor.", "perceiver_cross_attention.", "router.")


def native_names(names: Iterable[str]) -> dict[str, str]:
    """Released names of a network's tensors -> the names they have in a file; averaged weights (`ema.`) win."""
    return unwrapped_names(names, _WRAPPERS, lambda name: name.startswith(_OWN))


def is_of_family(names: Collection[str]) -> bool:
    """Whether tensors of these released names are those of Ingredients, or of CogVideoX on which it builds."""
    faces = any(name.startswith(_OWN[2:]) for name in names)
    return faces or all(any(name.startswith(start) for name in names) for start in _OWN[:2])
