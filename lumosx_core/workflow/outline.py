"""Outline of a workflow's scene from its nodes alone: phrases and their subjects, without any image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..auto_scene.plan.english_rules import read_prompt
from ..auto_scene.plan.plan import ScenePlan, parse_plan
from ..errors import LumosXError
from ..prompt.highlight import phrases_only
from ..scene.scene import Reference, Scene, Subject
from .saved.graph import Graph, Link, Node
from .scene_nodes import SceneReader
from .values import CaseReader, SubjectReader, Values

_PIXEL = torch.ones(1, 1, 3)  # in place of an image that was not read


@dataclass(frozen=True, eq=False)
class SceneOutline:
    """The phrases of a scene.

    Args:
        scene: as it will be, with one white pixel for each image; its labels, groups and strengths are right, and
            it can be matched with a prompt (`phrases.match_phrases_in_text`). A batch of images counts as one.
        unknown: sentences about what shows only when the workflow runs, or is wrong.
    """

    scene: Scene
    unknown: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[tuple[tuple[str, str], ...], ...]:
        """Groups in the network's order, each of (label, phrase), as `Scene.labelled` calls them."""
        named = [(label, reference.phrase) for label, reference in self.scene.labelled()]
        return tuple(tuple(named[i] for i in group) for group in self.scene.layout.groups)


def scene_outline(
    graph: Graph,
    node_id: str,
    *,
    case: CaseReader,
    subject: SubjectReader | None = None,
    check: Callable[[], None] = lambda: None,
) -> SceneOutline:
    """Outline the scene that reaches the input `scene` of a node.

    Only connected images count: a phrase without an image has no effect. Mistakes of what is connected do not
    raise: the outline is made while the artist is still at it.

    Args:
        case: reads a case folder for LumosX Scene From Folder.
        subject: reads a subject's file for LumosX Load Subject; None: there are none.
        check: called for each node; what it raises ends the work.

    Raises:
        LumosXError: there is no such node.
    """
    node = graph.node(node_id)
    link = node.link("scene")
    if link is None:
        return SceneOutline(Scene(), (f"No scene is connected to {node}.",))
    outliner = _Outliner(Values(graph, case, subject), check)
    scene = outliner.scene(link, f"scene of {node}")
    return SceneOutline(phrases_only(scene), tuple(dict.fromkeys(outliner.unknown)))


class _Outliner(SceneReader):
    """Leaves out what is unknown before the run, and notes it."""

    def __init__(self, values: Values, check: Callable[[], None]):
        super().__init__(values)
        self.check = check
        self.unknown: list[str] = []

    def scene(self, link: Link, what: str) -> Scene:
        self.check()
        try:
            return super().scene(link, what)
        except LumosXError as error:
            self.unknown.append(str(error))
            return Scene()

    def picture(self, node: Node, name: str) -> dict[str, Any]:
        if node.link(name) is None:
            return {}
        phrase, strength = f"{name}_phrase", f"{name}_strength"
        return {
            name: _PIXEL[None],
            phrase: self._or_default(self.values.text, node, phrase, ""),
            strength: self.number(node, strength, 1.0),
        }

    def say(self, node: Node, text: str) -> None:
        self.unknown.append(f"{node}: {text}")

    def number(self, node: Node, name: str, default: float) -> float:
        return self._or_default(self.values.number, node, name, default)

    def _or_default(self, read: Callable[..., Any], node: Node, name: str, default: Any) -> Any:
        try:
            return read(node, name, default)
        except LumosXError as error:
            self.unknown.append(str(error))
            return default

    def auto_scene(self, node: Node) -> Scene:
        plan = self._plan(node)
        background = plan.background if self.values.get(node, "background") == "fill" else None
        if (link := node.link("overrides")) is not None:
            given = self.scene(link, f"overrides of {node}").background
            if given is not None:
                background = given.phrase or plan.background or ""
        return Scene(
            tuple(Subject(_named(person.word), tuple(map(_named, person.attributes))) for person in plan.people),
            tuple(map(_named, plan.objects)),
            None if background is None else _named(background),
        )

    def _plan(self, node: Node) -> ScenePlan:
        written = self.values.text(node, "plan")
        if written.strip():
            return parse_plan(written)
        if self.values.get(node, "read_prompt_by") == "language model":
            self.unknown.append(f"Who wears what is read by a language model when {node} runs.")
            return ScenePlan()
        return read_prompt(self.values.text(node, "prompt"), lambda note: self.say(node, note))


def _named(phrase: str) -> Reference:
    return Reference(phrase, _PIXEL)
