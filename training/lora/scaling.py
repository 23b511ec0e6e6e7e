"""Alpha, rank and rank stabilisation of a LoRA, wherever the program that trained it wrote them.

A change is alpha / rank * up @ down; with rank stabilisation ("rslora") alpha / sqrt(rank) * up @ down. They are

    beside the matrices     a tensor LAYER.alpha for each layer (kohya, ComfyUI)
    in the file's metadata  ss_network_alpha and ss_network_dim (kohya), lora_adapter_metadata (diffusers, peft's config
                            as JSON), lora_alpha, rank, use_rslora and the like
    in another file         adapter_config.json in the same folder (peft)

Whatever is there is used; where two disagree, the LoRA is refused. Without any, alpha is the rank.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lumosx_core.errors import LumosXError

_LONGEST = 2**20  # of a JSON text in the metadata
_ALPHAS = ("ss_network_alpha", "lumosx_alpha", "lora_alpha", "network_alpha", "alpha")
_RANKS = ("ss_network_dim", "lumosx_rank", "lora_rank", "network_rank", "network_dim", "rank", "r", "lora_dim")
_STABLE = ("use_rslora", "rslora", "rs_lora")
_OTHER_BASES = ("pissa", "olora", "loftq", "corda", "eva", "lora_ga")
_NETWORKS = ("", "transformer", "unet", "dit", "model", "diffusion_model", "base_model.model", "default")


@dataclass(frozen=True)
class Statement:
    """What one place says of all layers.

    Args:
        place: where it is written, for messages.
        alpha, rank: None: it does not say.
        stable: rank stabilisation.
        alphas, ranks: peft's patterns: the end of a layer's name -> its own value.
        about_each: False where it tells the default only, from which layers may differ (kohya).
        included: the alpha beside the matrices already has the rank stabilisation in it (LyCORIS).
    """

    place: str
    alpha: float | None = None
    rank: float | None = None
    stable: bool = False
    alphas: Mapping[str, float] = field(default_factory=dict)
    ranks: Mapping[str, float] = field(default_factory=dict)
    about_each: bool = True
    included: bool = False

    def of(self, names: tuple[str, ...], rank: int, own: float | None) -> float | None:
        """Alpha of a layer, or None where this place says nothing of it.

        Args:
            names: of the layer, as the file has it and native.
            own: alpha beside the layer's matrices.

        Raises:
            LumosXError: it tells another rank than the matrices have.
        """
        told = _by_pattern(self.ranks, names, self.rank)
        if told is not None and told != rank:
            if not self.about_each and own is not None:
                return None  # a file that was resized, or one with sizes of their own for some layers
            raise LumosXError(f"{self.place} says rank {told:g}, but the matrices of {names[-1]!r} have rank {rank}")
        alpha = _by_pattern(self.alphas, names, self.alpha)
        factor = rank**0.5 if self.stable else 1.0
        if alpha is None:
            return (rank if own is None else own) * factor if self.stable else None
        if self.included and own is not None and not _differ(own, alpha):
            return own
        return alpha * factor


def alpha_of(names: tuple[str, ...], rank: int, own: float | None, statements: list[Statement]) -> float:
    """Alpha of a layer, such that its change is alpha / rank * up @ down.

    Args:
        names: of the layer, as the file has it and native.
        own: what a tensor beside the matrices says; None: there is none.

    Raises:
        LumosXError: two places disagree.
    """
    told: dict[str, float] = {}
    for statement in statements:
        alpha = statement.of(names, rank, own)
        if alpha is not None:
            told[statement.place] = alpha
            if own is not None and statement.stable and not _differ(own * rank**0.5, alpha):
                own = None  # the plain alpha, which the stabilised one follows from
    if own is not None:
        told = {"the file's own tensor": own, **told}
    values = list(told.values())
    if any(_differ(values[0], value) for value in values):
        listed = ", ".join(f"{value:g} by {place}" for place, value in told.items())
        raise LumosXError(f"alpha of {names[-1]!r} is {listed}, and it is unknown which is right")
    return values[0] if values else float(rank)


def statements_of(metadata: Mapping[str, str]) -> list[Statement]:
    """What a file's metadata say.

    Raises:
        LumosXError: a value is no number, or belongs to another kind of adapter.
    """
    arguments = _object(metadata.get("ss_network_args", ""))
    included = any(_truth(arguments.get(name)) for name in _STABLE)
    of_layers = any("alpha" in name or "dims" in name for name in arguments)
    found = []
    for alpha_name, rank_name in _pairs(metadata):
        alpha = _number(metadata.get(alpha_name, ""), alpha_name) if alpha_name else None
        rank = _number(metadata.get(rank_name, ""), rank_name) if rank_name else None
        if alpha is not None and not (of_layers and alpha_name.startswith("ss_")):
            kohya = alpha_name.startswith("ss_")
            found.append(
                Statement(
                    f"the metadata's {alpha_name}",
                    alpha,
                    rank,
                    stable=kohya and included,
                    about_each=False,
                    included=kohya and included,
                )
            )
    found = [
        Statement(each.place, each.alpha, each.rank, True, about_each=False) if _stable(metadata, each) else each
        for each in found
    ]
    if not found and any(_truth(metadata.get(name)) for name in _STABLE):
        found.append(Statement("the metadata's use_rslora", stable=True, about_each=False))
    for name, text in metadata.items():
        for config in _configs(_object(text)):
            found.append(peft_statement(config, f"the metadata's {name}"))
    return found


def _pairs(metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names of an alpha, each with the name of the rank that goes with it."""
    for name in _ALPHAS:
        if name in metadata:
            ranks = ("ss_network_dim",) if name.startswith("ss_") else _RANKS[1:]
            yield name, next((rank for rank in ranks if rank in metadata), "")


