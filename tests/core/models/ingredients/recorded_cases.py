"""The recorded forward passes, and how far a network is from each of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lumosx_core import IngredientsModel

RELATIVE = 2e-5
"""The largest difference, as a fraction of the largest recorded value."""
PROBABILITY = 2e-5

CASES = ("n1", "n2", "n3", "cfg_shared", "cfg_per_branch", "short")


def relative(value: Tensor, expected: Tensor) -> float:
    """The largest difference as a fraction of the largest expected value; infinite for another shape."""
    if value.shape != expected.shape:
        return math.inf
    return ((value - expected).abs().max() / expected.abs().max()).item()


def worst_weight(logits: Tensor, expected: Tensor) -> float:
    """The largest difference of the weights that follow from the logits."""
    return (torch.softmax(logits, dim=-1) - expected).abs().max().item() if logits.shape == expected.shape else math.inf


def inputs(case: str, recorded: dict[str, Tensor]) -> dict:
    """Arguments of the network in a case; one-branch cases use row 1, the positive one."""
    rows = slice(0, 2) if case.startswith("cfg") else slice(1, 2)
    latents, prefix = recorded["latents"][rows], ""
    if case == "short":
        latents, prefix = latents[:, :2], "short."
    return {
        "latents": latents,
        "timestep": recorded["timestep"][rows],
        "text": recorded["text"][rows],
        "rope": (recorded[f"{prefix}rope_cos"], recorded[f"{prefix}rope_sin"]),
        "guidance": "per_branch" if case == "cfg_per_branch" else "shared",
    }


def face_count(case: str) -> int:
    return {"n1": 1, "n3": 3}.get(case, 2)


def run(model: IngredientsModel, case: str, recorded: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Output and router logits of a case."""
    faces = model.encode_faces(recorded["id_cond"], recorded["id_vit_hidden"])[: face_count(case)]
    return model(**inputs(case, recorded), faces=faces, return_router=True)


def unit_values(model: IngredientsModel, recorded: dict[str, Tensor]) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Name of a recorded part, and what computes it."""
    hidden, faces = recorded["unit.hidden"], recorded["unit.face_tokens"]
    yield "face_tokens", lambda: model.encode_faces(recorded["id_cond"], recorded["id_vit_hidden"])
    for layer, count in ((0, 2), (1, 3)):
        router = model.router[layer]
        yield f"router{layer}_logits_n{count}", lambda r=router, n=count: r(hidden, r.keys(faces[:n]))
    for layer in (0, 1):
        # Layer 0 looks at face 0 from row 0, layer 1 at face 1 from row 1.
        attention, one = model.perceiver_cross_attention[layer], slice(layer, layer + 1)
        yield (
            f"cross_attn{layer}_id{layer}",
            lambda a=attention, i=one: a(hidden[i], *a.keys_and_values(faces[i])),
        )


def deviations(model: IngredientsModel, recorded: dict[str, Tensor]) -> dict[str, float]:
    """For each recorded value the difference, as a fraction of what is allowed."""
    found = {
        f"unit.{name}": relative(compute(), recorded[f"unit.{name}"]) / RELATIVE
        for name, compute in unit_values(model, recorded)
    }
    for case in CASES:
        output, logits = run(model, case, recorded)
        found[f"{case}.output"] = relative(output, recorded[f"{case}.output"]) / RELATIVE
        found[f"{case}.router_logits"] = relative(logits, recorded[f"{case}.router_logits"]) / RELATIVE
        found[f"{case}.router_probs"] = worst_weight(logits, recorded[f"{case}.router_probs"]) / PROBABILITY
    return found
