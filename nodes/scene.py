"""Second step: describe who wears what. Every node here gives a LUMOSX_SCENE; a single person is a scene, too."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..lumosx_core.case_folder import read_case
from ..lumosx_core.errors import LumosXError
from ..lumosx_core.pictures import cut_out
from ..lumosx_core.scene import Reference, Scene, Subject
from .growing import connected, growing

SceneType = io.Custom("LUMOSX_SCENE")

PICTURES = 3  # attributes of a subject, objects of a scene; the most that were trained
PHRASE_HELP = (
    "The words of the prompt that name it, exactly as written there. Every occurrence is meant; man#2 means the second "
    "one only. Empty: bound to no words."
)
MASK_HELP = (
    "White where the subject is: everything else becomes white. A mask from Load Image is the opposite, put Invert "
    "Mask between."
)


class LumosXSubject(io.ComfyNode):
    """One person: a face and what belongs to it."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXSubject",
            display_name="LumosX Subject",
            category="LumosX",
            description="One person: a face and what the person wears or carries, each with the words that name it in "
            "the prompt. For more than three attributes connect another LumosX Subject without a face. Join several "
            "people with LumosX Scene.",
            inputs=[
                *_picture("face", "A picture of the face."),
                *_pictures("attribute", "A picture of a garment or another thing of this person."),
                growing(
                    SceneType,
                    "more",
                    "more_attributes",
                    "Another LumosX Subject without a face: its attributes belong to this person, too. Up to 3 "
                    "attributes were trained.",
                ),
            ],
            outputs=[SceneType.Output(display_name="scene")],
        )

    @classmethod
    def execute(cls, face=None, face_phrase="", face_mask=None, more=None, **attributes) -> io.NodeOutput:
        attributes = _references("attribute", attributes)
        for part in connected(more):
            if part.background or part.objects or any(subject.face for subject in part.subjects):
                raise LumosXError(
                    "The scene connected to more_attributes has a face, an object or a background, expected attributes "
                    "only. Connect a LumosX Subject without a face, or join whole scenes with LumosX Scene."
                )
            attributes += part.references
        face = _reference("The face", face, face_phrase, face_mask)
        scene = Scene((Subject(face, attributes),))
        if not scene.references:
            raise LumosXError("This subject has no picture. Connect a face or an attribute to LumosX Subject.")
        return io.NodeOutput(scene)


class LumosXScene(io.ComfyNode):
    """Several subjects, objects and a background in one scene."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXScene",
            display_name="LumosX Scene",
            category="LumosX",
            description="Joins subjects, objects and a background. Objects belong to nobody: a lamp, a table. For more "
            "than three objects connect another LumosX Scene among the subjects.",
            inputs=[
                io.Image.Input("background", optional=True, tooltip="A picture of the place, without people."),
                io.String.Input("background_phrase", default="", optional=True, tooltip=PHRASE_HELP),
                *_pictures("object", "A picture of an object."),
                growing(
                    SceneType,
                    "subjects",
                    "subject",
                    "A LumosX Subject, or another LumosX Scene, for example with more objects. Up to 3 subjects were "
                    "trained; more work, more than 9 are unstable.",
                ),
            ],
            outputs=[SceneType.Output(display_name="scene")],
        )

    @classmethod
    def execute(cls, subjects=None, background=None, background_phrase="", **objects) -> io.NodeOutput:
        parts = connected(subjects)
        backgrounds = [part.background for part in parts if part.background is not None]
        background = _reference("The background", background, background_phrase)
        if background is not None:
            backgrounds.append(background)
        if len(backgrounds) > 1:
            raise LumosXError(
                f"{len(backgrounds)} backgrounds reach LumosX Scene, expected one. Disconnect the others."
            )
        scene = Scene(
            tuple(subject for part in parts for subject in part.subjects),
            tuple(item for part in parts for item in part.objects) + _references("object", objects),
            backgrounds[0] if backgrounds else None,
        )
        scene.check()
        return io.NodeOutput(scene)


class LumosXSceneFromFolder(io.ComfyNode):
    """A case folder in the released layout, from ComfyUI's input folder."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXSceneFromFolder",
            display_name="LumosX Scene From Folder",
            category="LumosX",
            description="Reads a case folder: caption.txt, subjects/1/face_man.png, subjects/1/denim jacket.png, "
            "objects/white lamp.png, background/cozy room.png. File names are the phrases.",
            inputs=[
                io.Combo.Input(
                    "folder",
                    options=_case_folders(),
                    tooltip="A folder with a caption.txt inside ComfyUI's input folder.",
                )
            ],
            outputs=[SceneType.Output(display_name="scene"), io.String.Output(display_name="prompt")],
        )

    @classmethod
    def validate_inputs(cls, folder) -> bool | str:
        # A folder that comes from another node is known only when it runs.
        return True if folder is None else cls._known(folder)

    @classmethod
    def _known(cls, folder) -> bool | str:
        if folder in _case_folders():
            return True
        return (
            f"There is no case folder {folder!r} in ComfyUI's input folder {folder_paths.get_input_directory()}. Copy "
            f"it there with its caption.txt, then press R to refresh."
        )

    @classmethod
    def fingerprint_inputs(cls, folder) -> list:
        if folder is None:
            return []
        root = Path(folder_paths.get_input_directory(), folder)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files]

    @classmethod
    def execute(cls, folder) -> io.NodeOutput:
        if (known := cls._known(folder)) is not True:
            raise LumosXError(known)
        case = read_case(Path(folder_paths.get_input_directory(), folder))
        return io.NodeOutput(case.scene, case.prompt)


