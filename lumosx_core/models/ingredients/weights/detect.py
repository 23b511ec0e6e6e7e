"""Detection of a network by the names and shapes of its tensors: Ingredients (CogVideoX), or something else, named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

import torch

from ....errors import LumosXError
from ....files.formats.quantised import QUANTISATION
from ..config import IngredientsConfig
from ..model import IngredientsModel
from .names import native_names
from .other_networks import GIVE, NAME, PATCHES, other_network

_BLOCK = re.compile(r"transformer_blocks\.(\d{1,4})\.")
_INJECTION = re.compile(r"(?:router|perceiver_cross_attention)\.(\d{1,4})\.")
_LAYER = re.compile(r"local_facial_extractor\.layers\.(\d{1,4})\.")
_SIZES = "sizes of its own needs its config.json, or a file that was converted together with it."


class Shaped(Protocol):
    """Anything with a shape: a tensor, a tensor on the meta device, a StoredTensor."""

    @property
    def shape(self) -> torch.Size:
        """Its size."""
        ...


def detect_config(tensors: Mapping[str, Shaped], config: IngredientsConfig | None = None) -> IngredientsConfig:
    """The sizes of the network whose tensors these are.

    Numbers of heads do not show in the weights, so a network of other than the released sizes needs its config.

    Args:
        tensors: name -> tensor, or anything else with a shape.
        config: what came with the weights; None: the released sizes.

    Raises:
        LumosXError: it is another model, or tensors are missing, superfluous or of the wrong shape; the message says
            what was found.
    """
    shapes = network_shapes(tensors)
    refuse_other_networks(shapes)
    given, config = config is not None, config or IngredientsConfig()
    _check_counts(shapes, config, given)
    expected = _expected(config)
    if missing := [name for name in expected if name not in shapes]:
        raise LumosXError(
            f"It is incomplete: {len(missing)} of {len(expected)} tensors are missing, such as {missing[:3]}. {GIVE}"
        )
    if wrong := [name for name in expected if shapes[name] != expected[name]]:
        name = wrong[0]
        source, hint = f"{NAME} as released has", f"A network of {_SIZES}"
        if given:
            source, hint = "its config asks for", "Take the config.json that came with the weights."
        raise LumosXError(
            f"{len(wrong)} of its tensors have another shape: {name!r} is {shapes[name]}, but {source} "
            f"{expected[name]}. {hint}"
        )
    if extra := [name for name in shapes if name not in expected]:
        raise LumosXError(
            f"It has {len(extra)} tensors that {NAME} does not have, such as {extra[:3]}: a variant of the network. "
            f"{GIVE}"
        )
    return config


def network_shapes(tensors: Mapping[str, Shaped]) -> dict[str, tuple[int, ...]]:
    """Released name -> shape; scales of quantised weights and counters are left out."""
    shapes = {native: tuple(tensors[name].shape) for native, name in native_names(tensors).items()}
    return {name: shape for name, shape in shapes.items() if shape and not name.endswith(QUANTISATION)}


def refuse_other_networks(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise LumosXError where the tensors are those of another network, or a part of one; the message says of which."""
    if not shapes:
        raise LumosXError(f"It holds no tensor at all. {GIVE}")
    examples = ", ".join(repr(name) for name in list(shapes)[:3])
    what = other_network(shapes)
    if what is not None:
        raise LumosXError(
            f"It is {what[0]} ({len(shapes)} tensors, such as {examples}), not a network of {NAME}. {what[1]}"
        )
    own = ("transformer_blocks.", "local_facial_extractor.", "perceiver_cross_attention.", "router.", "patch_embed.")
    parts = {start for start in own if any(name.startswith(start) for name in shapes)}
    if not parts:
        raise LumosXError(f"It is not a network of {NAME} ({len(shapes)} tensors, such as {examples}). {GIVE}")
    if missing := [start.removesuffix(".") for start in own if start not in parts]:
        raise LumosXError(
            f"It is a part of a network of {NAME}: {missing[0]!r} is missing among its {len(shapes)} tensors. Give all "
            f"of its files: the folder they are in, or one that is named NAME-00001-of-0000N."
        )


def _check_counts(shapes: Mapping[str, tuple[int, ...]], config: IngredientsConfig, given: bool) -> None:
    """Refuse numbers of layers other than the config's, before a network of that many is described."""
    sizes = config.transformer
    for pattern, expected, what in (
        (_BLOCK, sizes.num_layers, "blocks"),
        (_INJECTION, config.injections, "routers"),
        (_LAYER, config.local_facial_extractor.depth, "layers of the facial extractor"),
    ):
        found = {int(match[1]) for match in map(pattern.match, shapes) if match}
        if found != set(range(len(found))):
            missing = sorted(set(range(max(found))) - found)
            raise LumosXError(f"It is incomplete: {what} {missing[:5]} of {max(found) + 1} are missing. {GIVE}")
        if len(found) != expected:
            source = "its config says" if given else f"{NAME} as released has"
            raise LumosXError(f"It has {len(found)} {what}, but {source} {expected}. A network of {_SIZES}")
    patches = shapes.get(PATCHES, ())
    if len(patches) != 4:
        raise LumosXError(f"Its {PATCHES!r} has shape {patches}, but {NAME} has one of four dimensions. {GIVE}")


def _expected(config: IngredientsConfig) -> dict[str, tuple[int, ...]]:
    try:
        state = IngredientsModel(config, device="meta").state_dict()
    except (RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:
        if isinstance(error, LumosXError):
            raise
        raise LumosXError(f"Its config has sizes that no network can have ({error}). {GIVE}") from error
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
