"""Photographs in a real ComfyUI: the real architectures in miniature, in the formats in which they are released.

The photograph is put together of real ones: a room, and in it the clothes of two people. Their faces are blobs of the
colour that the miniature detector takes for skin; the other networks have random weights, so what they find is checked
by its form: boxes within the photograph, masks within boxes, pictures of the right sizes.
"""

import json
import shutil

import numpy as np
import pytest
from graphs import LENGTH, node, sampled, saved, scene_graph
from PIL import Image, ImageEnhance

for package in ("insightface", "segment_anything", "transformers", "scipy"):
    pytest.importorskip(package, reason=f"{package} is not installed")

from tiny_networks import SKIN, write_face_detector, write_grounding_dino, write_sam, write_sam2  # noqa: E402

CASE = "man_and_woman_outfits"
PROMPT = (
    "A man and a woman stand in a cozy, warmly lit room. The man, wearing a denim jacket over a white shirt, talks to "
    "the woman, dressed in a light brown sweater, by a white lamp."
)
PLAN = "man: denim jacket, white shirt | woman: light brown sweater || white lamp || cozy, warmly lit room"
FACES = ((300, 80, 380, 180), (800, 100, 890, 210))
CELL = 20  # pixels: the detector sees the photograph at 640, in cells of 8
MODELS = {
    "face_model": "tiny/det_tiny.onnx",
    "box_model": "grounding-dino-test",
    "mask_model": "sam_vit_test.pth",
}


@pytest.fixture(scope="module")
def photographs(server, comfyui_reads_photographs, shared_cases):
    """Miniature models in ComfyUI's folders, and photographs in its input folder."""
    models = server.directory / "models"
    (models / "insightface" / "models" / "tiny").mkdir(parents=True)
    (models / "sams").mkdir(exist_ok=True)
    write_face_detector(models / "insightface" / "models" / "tiny" / "det_tiny.onnx")
    write_grounding_dino(models / "grounding-dino" / "grounding-dino-test")
    write_sam(models / "sams" / "sam_vit_test.pth")
    write_sam2(models / "sams" / "sam2-test")
    case = shared_cases / CASE
    photo = Image.open(case / "background" / "cozy, warmly lit room.png").convert("RGB")
    for file, place in (
        ("subjects/1/denim jacket.png", (80, 190)),
        ("subjects/2/light brown sweater.png", (640, 220)),
        ("objects/white lamp.png", (1120, 500)),
    ):
        photo.paste(Image.open(case / file).convert("RGB"), place)
    photo = ImageEnhance.Color(photo).enhance(0.3)  # in the warm light of the room, wood is of the colour of skin
    for box in FACES:
        photo.paste(tuple(round(255 * value) for value in SKIN), box)
    inputs = server.directory / "input"
    photo.save(inputs / "people.png")
    photo.convert("L").save(inputs / "grey.png")
    Image.new("RGB", (64, 48), "white").save(inputs / "empty.png")
    Image.new("RGB", (1, 1), "white").save(inputs / "pixel.png")
    photo.resize((5472, 3648)).save(inputs / "huge.jpg")
    rotated = photo.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    rotated.save(inputs / "rotated.jpg", exif=exif, quality=95)
    see_through = photo.convert("RGBA")
    see_through.putalpha(Image.new("L", photo.size, 200))
    see_through.save(inputs / "alpha.png")
    yield photo.size
    for folder in ("insightface", "grounding-dino"):
        shutil.rmtree(models / folder)


def load(name: str = "people.png") -> dict:
    return node("LoadImage", image=name)


def shown(source: list) -> dict:
    return node("PreviewAny", source=source)


def text(outputs: dict, name: str) -> str:
    return outputs[name]["text"][0]


def pictures(server, outputs, name):
    return [Image.open(path) for path in server.saved(outputs, name)]


def segment(phrases: str, image: str = "people.png", **changes) -> dict:
    inputs = {
        "image": ["photo", 0],
        "phrases": phrases,
        "box_model": MODELS["box_model"],
        "mask_model": MODELS["mask_model"],
        "threshold": 0.01,
        "instances": "best",
        "picks": "",
        "mask_threshold": 0.5,
        "feather": 1.0,
        **changes,
    }
    return {
        "photo": load(image),
        "segment": node("LumosXSegment", **inputs),
        "boxes": shown(["segment", 2]),
        "cut_outs": node("PreviewImage", images=["segment", 0]),
        "mask_images": node("MaskToImage", mask=["segment", 1]),
        "masks": node("PreviewImage", images=["mask_images", 0]),
        "preview": node("PreviewImage", images=["segment", 3]),
    }