def _picture(name: str, tooltip: str) -> list[io.Input]:
    return [
        io.Image.Input(name, optional=True, tooltip=tooltip),
        io.String.Input(f"{name}_phrase", default="", optional=True, tooltip=PHRASE_HELP),
        io.Mask.Input(f"{name}_mask", optional=True, tooltip=MASK_HELP),
    ]


def _pictures(kind: str, tooltip: str) -> list[io.Input]:
    """Some pictures, each with phrase and mask.

    Always there: in ComfyUI's page a DynamicCombo of their number empties all phrases whenever the number changes.
    """
    return [slot for i in range(1, PICTURES + 1) for slot in _picture(f"{kind}_{i}", tooltip)]


def _references(kind: str, inputs: dict) -> tuple[Reference, ...]:
    names = [f"{kind}_{i}" for i in range(1, PICTURES + 1)]
    found = [
        _reference(
            name.capitalize().replace("_", " "),
            inputs.get(name),
            inputs.get(f"{name}_phrase", ""),
            inputs.get(f"{name}_mask"),
        )
        for name in names
    ]
    return tuple(reference for reference in found if reference is not None)


def _reference(label: str, picture, phrase: str, mask=None) -> Reference | None:
    """A picture from the graph, cut out on white by its mask or its own transparency."""
    if picture is None:
        if phrase.strip() or mask is not None:
            what = f'the phrase "{phrase}"' if phrase.strip() else "a mask"
            raise LumosXError(f"{label} has {what} but no picture. Connect one, or clear the input.")
        return None
    label = f'{label} ("{phrase}")' if phrase.strip() else label
    if len(picture) != 1:
        raise LumosXError(f"{label} has {len(picture)} pictures, expected one. Choose one with Image From Batch.")
    if mask is not None and not mask.any():
        raise LumosXError(
            f"{label} has an empty mask, as Load Image gives for a picture without transparency. Disconnect it, or "
            f"paint one. {MASK_HELP}"
        )
    image = picture[0]
    if mask is None and image.shape[-1] == 4:
        mask = image[None, ..., 3]
    image = image[..., :3]
    if mask is not None:
        mask = mask.reshape(-1, *mask.shape[-2:])
        if len(mask) != 1:
            raise LumosXError(f"{label} has {len(mask)} masks, expected one. Choose one of them.")
        try:
            image = cut_out(image, mask[0])
        except LumosXError as error:
            raise LumosXError(f"{label}: {error} {MASK_HELP}") from error
    return Reference(phrase, image)


def _case_folders() -> list[str]:
    root = folder_paths.get_input_directory()
    found = [os.path.relpath(folder, root) for folder, _, files in os.walk(root) if "caption.txt" in files]
    return sorted(folder.replace(os.sep, "/") for folder in found if folder != ".")
