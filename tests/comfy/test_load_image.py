"""LumosX Load Image in a real ComfyUI: the same pixels on every host, the mask the right way round."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
from comfy_server import Failure
from graphs import CASE, node
from PIL import Image

from lumosx_core.media.example_images import example_path, example_pictures
from lumosx_core.media.loaded_image import load_image


def seen(server, **inputs) -> tuple[np.ndarray, np.ndarray]:
    """The outputs of a LumosX Load Image, as bytes: image (H, W, 3) and mask (H, W)."""
    graph = {
        "load": node("LumosXLoadImage", **{"background": "white", "crop_to_content": False, **inputs}),
        "image": node("SaveImage", images=["load", 0], filename_prefix="seen"),
        "shown": node("MaskToImage", mask=["load", 1]),
        "mask": node("SaveImage", images=["shown", 0], filename_prefix="mask"),
    }
    outputs = server.run(graph)
    [image], [mask] = server.saved(outputs, "image"), server.saved(outputs, "mask")
    return np.array(Image.open(image).convert("RGB")), np.array(Image.open(mask).convert("L"))


@pytest.fixture(scope="module")
def cutout(server):
    """A transparent PNG with hidden colours: a red square on nothing."""
    image = Image.new("RGBA", (100, 60), (0, 90, 0, 0))
    image.paste((200, 10, 10, 255), (40, 20, 60, 40))
    path = server.directory / "input" / "cutout.png"
    image.save(path)
    return path


def test_a_cutout_is_on_white_with_the_mask_of_the_subject(server, cutout):
    image, mask = seen(server, image="cutout.png")
    expected = load_image(cutout)
    assert np.array_equal(image, (expected.image * 255).round().byte().numpy())
    assert np.array_equal(mask, (expected.mask * 255).round().byte().numpy())
    assert image[0, 0].tolist() == [255, 255, 255] and mask[0, 0] == 0 and mask[30, 50] == 255


@pytest.mark.parametrize("kind", ["a.jpg", "a.webp", "grey.png", "deep.png"])
def test_every_host_reads_the_same_pixels(server, kind):
    """ComfyUI's own Load Image does not: newer hosts decode by another library."""
    path = server.directory / "input" / kind
    photo = Image.effect_noise((64, 48), 80)
    if kind == "deep.png":
        photo = Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 20)
    (photo if kind.endswith("png") else photo.convert("RGB")).save(path)
    image, mask = seen(server, image=kind)
    assert np.array_equal(image, (load_image(path).image * 255).round().byte().numpy())
    assert (mask == 255).all()


def test_a_file_of_a_subfolder_with_the_page_s_suffix_is_cropped(server):
    image, _ = seen(server, image=f"{CASE}/subjects/1/face_man.png [input]", crop_to_content=True)
    expected = load_image(server.directory / "input" / CASE / "subjects" / "1" / "face_man.png", crop_to_content=True)
    assert np.array_equal(image, (expected.image * 255).round().byte().numpy())


def test_an_example_is_loaded(server):
    image, _ = seen(server, image="two_people/subjects/2/face_man.png [lumosx]")
    expected = load_image(example_path("two_people/subjects/2/face_man.png"))
    assert np.array_equal(image, (expected.image * 255).round().byte().numpy())


def test_what_the_mask_editor_stores_is_the_subject_where_it_was_painted(server):
    folder = server.directory / "input" / "clipspace"
    folder.mkdir(exist_ok=True)
    painted = Image.new("RGBA", (50, 40), (10, 20, 30, 255))
    painted.paste((10, 20, 30, 0), (5, 5, 15, 15))
    painted.save(folder / "clipspace-painted-masked-1.png")
    (folder / "clipspace-paint-1.png").write_bytes(b"")
    image, mask = seen(server, image="clipspace/clipspace-painted-masked-1.png [input]")
    assert mask[10, 10] == 255 and mask[20, 30] == 0
    assert image[10, 10].tolist() == [10, 20, 30] and image[20, 30].tolist() == [255, 255, 255]
    options = options_of(server)
    assert "clipspace/clipspace-painted-masked-1.png" in options and "clipspace/clipspace-paint-1.png" not in options


def options_of(server) -> list[str]:
    kind, extra = server.get("/object_info/LumosXLoadImage")["LumosXLoadImage"]["input"]["required"]["image"]
    assert extra["image_upload"] is True
    return extra["options"] if kind == "COMBO" else kind


