"""Subjects of a scene under the titles that the artist gave their nodes, as they are in the running prompt.

Titles are not part of a node's scene output: ComfyUI caches outputs while the inputs stay the same, even when the title
changes.
"""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ...lumosx_core.errors import LumosXError
from ...lumosx_core.scene.scene import Scene
from ...lumosx_core.workflow.outline import scene_outline
from ...lumosx_core.workflow.saved.graph import Graph
from ..inputs.case_folders import case_phrases
from ..inputs.subject_files import subject_phrases


def titled(cls: type[io.ComfyNode], scene: Scene) -> Scene:
    """The scene that is connected to the input `scene` of a running node, with titles for messages."""
    if cls.hidden is None or not cls.hidden.prompt:  # called outside of a run
        return scene
    try:
        outline = scene_outline(
            Graph(cls.hidden.prompt), str(cls.hidden.unique_id), case=case_phrases, subject=subject_phrases
        ).scene
    except LumosXError:  # a prompt that is invalid elsewhere
        return scene
    if len(outline.subjects) != len(scene.subjects):  # it comes from a node that decides its subjects at run time
        return scene
    titles = [subject.title for subject in outline.subjects]
    subjects = tuple(replace(subject, title=title) for subject, title in zip(scene.subjects, titles, strict=True))
    return replace(scene, subjects=subjects)
