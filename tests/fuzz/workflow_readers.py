"""Saved workflows in every form, and what they evaluate to."""

from __future__ import annotations

import io
import json
from pathlib import Path

from fuzz.inputs import STRINGS, as_json, edited_bytes, edited_tree, json_bytes, values
from fuzz.reader import Make, Reader, put, put_one
from fuzz.seeds import case, clip, images, noise, saved
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from lumosx_core.scene.case_folder import read_case
from lumosx_core.workflow.confined_path import path_inside
from lumosx_core.workflow.outline import scene_outline
from lumosx_core.workflow.run import read_video
from lumosx_core.workflow.saved.file import read_workflow

ROOT = Path(__file__).resolve().parents[2]
PAGE = [json.loads(path.read_text()) for path in sorted((ROOT / "example_workflows").glob("*.json"))]
API = [json.loads(path.read_text()) for path in sorted((ROOT / "tests" / "comfy" / "api_prompts").rglob("*.json"))]
_WHOLE = ("Face only", "One person, own outfit", "Two people, own outfits", "Three people, objects, background")
"""Those that can be evaluated to their end without ComfyUI."""
WHOLE = [json.loads((ROOT / "tests" / "comfy" / "api_prompts" / f"{name}.json").read_text()) for name in _WHOLE]


def evaluate(path: Path, folder: Path) -> None:
    """Everything that is done with a workflow: the outline of each scene, and the settings of its video."""
    graph = read_workflow(path)

    def case_of(name: str):
        return read_case(path_inside(folder, name, "LumosX Scene From Folder"))

    videos = [node.id for node in graph.nodes.values() if node.type == "LumosXSceneToVideo"]
    for id in videos[:3]:
        scene_outline(graph, id, case=case_of)
    read_video(graph, folder, node_id=videos[0] if len(videos) > 1 else None)


def _evaluated(content: bytes, name: str, folder: Path) -> None:
    put(folder / "case", case())
    put_one(folder, "image.png", images()[0])
    evaluate(put_one(folder, name, content), folder)


def _page() -> Reader:
    return Reader(
        edited_tree([*PAGE, *PAGE[-9:-4]]).map(json_bytes),
        lambda value, folder: _evaluated(value, "workflow.json", folder),
    )


def _exported() -> Reader:
    wrapped = [
        {"prompt": API[0], "client_id": "x"},
        {"output": API[1], "workflow": PAGE[1]},
        {"a": {"prompt": [0, "a", API[2], {}, []]}},
    ]
    tree = edited_tree([*API, *WHOLE, *WHOLE, *wrapped]).map(json_bytes)
    damaged = edited_bytes([json.dumps(each).encode() for each in API[:4]])
    return Reader(tree | damaged, lambda value, folder: _evaluated(value, "workflow.json", folder))


def _carried() -> Reader:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", json.dumps(WHOLE[0]))
    texts.add_text("workflow", json.dumps(PAGE[0]), zip=True)
    image = Image.fromarray(noise())
    seeds = [saved(image, "PNG", pnginfo=texts)]
    seeds.append(clip(prompt=json.dumps(WHOLE[0]), workflow=json.dumps(PAGE[0])))
    seeds.append(clip("libvpx", "webm", prompt=json.dumps(WHOLE[0])))

    def in_png(text: str) -> bytes:
        info = PngImagePlugin.PngInfo()
        info.add_text("prompt", text.encode("utf-8", "replace").decode())
        return saved(image, "PNG", pnginfo=info)

    contents = edited_bytes(seeds) | edited_tree(WHOLE[:3]).map(in_png)
    endings = st.sampled_from((".png", ".mp4", ".webm", ".mkv", ".PNG"))
    return Reader(
        st.tuples(contents, endings), lambda value, folder: _evaluated(value[0], f"workflow{value[1]}", folder)
    )


