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

SceneType = io.Custom("LUMOSX_SCENE")

MOST_PICTURES = 12  # in one growing list of pictures
MOST_SUBJECTS = 20
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
            "the prompt. Join several with LumosX Scene.",
            inputs=[
                io.Image.Input("face", optional=True, tooltip="A picture of the face."),
                io.String.Input("face_phrase", default="", tooltip=PHRASE_HELP),
                io.Mask.Input("face_mask", optional=True, tooltip=MASK_HELP),
                _growing_pictures(
                    "attributes",
                    [*range(1, MOST_PICTURES + 1), 0],
                    "How many garments or other things of this person have a picture. Up to 3 were trained.",
                ),
            ],
            outputs=[SceneType.Output(display_name="scene")],
        )

    @classmethod
    def execute(cls, face_phrase, attributes, face=None, face_mask=None) -> io.NodeOutput:
        face = _reference("The face", face, face_phrase, face_mask)
        scene = Scene((Subject(face, _references("Attribute", attributes)),))
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
            description="Joins subjects, objects and a background. Objects belong to nobody: a lamp, a table.",
            inputs=[
                io.Autogrow.Input(
                    "subjects",
                    template=io.Autogrow.TemplateNames(
                        SceneType.Input("subject", tooltip="A LumosX Subject, or another scene."),
                        names=[f"subject_{i}" for i in range(1, MOST_SUBJECTS + 1)],
                        min=0,
                    ),
                    tooltip="The people, in any order. Up to 3 were trained; more work, more than 9 are unstable.",
                ),
                io.Image.Input("background", optional=True, tooltip="A picture of the place, without people."),
                io.String.Input("background_phrase", default="", tooltip=PHRASE_HELP),
                _growing_pictures("objects", [*range(MOST_PICTURES + 1)], "How many objects have a picture."),
            ],
            outputs=[SceneType.Output(display_name="scene")],
        )

    @classmethod
    def execute(cls, background_phrase, objects, subjects=None, background=None) -> io.NodeOutput:
        parts = [part for _, part in sorted((subjects or {}).items(), key=_number) if part is not None]
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
            tuple(item for part in parts for item in part.objects) + _references("Object", objects),
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
        if folder in _case_folders():
            return True
        return (
            f"There is no case folder {folder!r} in ComfyUI's input folder {folder_paths.get_input_directory()}. Copy "
            f"it there with its caption.txt, then press R to refresh."
        )

    @classmethod
    def fingerprint_inputs(cls, folder) -> list:
        root = Path(folder_paths.get_input_directory(), folder)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files]

    @classmethod
    def execute(cls, folder) -> io.NodeOutput:
        case = read_case(Path(folder_paths.get_input_directory(), folder))
        return io.NodeOutput(case.scene, case.prompt)


def _growing_pictures(name: str, counts: list[int], tooltip: str) -> io.DynamicCombo.Input:
    """A list of pictures, each with phrase and mask, as long as the artist says; the first count is the default."""
    slots = [
        [
            io.Image.Input(f"picture_{i}", optional=True),
            io.String.Input(f"phrase_{i}", default="", tooltip=PHRASE_HELP),
            io.Mask.Input(f"mask_{i}", optional=True, tooltip=MASK_HELP),
        ]
        for i in range(1, max(counts) + 1)
    ]
    options = [io.DynamicCombo.Option(str(count), sum(slots[:count], [])) for count in counts]
    return io.DynamicCombo.Input(name, options=options, tooltip=tooltip)


def _references(kind: str, pictures: dict) -> tuple[Reference, ...]:
    names = sorted((name for name in pictures if name.startswith("phrase_")), key=lambda name: int(name[7:]))
    found = [
        _reference(
            f"{kind} {name[7:]}", pictures.get(f"picture_{name[7:]}"), pictures[name], pictures.get(f"mask_{name[7:]}")
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


def _number(item: tuple) -> int:
    return int(item[0].rpartition("_")[2])


def _case_folders() -> list[str]:
    root = folder_paths.get_input_directory()
    found = [os.path.relpath(folder, root) for folder, _, files in os.walk(root) if "caption.txt" in files]
    return sorted(folder.replace(os.sep, "/") for folder in found if folder != ".")
