"""What is kept for other videos: one subject in a file, or a scene with its prompt as a case folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import folder_paths
import numpy as np
import torch
from comfy_api.latest import io, ui

from ..lumosx_core.drawing.contact_sheet import draw_contact_sheet
from ..lumosx_core.errors import LumosXError, shown
from ..lumosx_core.files.safe_names import is_safe_name
from ..lumosx_core.prompt.literal_text import unescaped
from ..lumosx_core.scene.build import only_subject, rephrased
from ..lumosx_core.scene.case_folder import Case
from ..lumosx_core.scene.scene import Scene
from ..lumosx_core.scene.subject_file import read_subject, write_subject
from ..lumosx_core.scene.write_case import lost_in_case, write_case
from .inputs.host_schema import FOLDED, found_by
from .inputs.subject_files import new_subject_path, subject_names, subject_path, subject_state
from .page.notices import HIDDEN, named, notice
from .scene import SceneType


class LumosXSaveSubject(io.ComfyNode):
    """One subject of a scene becomes a file."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXSaveSubject",
            display_name="LumosX Save Subject",
            **found_by("person", "character", "actor", "save", "export", "reuse"),
            category="LumosX",
            description="Saves one subject as a file, to use the same person in other videos with LumosX Load Subject: "
            "reference images without loss, phrases, strengths and time range. ComfyUI's model library shows the file "
            "with its face.",
            inputs=[
                SceneType.Input("scene", tooltip="A LumosX Subject, or a scene that has the subject in it."),
                io.String.Input(
                    "name",
                    default="",
                    tooltip="Of the file, such as Anna or film/Anna, in output/lumosx_subjects.",
                ),
                io.Int.Input(
                    "number",
                    default=0,
                    min=0,
                    max=200,
                    optional=True,
                    tooltip="Which subject of the scene, counted from 1. 0: the only one.",
                    extra_dict=FOLDED,
                ),
                io.Boolean.Input(
                    "overwrite",
                    default=False,
                    optional=True,
                    tooltip="Replace a file of this name that has another subject in it. Off: that is an error.",
                    extra_dict=FOLDED,
                ),
            ],
            outputs=[io.String.Output(display_name="file", tooltip="The path of the saved file.")],
            is_output_node=True,
            hidden=HIDDEN,
        )

    @classmethod
    def execute(cls, scene, name, number=0, overwrite=False) -> io.NodeOutput:
        with named(cls):
            path = new_subject_path(name)
            subject = replace(only_subject(scene, number), title=path.stem)
            write_subject(path, subject, overwrite=overwrite)
        if scene.standalone:
            notice(cls, "The scene's objects and background are left out: the file has the subject only.")
        return io.NodeOutput(str(path), ui=_sheet(Scene((subject,)), cls))


class LumosXLoadSubject(io.ComfyNode):
    """A subject from its file."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXLoadSubject",
            display_name="LumosX Load Subject",
            **found_by("person", "people", "character", "actor", "face", "outfit", "reuse"),
            category="LumosX",
            description="Loads a subject that LumosX Save Subject has saved: a person with everything that belongs to "
            "the person. Join several with LumosX Scene.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=subject_names(),
                    tooltip="A file in output/lumosx_subjects or models/lumosx_subjects. Press R after adding one.",
                ),
                io.String.Input(
                    "phrases",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="Other words in this prompt, one change a line: woman = woman#2. Empty: as saved.",
                    extra_dict=FOLDED,
                ),
            ],
            outputs=[SceneType.Output(display_name="scene", tooltip="This subject, for LumosX Scene.")],
            hidden=HIDDEN,
        )

    @classmethod
    def validate_inputs(cls, file) -> bool | str:
        if file is not None:  # a name that comes from another node is known only when it runs
            try:
                subject_path(file)
            except LumosXError as error:
                return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file, phrases="") -> list:
        if file is None:
            return []
        path = subject_path(file)
        return [str(path), *subject_state(path)]

    @classmethod
    def execute(cls, file, phrases="") -> io.NodeOutput:
        with named(cls):
            scene = Scene((rephrased(read_subject(subject_path(file)), phrases),))
        return io.NodeOutput(scene, ui=_sheet(scene, cls))


class LumosXSaveScene(io.ComfyNode):
    """A scene with its prompt becomes a case folder."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXSaveScene",
            display_name="LumosX Save Scene (case folder)",
            **found_by("people", "case folder", "export", "save"),
            category="LumosX",
            description="Writes a scene and its prompt as a case folder, which the command line, training and LumosX "
            "Scene From Folder read: one PNG for each reference image, named after its phrase, and caption.txt.",
            inputs=[
                SceneType.Input("scene", tooltip="A scene, or a single LumosX Subject."),
                io.String.Input("prompt", multiline=True, default="", tooltip="The positive prompt, for caption.txt."),
                io.String.Input(
                    "filename_prefix",
                    default="lumosx_cases/scene",
                    tooltip="The folder in ComfyUI's output folder; a number is put behind it, so that no folder is "
                    "written twice.",
                ),
            ],
            outputs=[io.String.Output(display_name="folder", tooltip="The path of the case folder.")],
            is_output_node=True,
            hidden=HIDDEN,
        )

    @classmethod
    def execute(cls, scene, prompt, filename_prefix) -> io.NodeOutput:
        with named(cls):
            folder = _new_case_folder(filename_prefix)
            write_case(folder, Case(None, unescaped(prompt, "The prompt"), scene))
        for text in lost_in_case(scene):
            notice(cls, text)
        return io.NodeOutput(str(folder), ui=_sheet(scene, cls))


def _new_case_folder(prefix: str) -> Path:
    if not is_safe_name(prefix) or any(part.startswith(".") for part in prefix.split("/")):
        raise LumosXError(
            f"{shown(prefix)!r} cannot be a folder below ComfyUI's output folder. Write a plain path with / between "
            f"its parts, such as lumosx_cases/scene."
        )
    parent, name, number, _, _ = folder_paths.get_save_image_path(prefix, folder_paths.get_output_directory())
    return Path(parent, f"{name}_{number:05}")


def _sheet(scene: Scene, cls: type[io.ComfyNode]) -> ui.PreviewImage:
    sheet = np.asarray(draw_contact_sheet(scene, [], []), dtype=np.float32) / 255
    return ui.PreviewImage(torch.from_numpy(sheet)[None], cls=cls)
