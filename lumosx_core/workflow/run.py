"""A saved workflow without ComfyUI: its scene, prompt, settings and weight files, ready for the pipeline."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import LumosXError
from ..models.lumosx.config import PRESETS, RelationalOptions, preset_options
from ..models.lumosx.pipeline import Settings
from ..models.lumosx.spec import SPEC
from ..own_command import own_command
from ..prompt.literal_text import unescaped
from ..scene.case_folder import Case, read_case
from ..scene.scene import Reference, Scene, Subject
from ..scene.subject_file import read_subject
from .confined_path import path_inside
from .image_nodes import Pictures
from .left_out import left_out
from .loader_nodes import Weights, read_weights
from .sampler_nodes import Sampling, find_sampling
from .saved.graph import Graph, Node
from .scene_nodes import SceneReader
from .values import Values

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class WorkflowVideo:
    """What a workflow makes a video of, and how.

    Args:
        notes: sentences about what the workflow has and this run does not do.
    """

    scene: Scene
    prompt: str
    settings: Settings
    weights: Weights
    notes: tuple[str, ...] = ()


def input_folder(workflow: str | os.PathLike, given: str | os.PathLike | None = None) -> Path:
    """The folder used instead of ComfyUI's input folder: `given`, else `input` beside the workflow, else the
    workflow's own.

    Raises:
        LumosXError: `given` is not a folder.
    """
    if given is not None:
        if not Path(given).is_dir():
            raise LumosXError(f"There is no folder {given}. Give --input the folder of the workflow's images.")
        return Path(given)
    own = Path(workflow).resolve().parent
    return own / "input" if (own / "input").is_dir() else own


def read_video(
    graph: Graph,
    folder: Path,
    *,
    node_id: str | None = None,
    released: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> WorkflowVideo:
    """Read the part of a workflow that makes a video with LumosX. Its other nodes do not matter.

    Args:
        folder: of images, case folders and subjects' files, instead of ComfyUI's folders.
        node_id: of the sampler, or of the LumosX Scene To Video, where there are several.
        released: take the released solver where the workflow has another one.
        changes: of `Settings`, instead of what the workflow says.

    Raises:
        LumosXError: something that only ComfyUI can do, or a mistake in the workflow; names the node.
    """

    def case(name: str) -> Case:
        return read_case(path_inside(folder, name, "LumosX Scene From Folder"))

    def subject(name: str) -> Subject:
        return read_subject(path_inside(folder, name, "LumosX Load Subject"))

    values = Values(graph, case, subject)
    sampling = find_sampling(graph, values, node_id, released=released)
    video = sampling.video
    weights = read_weights(graph, values, sampling.guided, video)
    options = _relational_options(values, weights.applied)
    settings = Settings(**{**_settings(values, sampling), "options": options, **(changes or {})})
    prompt = unescaped(values.text(video, "positive_prompt"), f"positive_prompt of {video}")
    link = video.link("scene")
    if link is None:
        raise LumosXError(f"No scene is connected to {video}. Connect LumosX Scene or LumosX Subject.")
    scene = _PictureReader(values, folder).scene(link, f"scene of {video}")
    if not values.flag(video, "bind_phrases", True):
        scene = _unbound(scene, video, settings.options)
    notes = (*weights.notes, *left_out(graph, values, sampling, SPEC.frames_per_second))
    return WorkflowVideo(scene, prompt, settings, weights, notes)


def _settings(values: Values, sampling: Sampling) -> dict[str, Any]:
    video = sampling.video
    return {
        "width": values.whole(video, "width", SPEC.width),
        "height": values.whole(video, "height", SPEC.height),
        "frames": values.whole(video, "length", SPEC.frames),
        "batch": values.whole(video, "batch_size", 1),
        "negative_prompt": unescaped(values.text(video, "negative_prompt"), f"negative_prompt of {video}"),
        "negative_references": sampling.negative_references or values.text(video, "negative_references", "kept"),
        **sampling.settings,
    }


def _relational_options(values: Values, applied: Node | None) -> RelationalOptions:
    """The settings of LumosX Apply."""
    released = RelationalOptions()
    if applied is None:
        return released
    ratio = values.number(applied, "mcam_ratio", released.mcam_ratio)
    switches = RelationalOptions(
        mcam_ratio=ratio if values.flag(applied, "mcam", True) else 0.0,
        r2pe=values.flag(applied, "r2pe", True),
        csam=values.flag(applied, "csam", True),
    )
    return preset_options(values.text(applied, "preset", PRESETS[0]), switches)


def _unbound(scene: Scene, video: Node, options: RelationalOptions) -> Scene:
    """The scene for bind_phrases off: with images that no words of the prompt belong to."""
    if options.mcam_ratio != 0:
        raise LumosXError(
            f"bind_phrases of {video} is off, but MCAM binds reference images to their words. Turn bind_phrases on, or "
            f"turn MCAM off in LumosX Apply (preset Phantom, or mcam)."
        )

    def unbound(reference: Reference | None) -> Reference | None:
        return None if reference is None else replace(reference, phrase="")

    return Scene(
        tuple(
            replace(
                subject,
                face=unbound(subject.face),
                attributes=tuple(replace(attribute, phrase="") for attribute in subject.attributes),
            )
            for subject in scene.subjects
        ),
        tuple(replace(thing, phrase="") for thing in scene.objects),
        unbound(scene.background),
    )


class _PictureReader(SceneReader):
    """Reads scenes with their images."""

    def __init__(self, values: Values, folder: Path):
        super().__init__(values)
        self._pictures = Pictures(values, folder)

    def picture(self, node: Node, name: str) -> dict[str, Any]:
        mask = f"{name}_mask"
        return {
            name: None if node.link(name) is None else self._pictures.image(node, name),
            f"{name}_phrase": self.values.text(node, f"{name}_phrase"),
            mask: None if node.link(mask) is None else self._pictures.mask(node, mask),
            f"{name}_strength": self.number(node, f"{name}_strength", 1.0),
        }

    def say(self, node: Node, text: str) -> None:
        log.warning("%s: %s", node, text)

    def auto_scene(self, node: Node) -> Scene:
        raise LumosXError(
            f"{node} reads photos, which is a step of its own without ComfyUI. Make a case folder from them: "
            f"{own_command('scene', 'PHOTO', '--prompt', 'TEXT', '--plan', 'TEXT', '--out', 'CASE_DIR')} - then give "
            f"CASE_DIR in place of this workflow, or use LumosX Scene From Folder with that folder in it."
        )