def faces(image: str = "people.png", **changes) -> dict:
    inputs = {
        "image": ["photo", 0],
        "face_model": MODELS["face_model"],
        "threshold": 0.5,
        "order": "left to right",
        "picks": "",
        **changes,
    }
    return {
        "photo": load(image),
        "faces": node("LumosXFaces", **inputs),
        "boxes": shown(["faces", 1]),
        "crops": node("PreviewImage", images=["faces", 0]),
        "preview": node("PreviewImage", images=["faces", 2]),
    }


def auto(image: str = "people.png", **changes) -> dict:
    inputs = {
        "prompt": PROMPT,
        "plan": PLAN,
        "read_prompt_by": "rules",
        **MODELS,
        "language_model": "auto",
        "face_threshold": 0.5,
        "box_threshold": 0.01,
        "feather": 1.0,
        "background": "fill",
        "if_missing": "leave out",
        "photographs__photograph_1": ["photo", 0],
        **changes,
    }
    return {
        "photo": load(image),
        "auto": node("LumosXAutoScene", **inputs),
        "plan": shown(["auto", 2]),
        "warnings": shown(["auto", 6]),
        "previews": node("PreviewImage", images=["auto", 3]),
        "place": node("PreviewImage", images=["auto", 4]),
        "removed_image": node("MaskToImage", mask=["auto", 5]),
        "removed": node("PreviewImage", images=["removed_image", 0]),
    }


@pytest.fixture
def refused(server, photographs):
    def refused(graph: dict, *parts: str) -> None:
        with pytest.raises(Exception) as caught:
            server.run(graph)
        for part in parts:
            assert part in caught.value.message, caught.value.message

    return refused


# Faces


def test_faces_are_found_cropped_and_numbered_from_left_to_right(server, photographs):
    outputs = server.run(faces())
    found = json.loads(text(outputs, "boxes").replace("'", '"').replace("(", "[").replace(")", "]"))[0]
    assert [box["label"] for box in found] == ["face 1", "face 2"]
    for box, face in zip(found, FACES, strict=True):
        edges = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
        assert max(abs(edge - true) for edge, true in zip(edges, face, strict=True)) < CELL
        assert len(box["landmarks"]) == 5 and 0.5 <= box["score"] <= 1
    for crop, box in zip(pictures(server, outputs, "crops"), found, strict=True):
        assert abs(crop.width - box["width"]) <= 2
        assert abs(crop.height - 1.2 * box["height"]) <= 2  # the margin of the benchmark
    assert pictures(server, outputs, "preview")[0].size == (1280, 720)


def test_faces_are_picked_and_ordered(server, photographs):
    outputs = server.run(faces(order="largest first", picks="1"))
    [crop] = pictures(server, outputs, "crops")
    assert crop.width > 85  # the right one
    assert '"face 1"' in text(outputs, "boxes")
    assert '"face 2"' in text(server.run(faces(picks="2")), "boxes")  # numbers stay those of the whole list


def test_one_of_several_things_is_picked(server, photographs):
    every = json.loads(text(server.run(segment("person", instances="all")), "boxes").replace("'", '"'))[0]
    assert len(every) > 2 and [box["x"] + box["width"] / 2 for box in every] == sorted(
        box["x"] + box["width"] / 2 for box in every
    )
    [second] = json.loads(text(server.run(segment("person", instances="all", picks="2")), "boxes").replace("'", '"'))[0]
    assert second == every[1]


def test_a_mask_takes_the_place_of_the_detector(server, photographs):
    graph = faces(masks=["solid", 0], face_model="nothing of this name")
    graph["solid"] = node("SolidMask", value=1.0, width=1280, height=720)
    [crop] = pictures(server, server.run(graph), "crops")
    assert crop.size == (1280, 720)