# Types of nodes that are evaluated, and the inputs that they have.
_NODES = {
    "PrimitiveString": ("value",),
    "PrimitiveInt": ("value",),
    "PrimitiveFloat": ("value",),
    "PrimitiveBoolean": ("value",),
    "StringConcatenate": ("string_a", "string_b", "delimiter"),
    "LoadImage": ("image",),
    "LumosXLoadImage": ("image", "background", "crop_to_content"),
    "LumosXExamplePicture": ("picture",),
    "ImageBatch": ("image1", "image2"),
    "BatchImagesNode": ("images.image0", "images.image1"),
    "ImageFromBatch": ("image", "batch_index", "length"),
    "InvertMask": ("mask",),
    "LoadImageMask": ("image", "channel"),
    "EmptyImage": ("width", "height", "batch_size", "color"),
    "SolidMask": ("value", "width", "height"),
    "MaskToImage": ("mask",),
    "ImageToMask": ("image", "channel"),
    "ImageScale": ("image", "upscale_method", "width", "height", "crop"),
    "LumosXSubject": ("face", "face_phrase", "attribute_1", "attribute_1_phrase", "face_strength", "attribute_1_mask"),
    "LumosXScene": (
        "background",
        "background_phrase",
        "object_1",
        "object_1_phrase",
        "subjects.subject_1",
        "subjects.subject_2",
    ),
    "LumosXSceneFromFolder": ("folder",),
    "LumosXAutoScene": ("photographs.photograph_1", "prompt", "plan", "overrides", "background"),
    "LumosXSceneToVideo": (
        "scene",
        "positive_prompt",
        "negative_prompt",
        "width",
        "height",
        "length",
        "batch_size",
        "vae",
        "clip",
    ),
    "LumosXApply": ("model", "mcam_ratio", "mcam", "r2pe", "csam"),
    "LumosXSampler": ("model", "positive", "negative", "latent_image", "seed", "steps", "cfg", "shift"),
    "LumosXLoadModel": ("model_name", "dtype"),
    "KSampler": (
        "model",
        "positive",
        "negative",
        "latent_image",
        "seed",
        "steps",
        "cfg",
        "sampler_name",
        "scheduler",
        "denoise",
    ),
    "Reroute": ("value",),
    "LoraLoaderModelOnly": ("model", "lora_name", "strength_model"),
}
_TEXTS = st.sampled_from(
    ("image.png", "case", "man", "A man in a denim jacket.", "white", "../case", "image.png [lumosx]")
)


def _graphs() -> Reader:
    """Any nodes and links before a workflow's inputs, chains that double their text among them."""

    @st.composite
    def graph(draw) -> bytes:
        nodes = json.loads(json.dumps(draw(st.sampled_from(WHOLE))))
        slots = [(id, name) for id, node in nodes.items() for name in node["inputs"]]
        count = draw(st.integers(1, 24))
        doubling = draw(st.booleans())
        for number in range(count):
            kind = "StringConcatenate" if doubling else draw(st.sampled_from([*_NODES]))
            nodes[f"new{number}"] = {"class_type": kind, "inputs": _inputs(draw, kind, number, count, doubling)}
        for _ in range(draw(st.integers(1, 3))):
            id, name = draw(st.sampled_from(slots))
            nodes[id]["inputs"][name] = [f"new{count - 1}", draw(st.sampled_from((0, 0, 1)))]
        return json_bytes(as_json(nodes))

    return Reader(graph(), lambda value, folder: _evaluated(value, "workflow.json", folder))


def _inputs(draw, kind: str, number: int, count: int, doubling: bool) -> dict:
    """What is written in a new node or connected to it, mostly to one before it."""
    inputs = {}
    for name in _NODES[kind]:
        choice = draw(st.integers(0, 7))
        if doubling:
            inputs[name] = [f"new{number - 1}", 0] if number else "word "
        elif choice <= 3 and number:
            inputs[name] = [f"new{draw(st.integers(0, number - 1))}", draw(st.sampled_from((0, 0, 0, 1, 2, -1, 99)))]
        elif choice == 4:
            inputs[name] = [f"new{draw(st.integers(0, count))}", 0]
        elif choice == 5:
            inputs[name] = draw(values())
        else:
            inputs[name] = draw(_TEXTS | st.integers(-3, 100))
    return inputs


def _edited_numbers() -> Reader:
    """Shipped workflows in which only values change, so that they get as far as they can."""

    @st.composite
    def changed(draw) -> bytes:
        prompt = json.loads(json.dumps(draw(st.sampled_from(WHOLE))))
        slots = [
            (id, name)
            for id, node in prompt.items()
            for name, value in node["inputs"].items()
            if not isinstance(value, list)
        ]
        for _ in range(draw(st.integers(1, 3))):
            id, name = draw(st.sampled_from(slots))
            prompt[id]["inputs"][name] = draw(st.one_of(values(), st.integers(-9, 10**7), STRINGS, _TEXTS))
        return json_bytes(as_json(prompt))

    return Reader(changed(), lambda value, folder: _evaluated(value, "workflow.json", folder))


def _route() -> Reader:
    """Bodies of the page's request, whose prompt is a workflow that is being worked on."""
    from fuzz.page import route_answer

    bodies = [
        {"prompt": prompt, "node": id, "text": "A man in a denim jacket and a woman, {red|blue}.", "dynamic": True}
        for prompt in API
        for id, node in prompt.items()
        if node["class_type"] == "LumosXSceneToVideo"
    ]
    tree = edited_tree(bodies).map(json_bytes)
    damaged = edited_bytes([json.dumps(body).encode() for body in bodies[:3]])

    def read(value: bytes, folder: Path) -> None:
        put(folder / "case", case())
        json.dump(route_answer(folder)(value), io.StringIO())

    return Reader(tree | damaged, read)


READERS: dict[str, Make] = {
    "workflows of the page": _page,
    "exported workflows": _exported,
    "workflows in media": _carried,
    "graphs": _graphs,
    "values of workflows": _edited_numbers,
    "route of the page": _route,
}
