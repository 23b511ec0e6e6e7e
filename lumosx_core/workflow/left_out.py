"""What a workflow has and a run without ComfyUI does not do: it is said, never passed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..errors import LumosXError, shown
from .sampler_nodes import Sampling
from .saved.graph import PASSING, Graph, Node
from .values import Values

# Behind a sampler: what this program does itself, or only shows something.
_DECODERS = {"VAEDecode", "VAEDecodeTiled"}
_SAVERS = {
    *("SaveVideo", "CreateVideo", "SaveImage", "PreviewImage", "SaveAnimatedWEBP", "SaveAnimatedPNG", "SaveWEBM"),
    *("VHS_VideoCombine", "PreviewAny", "SaveLatent", "LumosXAttentionMap", "LumosXScoreVideo", "PreviewVideo"),
}
_RATES = ("fps", "frame_rate")
# Inputs that change nothing here: buttons, previews, and what is decided elsewhere.
_NO_MATTER = {
    *(
        "control_after_generate",
        "upload",
        "preview",
        "previewMode",
        "is_changed",
        "image_upload",
        "choose file to upload",
    ),
    *("speak_and_recognation", "speak_and_recognition", "sampler_name", "scheduler", "return_with_leftover_noise"),
    *(
        "device",
        "denoise",
        "start_at_step",
        "end_at_step",
        "model",
        "sampler",
        "sigmas",
        "noise",
        "weight_dtype",
        "type",
    ),
}
_LISTED = 5


def left_out(graph: Graph, values: Values, sampling: Sampling, fps: int) -> list[str]:
    """Sentences about what has no effect, after a workflow was read.

    Args:
        fps: frames per second that are written.
    """
    after = list(_after(graph, sampling.sampler))
    lines = []
    if others := [str(node) for node in after if node.type not in (_DECODERS | _SAVERS)]:
        lines.append(
            f"Not run without ComfyUI, as it comes after the sampler: {_listed(others)}. The video is what the model "
            f"makes."
        )
    lines += _of_saving(graph, values, sampling, after, fps)
    for node in graph.nodes.values():
        if not node.asked or node in after or node.type in PASSING:
            continue
        names = [name for name in node.inputs if name not in node.asked and name not in _NO_MATTER]
        if names:
            lines.append(f"Without effect here: {_listed([shown(name, 60) for name in names])} of {node}.")
    return lines


def _after(graph: Graph, sampler: Node) -> Iterator[Node]:
    """The nodes that what a sampler makes goes to, directly or through others."""
    users: dict[str, list[Node]] = {}
    for node in graph.nodes.values():
        for _, link in node.links:
            users.setdefault(link.node, []).append(node)
    waiting, seen = [sampler.id], {sampler.id}
    while waiting:
        for node in users.get(waiting.pop(), ()):
            if node.id not in seen:
                seen.add(node.id)
                waiting.append(node.id)
                yield node


def _of_saving(graph: Graph, values: Values, sampling: Sampling, after: Sequence[Node], fps: int) -> Iterator[str]:
    for node in after:
        if node.type in _DECODERS:
            vae, own = _source(graph, node, "vae"), _source(graph, sampling.video, "vae")
            if vae is not None and own is not None and vae != own:
                yield f"The VAE of {node} is not used: the video is decoded with that of {sampling.video}."
        for name in _RATES:
            rate = _number(values, node, name) if node.type in _SAVERS and name in node.inputs else None
            if rate is not None and rate != fps:
                yield f"{name} of {node} is {rate:g}, but the video has {fps} frames a second, as the model makes them."
        if node.type in _SAVERS and "audio" in dict(node.links):
            yield f"The audio of {node} is left out."


def _source(graph: Graph, node: Node, name: str) -> tuple[Node, int] | None:
    try:
        return graph.source(node, name)
    except LumosXError:
        return None


def _number(values: Values, node: Node, name: str) -> float | None:
    try:
        return values.number(node, name, 0.0)
    except LumosXError:
        return None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