def _stable(metadata: Mapping[str, str], statement: Statement) -> bool:
    return not statement.included and any(_truth(metadata.get(name)) for name in _STABLE)


def peft_statement(config: Mapping[str, Any], place: str) -> Statement:
    """What peft's configuration of an adapter says.

    Raises:
        LumosXError: it is of another kind of adapter than plain LoRA, or a value is no number.
    """
    if config.get("peft_type", "LORA") != "LORA" or config.get("use_dora") or config.get("fan_in_fan_out"):
        kind = "DoRA" if config.get("use_dora") else str(config.get("peft_type"))[:40]
        raise LumosXError(f"{place} is that of an adapter of another kind than plain LoRA ({kind}), which is not read")
    start = str(config.get("init_lora_weights", "")).lower()
    if start.startswith(_OTHER_BASES):
        raise LumosXError(
            f"{place} says init_lora_weights {start[:40]!r}: it goes with a base that was changed when training began. "
            f"Save it with peft's path_initial_model_for_weight_conversion"
        )
    patterns = {}
    for name in ("alpha_pattern", "rank_pattern"):
        table = config.get(name) or {}
        if not isinstance(table, Mapping):
            raise LumosXError(f"{place} has a {name} that is not a table")
        patterns[name] = {str(key): _number(value, f"{name} of {place}") or 0.0 for key, value in table.items()}
    return Statement(
        place,
        _number(config.get("lora_alpha", ""), f"lora_alpha of {place}"),
        _number(config.get("r", ""), f"r of {place}"),
        _truth(config.get("use_rslora")),
        patterns["alpha_pattern"],
        patterns["rank_pattern"],
    )


def _configs(content: Mapping[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    """peft's configurations in a JSON object, whose names may begin with the part of a pipeline they are for."""
    parts: dict[str, dict[str, Any]] = {}
    for name, value in content.items():
        front, _, last = name.rpartition(".")
        parts.setdefault(front, {})[last] = value
    parts = {front: part for front, part in parts.items() if "lora_alpha" in part}
    if parts:
        chosen = next((name for name in _NETWORKS if name in parts), next(iter(parts)))
        yield parts[chosen]
        return
    if depth < 3:
        inner = {name: value for name, value in content.items() if isinstance(value, Mapping)}
        chosen_parts = [inner[name] for name in _NETWORKS if name in inner] or list(inner.values())
        for value in chosen_parts[:20]:
            yield from _configs(value, depth + 1)


def _object(text: object) -> dict[str, Any]:
    if not isinstance(text, str) or text.lstrip()[:1] != "{" or len(text) > _LONGEST:
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}  # of another program, which has its own ideas of braces
    return content if isinstance(content, dict) else {}


def _number(value: object, name: str) -> float | None:
    """A positive number; None where nothing is said ("None", "Dynamic")."""
    text = str(value).strip()[:40]
    if text.lower() in ("", "none", "null", "dynamic", "auto"):
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(text)
    except (ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise LumosXError(f"{name} is {text!r}, expected a number above 0")
    return number


def _truth(value: object) -> bool:
    return str(value).strip().lower() in ("true", "1", "yes")


def _differ(first: float, second: float) -> bool:
    return not math.isclose(first, second, rel_tol=0.01)  # bfloat16 has two to three digits


def _by_pattern(patterns: Mapping[str, float], names: tuple[str, ...], default: float | None) -> float | None:
    """The value of the first pattern that a name ends in, as peft matches them."""
    for pattern, value in patterns.items():
        if any(_ends_in(name, pattern) for name in names):
            return value
    return default


def _ends_in(name: str, pattern: str) -> bool:
    r"""Whether a name ends, at a dot, in a pattern; of regular expressions `.*`, `\d+`, `^` and `$` are known.

    A pattern comes from a file: as a whole regular expression it could keep a machine busy for ever.
    """
    if len(pattern) > 300:
        raise LumosXError(f"the pattern {pattern[:100]!r} of a layer is too long to be read")
    plain = pattern.removesuffix("$").replace("\\.", ".")
    start = "" if plain.startswith("^") else r"(?:.*\.)?"
    pieces = re.split(r"(\.\*|\\d\+)", plain.removeprefix("^"))
    if len(pieces) > 7:
        raise LumosXError(f"the pattern {pattern[:100]!r} of a layer is too long to be read")
    known = {".*": ".*", "\\d+": r"\d+"}
    expression = "".join(known.get(piece, re.escape(piece)) for piece in pieces)
    return re.fullmatch(start + expression, name) is not None
