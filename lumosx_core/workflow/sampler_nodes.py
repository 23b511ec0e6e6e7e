"""Sampler nodes of a workflow and their settings, for the video of a LumosX Scene To Video.

What runs without ComfyUI is the released solver on the released schedule, as LumosX Sampler and LumosX Sigmas give it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import LumosXError, shown
from ..own_command import own_command
from .saved.graph import Graph, Node
from .values import Values

VIDEO = "LumosXSceneToVideo"
POSITIVE, NEGATIVE, LATENT, NEGATIVE_TEXT, NEGATIVE_ZERO_IMAGES = range(5)  # outputs of that node
_NEGATIVE_REFERENCES = {NEGATIVE_TEXT: "dropped", NEGATIVE_ZERO_IMAGES: "zeroed"}
_STEPWISE = ("KSampler", "KSamplerAdvanced")
_ADVICE = (
    "Use SamplerCustomAdvanced with LumosX Sampler and LumosX Sigmas, or add --released-sampler to take the released "
    "solver with this workflow's steps, cfg and seed."
)


@dataclass(frozen=True, eq=False)
class Sampling:
    """A sampler, the LumosX Scene To Video that it makes a video of, and how.

    Args:
        guided: the node with the inputs model, positive and negative.
        settings: steps, cfg and seed, and shift if the workflow says it.
        negative_references: of the negative pass, by the output that it comes from; None: as the video's node says.
    """

    sampler: Node
    video: Node
    guided: Node
    settings: dict[str, Any]
    negative_references: str | None = None


def find_sampling(graph: Graph, values: Values, node_id: str | None = None, *, released: bool = False) -> Sampling:
    """Find what samples a LumosX scene.

    Args:
        node_id: of the sampler, or of the LumosX Scene To Video, where there are several.
        released: take the released solver where the workflow has another one.

    Raises:
        LumosXError: there is none, there are several, or it does what only ComfyUI can do.
    """
    broken: list[str] = []
    found = [chain for node in graph.nodes.values() if (chain := _chain(graph, node, broken)) is not None]
    chosen = [chain for chain in found if node_id is None or node_id in (chain.sampler.id, chain.video.id)]
    if not found:
        raise LumosXError(_nothing_found(graph, broken))
    if len(chosen) != 1:
        known = "; ".join(f"{chain.sampler} samples {chain.video}" for chain in found)
        which = (
            "The workflow samples several scenes" if node_id is None else f"--node {node_id} does not name one of them"
        )
        raise LumosXError(f"{which}: {known}. Choose one with --node, the number of its sampler.")
    return _Reader(graph, values, released).read(*chosen[0])


class _Chain(NamedTuple):
    sampler: Node
    guided: Node
    video: Node


def _chain(graph: Graph, sampler: Node, broken: list[str]) -> _Chain | None:
    """A sampler, the node that guides it, and the LumosX Scene To Video of its conditioning; None if there is none.

    Args:
        broken: receives what is wrong with links that would lead there: that of a sampler of no matter may be broken.
    """
    guided = sampler
    if sampler.type == "SamplerCustomAdvanced":
        found = _source(graph, sampler, "guider", broken)
        if found is None:
            return None
        guided = found[0]
    elif sampler.type not in (*_STEPWISE, "SamplerCustom"):
        return None
    for name in ("positive", "conditioning", "cond1"):
        found = _source(graph, guided, name, broken)
        if found is not None and found[0].type == VIDEO:
            return _Chain(sampler, guided, found[0])
    return None


def _source(graph: Graph, node: Node, name: str, broken: list[str]) -> tuple[Node, int] | None:
    try:
        return graph.source(node, name)
    except LumosXError as error:
        broken.append(str(error))
        return None


def _nothing_found(graph: Graph, broken: list[str]) -> str:
    """Why nothing was found, as far as the file tells: what cannot be read, what is off, what is between."""
    other = next(iter(graph.of_type("IngredientsToVideo")), None)
    if other is not None and not graph.of_type(VIDEO):
        command = own_command("generate", "CASE_DIR", "--family", "ingredients")
        return (
            f"{other} makes a video with Ingredients (CogVideoX), whose workflows run in ComfyUI only. Outside of "
            f"it, give a case folder with the faces: {command}"
        )
    best_of = next(iter(graph.of_type("LumosXBestOf")), None)
    if best_of is not None:
        return (
            f"{best_of} runs in ComfyUI only. Put SamplerCustomAdvanced with RandomNoise in its place, and give "
            f"--best-of, --score-after and --keep here."
        )
    unreadable = [node.unreadable for node in graph.nodes.values() if node.unreadable]
    reasons = "".join(f" {reason}" for reason in [*dict.fromkeys(broken), *unreadable][:3])
    if graph.turned_off:
        more = f" and {len(graph.turned_off) - 5} more" if len(graph.turned_off) > 5 else ""
        reasons += f" {'; '.join(graph.turned_off[:5])}{more}: turn on what the video needs."
    if not graph.of_type(VIDEO):
        return f"The workflow has no LumosX Scene To Video.{reasons or ' Add one, and save it again.'}"
    return (
        "No sampler of the workflow gets its positive conditioning from LumosX Scene To Video directly."
        f"{reasons}{_between(graph, broken)} Connect SamplerCustomAdvanced through CFGGuider, or KSampler."
    )


def _between(graph: Graph, broken: list[str]) -> str:
    """The nodes whose conditioning comes from a LumosX Scene To Video and that are no sampler or guider of ours."""
    videos = {node.id for node in graph.of_type(VIDEO)}
    users = [
        str(node)
        for node in graph.nodes.values()
        if any(link.node in videos and link.slot in (POSITIVE, NEGATIVE) for _, link in node.links)
    ]
    if users:
        return f" It goes to {', '.join(users[:5])}."
    return "" if broken else " It is not connected."


class _Reader:
    def __init__(self, graph: Graph, values: Values, released: bool):
        self.graph = graph
        self.values = values
        self.released = released

    def read(self, sampler: Node, guided: Node, video: Node) -> Sampling:
        if self.values.get(sampler, "add_noise", True) in (False, "disable"):
            raise LumosXError(f"add_noise of {sampler} is off, which only ComfyUI runs. Turn it on.")
        self._expect(sampler, "latent_image", video, LATENT, "the latent")
        settings = self._of_custom(sampler) if sampler.type not in _STEPWISE else self._of_stepwise(sampler)
        if guided.type == "BasicGuider":
            return Sampling(sampler, video, guided, settings | {"cfg": 1.0})
        if guided.type not in ("CFGGuider", "SamplerCustom", *_STEPWISE):
            raise LumosXError(f"{guided} guides in a way that only ComfyUI runs. Use CFGGuider instead.")
        settings["cfg"] = self.values.number(guided, "cfg", 8.0)
        self._expect(guided, "positive", video, POSITIVE, "positive")
        source = self.graph.source(guided, "negative")
        references = _NEGATIVE_REFERENCES.get(source[1]) if source is not None and source[0] == video else None
        if references is None:
            outputs = "negative, negative_text or negative_zero_images"
            self._expect(guided, "negative", video, NEGATIVE, outputs)
        return Sampling(sampler, video, guided, settings, references)

    def _expect(self, node: Node, name: str, video: Node, output: int, called: str) -> None:
        source = self.graph.source(node, name)
        if source != (video, output):
            comes = "nothing is connected" if source is None else f"it comes from {source[0]}"
            raise LumosXError(
                f"{name} of {node} has to be {called} of {video} to run without ComfyUI, but {comes}. Connect it "
                f"directly."
            )

    def _of_custom(self, sampler: Node) -> dict[str, Any]:
        """Of a sampler with solver and sigmas of their own nodes."""
        settings = {"seed": self._seed(sampler)}
        solver, sigmas = self._node_at(sampler, "sampler"), self._node_at(sampler, "sigmas")
        if solver.type != "LumosXSampler":
            self._only_released(f"{sampler} uses the solver of {solver}")
        if sigmas.type == "LumosXSigmas":
            shift = self.values.number(sigmas, "shift", 8.0)
            return settings | {"steps": self.values.whole(sigmas, "steps", 50), "shift": shift}
        self._only_released(f"{sampler} uses the schedule of {sigmas}")
        if "steps" not in sigmas.inputs:
            raise LumosXError(f"{sigmas} does not say how many steps to take. Use LumosX Sigmas instead.")
        self._check_whole(sigmas)
        return settings | {"steps": self.values.whole(sigmas, "steps", 50)}

    def _seed(self, sampler: Node) -> int:
        if sampler.type == "SamplerCustom":
            return self.values.whole(sampler, "noise_seed", 0)
        noise = self._node_at(sampler, "noise")
        if noise.type != "RandomNoise":
            raise LumosXError(f"noise of {sampler} comes from {noise}. Use RandomNoise instead.")
        return self.values.whole(noise, "noise_seed", 0)

    def _of_stepwise(self, sampler: Node) -> dict[str, Any]:
        """Of KSampler and KSampler (Advanced)."""
        name = self.values.text(sampler, "sampler_name", "")
        self._only_released(f"{sampler} uses the solver {shown(name, 60)!r}")
        self._check_whole(sampler)
        seed = "seed" if sampler.type == "KSampler" else "noise_seed"
        return {
            "steps": self.values.whole(sampler, "steps", 20),
            "seed": self.values.whole(sampler, seed, 0),
        }

    def _check_whole(self, node: Node) -> None:
        """Raise LumosXError for a node that takes a part of the steps only."""
        steps = self.values.whole(node, "steps", 20)
        denoise, start = self.values.number(node, "denoise", 1.0), self.values.whole(node, "start_at_step", 0)
        if denoise != 1 or start > 0 or self.values.whole(node, "end_at_step", steps) < steps:
            raise LumosXError(
                f"{node} takes a part of the steps only, which only ComfyUI runs. Let it take all of them."
            )

    def _only_released(self, what: str) -> None:
        if not self.released:
            raise LumosXError(f"{what}, which only ComfyUI runs. {_ADVICE}")

    def _node_at(self, node: Node, name: str) -> Node:
        found = self.graph.source(node, name)
        if found is None:
            raise LumosXError(f"{name} of {node} is not connected. Connect it.")
        return found[0]