def test_a_turned_photograph_is_upright_and_a_huge_one_is_read(server, photographs):
    for name, size in (("rotated.jpg", (1280, 720)), ("huge.jpg", (5472, 3648))):
        outputs = server.run(faces(name))
        crops = pictures(server, outputs, "crops")
        assert len(crops) == 2
        assert abs(crops[1].width / size[0] - 90 / 1280) < 2 * CELL / 1280


def test_no_face_is_told(refused):
    refused(faces("empty.png"), "No face was found", "Lower the threshold")
    refused(faces("pixel.png"), "The photo is 1x1 pixels", "16 or more on each side")
    refused(faces("grey.png"), "No face was found")


def test_a_wrong_pick_and_two_sources_are_told(refused):
    refused(faces(picks="3"), "Face 3 is asked for, but there are 2")
    graph = faces(boxes=["first", 1])
    graph["first"] = {**faces("huge.jpg")["faces"], "inputs": {**faces()["faces"]["inputs"], "image": ["other", 0]}}
    graph["other"] = load("huge.jpg")
    refused(graph, "is outside the photo of 1280x720")
    graph = faces(masks=["solid", 0])
    graph["solid"] = node("SolidMask", value=1.0, width=64, height=64)
    refused(graph, "The masks are 64x64, the photo is 1280x720")
    graph["solid"]["inputs"].update(value=0.0, width=1280, height=720)
    refused(graph, "mask of faces is empty")


def test_a_model_that_is_not_here_is_told_with_all_that_is_needed_to_get_it(refused):
    refused(faces(face_model="det_none.onnx"), "det_none.onnx", "tiny/det_tiny.onnx")
    refused(segment("lamp", mask_model="sam_none.pth"), "sam_none.pth", "sam_vit_test.pth")


# Phrases


@pytest.mark.parametrize(("mask_model", "mask_threshold"), [("sam_vit_test.pth", 0.5), ("sam2-test", 0.05)])
def test_phrases_become_masks_within_their_boxes(server, photographs, mask_model, mask_threshold):
    graph = segment("denim jacket, white shirt\nlamp", mask_model=mask_model, mask_threshold=mask_threshold)
    outputs = server.run(graph)
    found = json.loads(text(outputs, "boxes").replace("'", '"'))[0]
    assert [box["label"] for box in found] == ["denim jacket", "white shirt", "lamp"]
    masks = pictures(server, outputs, "masks")
    assert len(masks) == 3
    for mask, box in zip(masks, found, strict=True):
        assert box["x"] >= 0 and box["y"] >= 0 and 0 < box["score"] < 1
        assert box["x"] + box["width"] <= 1280 and box["y"] + box["height"] <= 720
        assert mask.size == (1280, 720)
        left, top, right, bottom = mask.convert("L").getbbox()
        leeway_x, leeway_y = 0.1 * box["width"] + 1, 0.1 * box["height"] + 1
        assert left >= box["x"] - leeway_x and top >= box["y"] - leeway_y
        assert right <= box["x"] + box["width"] + leeway_x and bottom <= box["y"] + box["height"] + leeway_y
    for cut_out, mask in zip(pictures(server, outputs, "cut_outs"), masks, strict=True):
        left, top, right, bottom = mask.convert("L").point(lambda value: 255 * (value > 6)).getbbox()
        assert cut_out.size == (right - left, bottom - top)
    assert pictures(server, outputs, "preview")[0].size == (1280, 720)


def test_a_region_holds_the_search(server, photographs):
    graph = segment("lamp", instances="all", region=["faces", 1])
    graph["faces"] = faces(picks="2")["faces"]
    outputs = server.run(graph)
    for box in json.loads(text(outputs, "boxes").replace("'", '"'))[0]:
        assert box["x"] >= 790 and box["x"] + box["width"] <= 900


def test_phrases_that_find_nothing_and_none_at_all_are_told(refused):
    refused(segment("lamp, hat", threshold=0.99), 'Nothing was found for "lamp", "hat"', "Lower the threshold")
    refused(segment(" ,\n"), "LumosX Segment has no phrase")
    graph = segment("lamp", region=["faces", 1])
    graph["faces"] = faces()["faces"]
    refused(graph, "2 boxes are connected to region, expected one")


