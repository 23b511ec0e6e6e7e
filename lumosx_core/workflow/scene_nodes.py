"""Scenes that nodes of a graph make; readers decide how images are represented."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..errors import LumosXError
from ..scene.build import ATTRIBUTES, OBJECTS, rephrased, subject_scene, whole_scene
from ..scene.scene import Scene
from .limits import check_references
from .saved.graph import Graph, Link, Node
from .values import Values


class SceneReader(ABC):
    """Follows a scene's link back through LumosX Subject, LumosX Scene and the nodes that read folders and photos.

    What an image is, and what happens with the nodes that know theirs only when they run, is the reader's to say.
    """

    def __init__(self, values: Values):
        self.values = values
        # Each is made once, or fails once, however many nodes it goes to: a reader may go on after a failure.
        self._made: dict[str, Scene | LumosXError] = {}
        self._makers: dict[tuple[str, int], Callable[[Node], Scene]] = {
            ("LumosXSubject", 0): self._subject,
            ("LumosXScene", 0): self._whole,
            ("LumosXSceneFromFolder", 0): self._folder,
            ("LumosXLoadSubject", 0): self._saved_subject,
            ("LumosXAutoScene", 0): self.auto_scene,
        }

    @property
    def graph(self) -> Graph:
        return self.values.graph

    def scene(self, link: Link, what: str) -> Scene:
        """The scene at the end of a link.

        Args:
            what: whose link it is, for messages: "scene of node 3 (LumosXSceneToVideo)".

        Raises:
            LumosXError: it comes from another kind of node, or that node cannot make it.
        """
        node, slot = self.graph.origin(link, what)
        if (node.type, slot) not in self._makers:
            raise LumosXError(
                node.unreadable or f"{what} comes from {node}: what scene that makes is known only when ComfyUI runs."
            )
        if node.id not in self._made:
            try:
                with self.values.depth.deeper(what):
                    self._made[node.id] = self._makers[node.type, slot](node)
            except LumosXError as error:
                self._made[node.id] = error
        made = self._made[node.id]
        if isinstance(made, LumosXError):
            raise made
        return made

    @abstractmethod
    def picture(self, node: Node, name: str) -> dict[str, Any]:
        """What the slots of one image hold, as `build.subject_scene` takes it: image, phrase, mask, strength;
        nothing if there is no image.
        """

    @abstractmethod
    def auto_scene(self, node: Node) -> Scene:
        """The scene of a LumosX Auto Scene."""

    @abstractmethod
    def say(self, node: Node, text: str) -> None:
        """Report something that is left out."""

    def number(self, node: Node, name: str, default: float) -> float:
        """A strength, or a fraction of the schedule."""
        return self.values.number(node, name, default)

    def _parts(self, node: Node, slot: str, earlier: str) -> Sequence[Scene]:
        # Files of earlier versions have the same inputs in a list: "subjects.subject_1".
        links = [*node.numbered(slot), *node.grown(earlier)]
        parts = [self.scene(link, f"{slot} of {node}") for link in links]
        check_references(sum(len(part.references) for part in parts), str(node))
        return parts

    def _subject(self, node: Node) -> Scene:
        inputs = {
            "strength": self.number(node, "strength", 1.0),
            "start_percent": self.number(node, "start_percent", 0.0),
            "end_percent": self.number(node, "end_percent", 1.0),
        }
        for name in ("face", *ATTRIBUTES):
            inputs |= self.picture(node, name)
        further = self._parts(node, "more_attributes", "more")
        return subject_scene(inputs, further, title=node.title, say=partial(self.say, node))

    def _whole(self, node: Node) -> Scene:
        inputs: dict[str, Any] = {}
        for name in ("background", *OBJECTS):
            inputs |= self.picture(node, name)
        return whole_scene(inputs, self._parts(node, "subject", "subjects"), say=partial(self.say, node))

    def _folder(self, node: Node) -> Scene:
        return self.values.case(node).scene

    def _saved_subject(self, node: Node) -> Scene:
        subject = rephrased(self.values.subject(node), self.values.text(node, "phrases"))
        return Scene((replace(subject, title=node.title or subject.title),))
