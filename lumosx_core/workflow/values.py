"""Texts and numbers that reach an input: written in the node, or made by simple nodes before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import LumosXError
from ..prompt.literal_text import escaped
from ..prompt.phrase_mask import clean_prompt
from ..scene.case_folder import Case
from .saved.graph import Graph, Link, Node

CaseReader = Callable[[str], Case]
"""Reads the case folder of a name in ComfyUI's input folder; raises LumosXError if there is none."""

_WRITTEN = {f"Primitive{kind}" for kind in ("String", "StringMultiline", "Int", "Float", "Boolean")}


@dataclass(frozen=True, eq=False)
class Values:
    """Reads the inputs of a graph that are not images.

    Args:
        case: reads a case folder, whose prompt may be connected.
    """

    graph: Graph
    case: CaseReader

    def get(self, node: Node, name: str, default: Any = None) -> Any:
        """The value of an input, also through ComfyUI's own nodes that hold a value or join texts.

        Raises:
            LumosXError: another node makes it, so that it is known only when ComfyUI runs; or the link leads nowhere.
        """
        value = node.get(name, default)
        if not isinstance(value, Link):
            return value
        source = self.graph.end(value, f"{name} of {node}")
        if source.type in _WRITTEN:
            return self.get(source, "value", default)
        if source.type == "StringConcatenate":
            texts = (self.text(source, "string_a"), self.text(source, "string_b"))
            return self.text(source, "delimiter").join(texts)
        if (source.type, value.slot) == ("LumosXSceneFromFolder", 1):
            return escaped(self.case(self.text(source, "folder")).prompt, f"The caption that {source} reads")
        if (source.type, value.slot) == ("LumosXAutoScene", 1):
            return clean_prompt(self.text(source, "prompt"))
        raise LumosXError(
            f"{name} of {node} comes from {source}, and is known only when ComfyUI runs. Write it in the node."
        )

    def text(self, node: Node, name: str, default: str = "") -> str:
        return str(self.get(node, name, default))

    def number(self, node: Node, name: str, default: float) -> float:
        return float(self._number(node, name, default))

    def whole(self, node: Node, name: str, default: int) -> int:
        return int(self._number(node, name, default))

    def _number(self, node: Node, name: str, default: float) -> int | float:
        value = self.get(node, name, default)
        if not isinstance(value, int | float):
            raise LumosXError(f"{name} of {node} is {value!r}, expected a number. Write one in the node.")
        return value