def test_the_artist_s_images_come_first_and_the_examples_behind_them(server, cutout):
    (server.directory / "input" / "notes.txt").write_text("not an image")
    options = options_of(server)
    examples = [f"{name} [lumosx]" for name in example_pictures()]
    assert options[-len(examples) :] == examples
    assert {"cutout.png", f"{CASE}/subjects/1/face_man.png"} <= set(options) and "notes.txt" not in options


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.png", "There is no image 'absent.png' in .*Upload it with the button of LumosX Load Image"),
        ("nobody.png [lumosx]", "There is no example image 'nobody.png'"),
        ("../../secret.png", "is outside "),
    ],
)
def test_a_file_that_is_not_there_is_named_before_the_run(server, name, message):
    with pytest.raises(Failure, match=message):
        seen(server, image=name)


def test_a_heic_photo_says_how_to_convert_it(server):
    (server.directory / "input" / "IMG_1.png").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    with pytest.raises(Failure, match="HEIC photo.*export it as JPEG"):
        seen(server, image="IMG_1.png")


def test_a_file_that_was_written_over_is_read_again(server):
    path = server.directory / "input" / "again.png"
    Image.new("RGB", (8, 8), "red").save(path)
    assert seen(server, image="again.png")[0][0, 0].tolist() == [255, 0, 0]
    Image.new("RGB", (8, 8), "blue").save(path)
    assert seen(server, image="again.png")[0][0, 0].tolist() == [0, 0, 255]


def view(server, name: str) -> bytes:
    folder, _, file = name.rpartition("/")
    query = urllib.parse.urlencode({"filename": file, "subfolder": folder, "type": "input"})
    with urllib.request.urlopen(f"{server.address}/api/view?{query}", timeout=30) as response:
        return response.read()


def test_the_page_gets_examples_for_the_preview_and_no_other_file(server):
    name = "two_people/subjects/2/face_man.png"
    assert view(server, f"{name} [lumosx]") == example_path(name).read_bytes()
    for other in ("../pyproject.toml [lumosx]", "two_people/caption.txt [lumosx]", "absent.png [lumosx]"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            view(server, other)


def test_the_page_still_gets_the_artist_s_own_files(server, cutout):
    assert view(server, "cutout.png") == cutout.read_bytes()


def subject(cutout_node: dict, mask: list) -> dict:
    return {
        "load": cutout_node,
        "invert": node("InvertMask", mask=["load", 1]),
        "person": node("LumosXSubject", face=["load", 0], face_phrase="man", face_mask=mask),
        "preview": node("LumosXPreviewScene", scene=["person", 0], prompt="a man"),
        "save": node("SaveImage", images=["preview", 0], filename_prefix="sheet"),
    }


def test_the_mask_that_core_gives_of_a_cutout_is_refused_as_inverted(server, cutout):
    stock = node("LoadImage", image="cutout.png")
    with pytest.raises(Failure, match="The mask looks inverted.*use LumosX Load Image instead, or put Invert Mask"):
        server.run(subject(stock, ["load", 1]))
    server.run(subject(stock, ["invert", 0]))
    ours = node("LumosXLoadImage", image="cutout.png", background="white", crop_to_content=False)
    server.run(subject(ours, ["load", 1]))
    with pytest.raises(Failure, match="The mask looks inverted"):
        server.run(subject(ours, ["invert", 0]))


# Loaders


def test_lumosx_tiny_is_listed_by_our_loaders_only(server):
    info = server.get("/object_info")
    lists = [name for name, each in info.items() if re.search(r"lumosx-tiny[\w-]*\.safetensors", str(each["input"]))]
    assert sorted(lists) == ["LumosXLoadModel", "LumosXLoadTextEncoder", "LumosXLoadVAE"]


@pytest.mark.parametrize(
    ("loader", "name", "folder", "options"),
    [
        ("LumosXLoadModel", "model_name", "diffusion_models", ""),
        ("LumosXLoadTextEncoder", "text_encoder_name", "text_encoders", ""),
        ("LumosXLoadVAE", "vae_name", "vae", ""),
    ],
)
def test_a_missing_file_says_the_command_before_the_run(comfyui, server, loader, name, folder, options):
    inputs = {name: "lumosx_bf16.safetensors"} | ({"weight_dtype": "default"} if name == "model_name" else {})
    graph = {"load": node(loader, **inputs)}
    if loader == "LumosXLoadModel":
        graph["save"] = node("ModelSave", model=["load", 0], filename_prefix="m")
    elif loader == "LumosXLoadVAE":
        graph["save"] = node("VAESave", vae=["load", 0], filename_prefix="m")
    else:
        graph["save"] = node("CLIPSave", clip=["load", 0], filename_prefix="m")
    with pytest.raises(Failure) as caught:
        server.run(graph)
    message = json.loads(caught.value.message)["node_errors"]["load"]["errors"][0]["details"]
    command = f"{comfyui.python} -m lumosx_core download --comfyui {server.directory}"
    assert f"lumosx_bf16.safetensors is not in models/{folder}" in message and message.endswith(command)