@pytest.mark.parametrize("name", ["grey.png", "alpha.png", "pixel.png", "rotated.jpg"])
def test_unusual_photographs_are_segmented_too(server, photographs, name):
    try:
        outputs = server.run(segment("lamp", name))
    except Exception as error:
        assert name == "pixel.png" and "The photo is 1x1 pixels" in error.message
    else:
        assert pictures(server, outputs, "cut_outs")[0].width >= 1


# The whole way


def test_one_photograph_and_a_prompt_become_a_video(server, photographs):
    graph = {**scene_graph(scene=["auto", 0], positive_prompt=["auto", 1]), **auto()}
    for unused in ("man", "woman", "scene"):
        del graph[unused]
    graph["sheet"] = node("LumosXPreviewScene", scene=["auto", 0], prompt=PROMPT)
    outputs = server.run(saved(sampled(graph)))
    [video] = server.saved(outputs, "save")
    import av

    with av.open(str(video)) as container:
        assert len(list(container.decode(video=0))) == LENGTH
    assert text(outputs, "plan") == PLAN
    [removed] = pictures(server, outputs, "removed")
    assert removed.size == (1280, 720) and np.asarray(removed.convert("L")).any()
    assert pictures(server, outputs, "place")[0].size == (1280, 720)


def test_the_plan_is_read_from_the_prompt_where_none_is_typed(server, photographs):
    assert text(server.run(auto(plan="")), "plan") == PLAN


def test_two_photographs_of_different_sizes_are_read(server, photographs):
    graph = auto(photographs__photograph_2=["second", 0])
    graph["second"] = load("huge.jpg")
    previews = pictures(server, server.run(graph), "previews")
    assert [preview.size[0] for preview in previews] == [1280, 1280]


def test_pictures_of_ones_own_take_the_place_of_what_is_found(server, photographs):
    plan = "man: denim jacket || white lamp"
    graph = auto(overrides=["mine", 0], if_missing="error", background="none", plan=plan, box_threshold=0.99)
    graph["jacket"] = load(f"{CASE}/subjects/1/denim jacket.png")
    graph["lamp"] = load(f"{CASE}/objects/white lamp.png")
    graph["subject"] = node("LumosXSubject", attribute_1=["jacket", 0], attribute_1_phrase="denim jacket")
    graph["mine"] = node(
        "LumosXScene", subjects__subject_1=["subject", 0], object_1=["lamp", 0], object_1_phrase="white lamp"
    )
    graph["sheet"] = node("LumosXPreviewScene", scene=["auto", 0], prompt=PROMPT)
    sheet = pictures(server, server.run(graph), "sheet")[0]
    assert sheet.width == 1080
    graph["subject"]["inputs"]["attribute_1_phrase"] = "tie"
    with pytest.raises(Exception) as caught:
        server.run(graph)
    assert "takes nobody's place" in caught.value.message


def test_the_place_can_be_inpainted_by_other_nodes_and_joined(server, photographs):
    graph = auto(background="inpaint")
    graph["inpainted"] = node("ImageInvert", image=["auto", 4])  # any node that gives a picture
    graph["joined"] = node(
        "LumosXScene",
        subjects__subject_1=["auto", 0],
        background=["inpainted", 0],
        background_phrase="cozy, warmly lit room",
    )
    graph["sheet"] = node("LumosXPreviewScene", scene=["joined", 0], prompt=PROMPT)
    outputs = server.run(graph)
    sheet = pictures(server, outputs, "sheet")[0]
    assert sheet.width > sheet.height
    assert np.asarray(pictures(server, outputs, "removed")[0].convert("L")).any()


def test_mistakes_of_the_plan_are_told(refused):
    refused(auto(plan="man: tie || car"), '"tie"', '"car"', "does not occur in the prompt")
    refused(auto(plan="a: b: c"), "colon")
    refused(auto(plan="", prompt="Waves break on black rocks."), "plan is empty")
    refused(auto(plan="", prompt=" "), "The prompt and the plan are both empty")
    plan = {"plan": "man | woman", "background": "none", "if_missing": "error"}
    refused(auto("empty.png", **plan, box_threshold=0.99), "but 0 can be seen")
    refused(auto(plan="", read_prompt_by="language model", language_model="none"), "none")
    graph = auto()
    del graph["auto"]["inputs"]["photographs.photograph_1"]
    refused(graph, "has no photo")
