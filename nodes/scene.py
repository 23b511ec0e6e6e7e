"""Second step: describe who wears what. Every node here outputs a LUMOSX_SCENE; a single subject is a scene, too."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..lumosx_core.errors import LumosXError
from ..lumosx_core.prompt.literal_text import escaped
from ..lumosx_core.scene.build import ATTRIBUTES, MASK_HELP, OBJECTS, subject_scene, whole_scene
from ..lumosx_core.scene.case_folder import read_case
from ..lumosx_core.scene.strength import STRONGEST
from .inputs.case_folders import case_fingerprint, case_folders
from .inputs.host_schema import FOLDED, found_by
from .inputs.slot_rows import connected, earlier, growing
from .page.notices import HIDDEN, named, notice

SceneType = io.Custom("LUMOSX_SCENE")

PHRASE_HELP = (
    "The words of the prompt that name it, exactly as written there. A phrase refers to every occurrence; man#2 only "
    "to the second. Empty: bound to no words."
)
STRENGTH_HELP = (
    "How strongly the video looks at it. 1: as released. 0: not at all, as if it were not connected; its phrase must "
    "still occur in the prompt."
)
MORE_HELP = (
    "Another LumosX Subject without a face: its attributes also belong to this subject. The model was trained with "
    "up to 3 attributes."
)
SUBJECT_HELP = (
    "A LumosX Subject, or another LumosX Scene, for example with more objects. The model was trained with up to 3 "
    "subjects; more work, more than 9 are unstable."
)
SEVERAL_HELP = "A batch of images shows the same thing from several sides."


class LumosXSubject(io.ComfyNode):
    """One subject: a face and its attributes."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXSubject",
            display_name="LumosX Subject (person and outfit)",
            **found_by("person", "people", "character", "outfit", "clothes", "face", "identity"),
            category="LumosX",
            description="One person as a subject: a face and what the person wears or carries, each with the words "
            "that name it in the prompt. For more than three attributes connect another LumosX Subject "
            "without a face. Join several subjects with LumosX Scene.",
            inputs=[
                *_picture("face", f"An image of the face. {SEVERAL_HELP}"),
                *_pictures(ATTRIBUTES, f"An image of a garment or another thing of this subject. {SEVERAL_HELP}"),
                *_strengths("face", *ATTRIBUTES),
                _strength(
                    "strength",
                    "How strongly the video looks at this subject: multiplies the strength of each of its images. 1: "
                    "as released. 0: as if the subject were not connected.",
                ),
                _percent(
                    "start_percent",
                    0.0,
                    "The point in the model's noise schedule from which the subject is seen: 0 is the start, 0.5 the "
                    "middle. Before it, the subject counts as not connected.",
                ),
                _percent(
                    "end_percent",
                    1.0,
                    "The point in the model's noise schedule up to which the subject is seen. The first steps decide "
                    "who stands where, the last ones detail.",
                ),
                earlier(SceneType, "more", "more_attributes", MORE_HELP),
                *growing(SceneType, "more_attributes", MORE_HELP),
            ],
            outputs=[SceneType.Output(display_name="scene", tooltip="This subject, for LumosX Scene.")],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(cls, **inputs) -> io.NodeOutput:
        with named(cls):
            further = connected(inputs, "more_attributes", "more")
            return io.NodeOutput(subject_scene(inputs, further, say=partial(notice, cls)))


class LumosXScene(io.ComfyNode):
    """Several subjects, objects and a background in one scene."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXScene",
            display_name="LumosX Scene (people together)",
            **found_by("people", "persons", "characters", "background", "objects"),
            category="LumosX",
            description="Joins subjects, objects and a background. Objects belong to no subject: a lamp, a table. "
            "For more than three objects connect another LumosX Scene to a subject input.",
            inputs=[
                *_picture("background", "An image of the location, without people.", mask=False),
                *_pictures(OBJECTS, "An image of an object."),
                *_strengths("background", *OBJECTS),
                earlier(SceneType, "subjects", "subject", SUBJECT_HELP),
                *growing(SceneType, "subject", SUBJECT_HELP),
            ],
            outputs=[SceneType.Output(display_name="scene", tooltip="For LumosX Scene To Video.")],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(cls, **inputs) -> io.NodeOutput:
        with named(cls):
            return io.NodeOutput(
                whole_scene(inputs, connected(inputs, "subject", "subjects"), say=partial(notice, cls))
            )


class LumosXSceneFromFolder(io.ComfyNode):
    """A case folder in the released layout, from ComfyUI's input folder."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXSceneFromFolder",
            display_name="LumosX Scene From Folder",
            **found_by("people", "case folder", "character"),
            category="LumosX",
            description="Reads a case folder: caption.txt, subjects/1/face_man.png, subjects/1/denim jacket.png, "
            "objects/white lamp.png, background/cozy room.png. File names are the phrases.",
            inputs=[
                io.Combo.Input(
                    "folder",
                    options=case_folders(),
                    tooltip="A folder with a caption.txt inside ComfyUI's input folder.",
                )
            ],
            outputs=[
                SceneType.Output(display_name="scene", tooltip="For LumosX Scene To Video."),
                io.String.Output(
                    display_name="prompt",
                    tooltip="The prompt of the folder's caption.txt. It is literal text: its brackets are no weights.",
                ),
            ],
            hidden=HIDDEN,
        )

    @classmethod
    def validate_inputs(cls, folder) -> bool | str:
        # A folder that comes from another node is known only when it runs.
        return True if folder is None else cls._known(folder)

    @classmethod
    def _known(cls, folder) -> bool | str:
        if folder in case_folders():
            return True
        return (
            f"There is no case folder {folder!r} in ComfyUI's input folder {folder_paths.get_input_directory()}. Copy "
            f"it there with its caption.txt, then press R to refresh."
        )

    @classmethod
    def fingerprint_inputs(cls, folder) -> list:
        if folder is None:
            return []
        return case_fingerprint(folder)

    @classmethod
    def execute(cls, folder) -> io.NodeOutput:
        if (known := cls._known(folder)) is not True:
            raise LumosXError(known)
        with named(cls):
            case = read_case(Path(folder_paths.get_input_directory(), folder), say=partial(notice, cls))
            return io.NodeOutput(case.scene, escaped(case.prompt, "The caption"))


def _picture(name: str, tooltip: str, mask: bool = True) -> list[io.Input]:
    return [
        io.Image.Input(name, optional=True, tooltip=tooltip),
        io.String.Input(f"{name}_phrase", default="", optional=True, tooltip=PHRASE_HELP),
        *([io.Mask.Input(f"{name}_mask", optional=True, tooltip=MASK_HELP)] if mask else []),
    ]


def _pictures(names: tuple[str, ...], tooltip: str) -> list[io.Input]:
    """Image inputs, each with phrase and mask.

    Always there: in ComfyUI's page a DynamicCombo of their number empties all phrases whenever the number changes.
    """
    return [slot for name in names for slot in _picture(name, tooltip)]


def _strengths(*names: str) -> list[io.Input]:
    """After the phrases, which are older: saved workflows know the values of a node by their order."""
    return [_strength(f"{name}_strength", STRENGTH_HELP) for name in names]


def _strength(name: str, tooltip: str) -> io.Input:
    return io.Float.Input(
        name, default=1.0, min=0.0, max=STRONGEST, step=0.05, optional=True, tooltip=tooltip, extra_dict=FOLDED
    )


def _percent(name: str, default: float, tooltip: str) -> io.Input:
    return io.Float.Input(
        name, default=default, min=0.0, max=1.0, step=0.01, optional=True, tooltip=tooltip, extra_dict=FOLDED
    )
