"""Texts and numbers that reach an input: written in the node, or made by simple nodes before it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from ..errors import LumosXError, shown
from ..prompt.literal_text import escaped
from ..prompt.phrase_mask import clean_prompt
from ..scene.case_folder import Case
from ..scene.scene import Subject
from .limits import Depth, check_letters
from .saved.graph import Graph, Link, Node

CaseReader = Callable[[str], Case]
"""Reads the case folder of a name in ComfyUI's input folder; raises LumosXError if there is none."""

SubjectReader = Callable[[str], Subject]
"""Reads the subject's file of a name in ComfyUI's folders; raises LumosXError if there is none."""

# Nodes that give what is written in them, and the input that has it: ComfyUI's own, and those of common packs.
_WRITTEN = {
    **{f"Primitive{kind}": "value" for kind in ("String", "StringMultiline", "Int", "Float", "Boolean")},
    **dict.fromkeys(("INTConstant", "FloatConstant", "BOOLConstant", "easy int", "easy float", "easy string"), "value"),
    **{"StringConstant": "string", "Seed (rgthree)": "seed", "CR Seed": "seed", "JWInteger": "value"},
}
_LARGEST = 10**30  # a whole number that no input takes


class Values:
    """Reads the inputs of a graph that are not images; what a node gives is computed once.

    Args:
        case: reads a case folder, whose prompt may be connected.
        subject: reads a subject's file; None: there are none.
    """

    def __init__(self, graph: Graph, case: CaseReader, subject: SubjectReader | None = None):
        self.graph = graph
        self.depth = Depth()
        self._case = case
        self._cases: dict[str, Case] = {}
        self._subject = subject
        self._subjects: dict[str, Subject] = {}
        self._made: dict[tuple[str, int], Any] = {}

    def get(self, node: Node, name: str, default: Any = None) -> Any:
        """The value of an input, also through ComfyUI's own nodes that hold a value or join texts.

        Raises:
            LumosXError: another node makes it, so that it is known only when ComfyUI runs; the link leads nowhere; or
                the value is beyond a limit.
        """
        value = node.get(name, default)
        if not isinstance(value, Link):
            return value
        what = f"{name} of {node}"
        source, slot = self.graph.origin(value, what)
        if (source.id, slot) not in self._made:
            with self.depth.deeper(what):
                self._made[source.id, slot] = self._output(source, slot, what)
        made = self._made[source.id, slot]
        return default if made is None else made

    def _output(self, source: Node, slot: int, what: str) -> Any:
        if source.type in _WRITTEN:
            value = self.get(source, _WRITTEN[source.type])
            if source.type == "Seed (rgthree)" and isinstance(value, int | float) and value < 0:
                raise LumosXError(f"{what} is a new random number of {source} in each run. Write a seed of 0 or more.")
            return value
        if source.type == "StringConcatenate":
            texts = (self.text(source, "string_a"), self.text(source, "string_b"))
            delimiter = self.text(source, "delimiter")
            check_letters(sum(map(len, texts)) + len(delimiter), what)
            return delimiter.join(texts)
        if (source.type, slot) == ("LumosXSceneFromFolder", 1):
            return escaped(self.case(source).prompt, f"The caption that {source} reads")
        if (source.type, slot) == ("LumosXAutoScene", 1):
            return clean_prompt(self.text(source, "prompt"))
        raise LumosXError(
            source.unreadable
            or f"{what} comes from {source}, and is known only when ComfyUI runs. Write it in the node."
        )

    def case(self, node: Node) -> Case:
        """The case of a LumosX Scene From Folder."""
        name = self.text(node, "folder")
        if name not in self._cases:
            self._cases[name] = self._case(name)
        return self._cases[name]

    def subject(self, node: Node) -> Subject:
        """The subject of a LumosX Load Subject, with the phrases that it was saved with."""
        name = self.text(node, "file")
        if self._subject is None:
            raise LumosXError(f"What {node} loads is known only when ComfyUI runs.")
        if name not in self._subjects:
            self._subjects[name] = self._subject(name)
        return self._subjects[name]

    def text(self, node: Node, name: str, default: str = "") -> str:
        value = self.get(node, name, default)
        if not isinstance(value, str | int | float):
            raise LumosXError(f"{name} of {node} is {_kind(value)}, expected a text. Write one in the node.")
        text = str(value)
        check_letters(len(text), f"{name} of {node}")
        return text

    def number(self, node: Node, name: str, default: float) -> float:
        return float(self._number(node, name, default))

    def whole(self, node: Node, name: str, default: int) -> int:
        return int(self._number(node, name, default, whole=True))

    def flag(self, node: Node, name: str, default: bool) -> bool:
        value = self.get(node, name, default)
        if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
            return bool(value)
        raise LumosXError(f"{name} of {node} is {_kind(value)}, expected true or false. Choose one in the node.")

    def _number(self, node: Node, name: str, default: float, *, whole: bool = False) -> int | float:
        """A number; also one that is written as text, as ComfyUI takes it from an API prompt."""
        value = self.get(node, name, default)
        if isinstance(value, str):
            value = _spelled(value, whole)
        finite = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
        if finite and abs(value) < _LARGEST:
            return value
        raise LumosXError(
            f"{name} of {node} is {_kind(self.get(node, name, default))}, expected "
            f"{'a whole number' if whole else 'a number'}. Write one in the node."
        )


def _spelled(text: str, whole: bool) -> int | float | str:
    text = text.strip()
    if re.fullmatch(r"[+-]?\d{1,30}", text):
        return int(text)
    if not whole and re.fullmatch(r"[+-]?(\d{1,30}\.?\d{0,30}|\.\d{1,30})(e[+-]?\d{1,3})?", text, re.IGNORECASE):
        return float(text)
    return text


def _kind(value: Any) -> str:
    try:
        return shown(repr(value), 80)
    except (ValueError, RecursionError):  # thousands of digits, or of lists within lists
        return "something else"
