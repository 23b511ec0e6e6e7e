"""Each mistake of an artist has its own message, and the next run is as if nothing had happened."""

import itertools
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from graphs import CASE, HEIGHT, PROMPT, WIDTH, node, sample, sampled, scene_graph
from PIL import Image
from safetensors.torch import load_file
from weight_files import Code, write

from lumosx_core.models.lumosx.weights.convert import convert

TINY = "lumosx-tiny.safetensors"
spaces = itertools.count(1)


@pytest.fixture(scope="module")
def good(server):
    """The result of a run without a mistake."""
    return sample(server, sampled(scene_graph()))


def small_graph() -> dict:
    # Another number of spaces at the end: an equal prompt would come from ComfyUI's cache, without running.
    return sampled(scene_graph(width=48, height=32, length=5, positive_prompt=PROMPT + " " * next(spaces)), steps=2)


@pytest.fixture(scope="module")
def small(server):
    """The same for a small video, which is made again after each mistake."""
    return sample(server, small_graph())


@pytest.fixture
def refused(server, small):
    """Run a graph that must fail, with these parts in its message, without a new file, and without harm to the next."""

    def refused(graph: dict, *parts: str) -> None:
        output = "sampler" if "sampler" in graph else next(reversed(graph))
        before = files(server)
        with pytest.raises(Exception) as caught:
            server.run({**graph, "end": node("PreviewAny", source=[output, 0])})
        assert files(server) == before
        message = readable(caught.value.message)
        for part in parts:
            assert part in message, message

    yield refused
    assert torch.equal(sample(server, small_graph()), small)


def files(server) -> dict:
    """Every file of the server's folders and when it changed; not what it keeps for itself (its log, its users)."""
    found = {}
    for folder in ("models", "output", "input", "temp"):
        for path in (server.directory / folder).rglob("*"):
            found[str(path)] = path.stat().st_mtime_ns
    return found


def readable(message: str) -> str:
    """The message as the browser shows it: one of the graph's check comes as JSON."""
    if not message.startswith("{"):
        return message
    nodes = json.loads(message)["node_errors"].values()
    return "; ".join(f"{error['message']}: {error['details']}" for each in nodes for error in each["errors"])


# Words and sizes


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"positive_prompt": "A man sits on a bed by a white lamp."},
            ['"woman" of subject 2 (face)', '"denim jacket" of subject 1 (attribute 1)', "exactly as in the prompt"],
        ),
        ({"positive_prompt": PROMPT + " and on" * 300}, ["The prompt has", "model reads 512", "Shorten it"]),
        ({"negative_prompt": "blurry " * 300}, ["The negative prompt is too long", "reads 512", "Shorten it"]),
        ({"width": 100}, ["width 100", "multiple of 16", "Use 96 or 112"]),
        ({"height": 50}, ["height 50", "multiple of 16", "Use 48 or 64"]),
        ({"length": 10}, ["10 frames", "4n + 1", "Use 9 or 13"]),
        ({"width": 8}, ["Value 8 smaller than min of 16: width"]),
        ({"length": 0}, ["Value 0 smaller than min of 1: length"]),
        ({"batch_size": 0}, ["Value 0 smaller than min of 1: batch_size"]),
    ],
    ids=lambda value: f"{next(iter(value))} {str(next(iter(value.values())))[:8]}" if isinstance(value, dict) else "",
)
def test_words_and_sizes_that_do_not_fit(refused, changes, parts):
    refused(sampled(scene_graph(**changes)), *parts)


def test_the_preview_refuses_a_missing_phrase_too(refused):
    graph = scene_graph()
    graph["sheet"] = node("LumosXPreviewScene", scene=["scene", 0], prompt="A man sleeps.", clip=["clip", 0])
    refused(graph, '"woman" of subject 2 (face)', 'The prompt is: "A man sleeps."')


def test_a_scene_made_for_another_size(refused):
    graph = sampled(scene_graph(), latent_image=["other", 0])
    graph["other"] = node("EmptyHunyuanLatentVideo", width=128, height=HEIGHT, length=9, batch_size=1)
    refused(graph, f"made for {WIDTH}x{HEIGHT}", f"latent is 128x{HEIGHT}", "same LumosX Scene To Video")


# Scenes


def changed(name: str, remove: tuple = (), add: dict | None = None, **inputs) -> dict:
    """The good graph up to the sampler, with other inputs for one node, and other nodes."""
    graph = scene_graph()
    graph[name]["inputs"] |= {key.replace("__", "."): value for key, value in inputs.items()}
    for key in remove:
        del graph[name]["inputs"][key.replace("__", ".")]
    return sampled({**graph, **(add or {})})


EMPTY_SCENE = {"scene": node("LumosXScene", background_phrase="")}
THREE_FACES = {"three": node("RepeatImageBatch", image=["man_face", 0], amount=3)}
OUTER_SCENE = {
    "outer": node("LumosXScene", subjects__subject_1=["scene", 0], background=["room", 0], background_phrase="room")
}
LATE = {"late": node("LumosXSubject", attribute_1=["lamp", 0], attribute_1_phrase="white lamp", start_percent=0.5)}
FACE_SIZE = {"width": 178, "height": 252}
TWO_MASKS = {
    "white": node("SolidMask", value=1.0, **FACE_SIZE),
    "image": node("MaskToImage", mask=["white", 0]),
    "twice": node("RepeatImageBatch", image=["image", 0], amount=2),
    "masks": node("ImageToMask", image=["twice", 0], channel="red"),
}


@pytest.mark.parametrize(
    ("graph", "parts"),
    [
        (changed("man", add=EMPTY_SCENE), ["The scene is empty", "Add at least one image"]),
        (
            changed("scene", object_1=["three", 0], add=THREE_FACES),
            ['Object 1 ("white lamp") has 3 images', "Image From Batch"],
        ),
        (changed("video", scene=["outer", 0], add=OUTER_SCENE), ["2 backgrounds", "expected one", "Disconnect"]),
        (
            changed("man", more__more_attributes_1=["woman", 0]),
            ["connected to more_attributes has a face", "attributes only", "without a face"],
        ),
        # what stock Load Image gives as the mask of a photograph: 64 x 64, all zero
        (
            changed("man", face_mask=["man_face", 1]),
            ['The face ("man") has an empty mask', "Load Image gives", "Disconnect it"],
        ),
        (
            changed("man", face_mask=["mask", 0], add={"mask": node("SolidMask", value=0.0, **FACE_SIZE)}),
            ['The face ("man") has an empty mask', "Disconnect it"],
        ),
        (
            changed("man", face_mask=["mask", 0], add={"mask": node("SolidMask", value=0.01, **FACE_SIZE)}),
            ['The face ("man"): The mask is empty', "Mask the subject"],
        ),
        (
            changed("man", face_mask=["mask", 0], add={"mask": node("SolidMask", value=1.0, width=10, height=20)}),
            ['The face ("man"): The mask has shape (20, 10)', "252 pixels high and 178 wide", "image's own size"],
        ),
        (changed("man", face_mask=["masks", 0], add=TWO_MASKS), ['The face ("man") has 2 masks, expected 1', "Choose"]),
        (changed("man", start_percent=0.7, end_percent=0.3), ["begins at 0.7 and ends at 0.3", "0 <= start < end"]),
        (changed("man", more__more_attributes_1=["late", 0], add=LATE), ["seen from 0.5 to 1", "come and go together"]),
    ],
    ids=[
        "empty scene",
        *("three pictures of an object", "two backgrounds", "a person as attribute"),
        *("mask of Load Image", "black mask", "faint mask", "mask of another size", "two masks"),
        *("a span the wrong way round", "attributes that come later"),
    ],
)
def test_scenes_that_are_none(refused, graph, parts):
    refused(graph, *parts)


def test_the_preview_refuses_an_empty_scene_too(refused):
    graph = {"scene": EMPTY_SCENE["scene"], "sheet": node("LumosXPreviewScene", scene=["scene", 0], prompt="")}
    refused(graph, "The scene is empty")


def test_a_transparent_picture_is_cut_out_as_by_its_mask(server, good):
    """JoinImageWithAlpha takes transparency, which is the opposite of our mask."""
    half = {
        "white": node("SolidMask", value=1.0, **FACE_SIZE),
        "black": node("SolidMask", value=0.0, width=100, height=120),
        "mask": node("MaskComposite", destination=["white", 0], source=["black", 0], x=0, y=0, operation="multiply"),
        "transparency": node("InvertMask", mask=["mask", 0]),
        "picture": node("JoinImageWithAlpha", image=["man_face", 0], alpha=["transparency", 0]),
    }
    by_mask = sample(server, changed("man", face_mask=["mask", 0], add=half))
    by_alpha = sample(server, changed("man", face=["picture", 0], add=half))
    assert torch.equal(by_mask, by_alpha)
    assert not torch.equal(by_mask, good)


# Pictures in a folder


@pytest.fixture
def folder(server):
    """Make a case folder of one person in ComfyUI's input folder; it is gone after the test."""
    made = []

    def folder(name: str, caption: str = "a man walks"):
        directory = server.directory / "input" / name
        (directory / "subjects" / "1").mkdir(parents=True)
        (directory / "caption.txt").write_text(caption)
        made.append(directory)
        return directory / "subjects" / "1"

    yield folder
    for directory in made:
        shutil.rmtree(directory)


def from_folder(name: str) -> dict:
    graph = scene_graph(scene=["folder", 0], positive_prompt=["folder", 1])
    return sampled({**graph, "folder": node("LumosXSceneFromFolder", folder=name)})


@pytest.fixture(scope="module")
def photograph(shared_cases) -> Image.Image:
    return Image.open(shared_cases / CASE / "subjects/1/face_man.png").convert("RGB")


def test_sixteen_bit_grey_and_cmyk_pictures_are_what_they_show(server, folder, photograph):
    """Each gives the latents of the 8-bit RGB picture that shows the same."""
    grey, inks = photograph.convert("L"), photograph.convert("CMYK")
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    same = {
        "grey_rgb.png": grey.convert("RGB"),
        "grey.png": grey,
        "sixteen.png": sixteen,
        "sixteen.tiff": sixteen,
        "cmyk_rgb.png": inks.convert("RGB"),
        "cmyk.tiff": inks,
    }
    results = {}
    for name, image in same.items():
        image.save(folder(f"kind {name}") / f"face_man{name[name.index('.') :]}")
        results[name] = sample(server, from_folder(f"kind {name}"))
    assert torch.equal(results["grey.png"], results["grey_rgb.png"])
    assert torch.equal(results["sixteen.png"], results["grey_rgb.png"])
    assert torch.equal(results["sixteen.tiff"], results["grey_rgb.png"])
    assert torch.equal(results["cmyk.tiff"], results["cmyk_rgb.png"])
    assert not torch.equal(results["grey_rgb.png"], results["cmyk_rgb.png"])


def test_a_cmyk_jpeg_has_the_right_colours(server, folder):
    """An ink picture of plain red is red, although JPEG stores inks upside down."""
    Image.new("CMYK", (64, 64), (0, 255, 255, 0)).save(folder("inks") / "face_man.jpg", quality=100)
    Image.new("RGB", (64, 64), (255, 0, 0)).save(folder("red") / "face_man.png")
    Image.new("RGB", (64, 64), (0, 255, 255)).save(folder("cyan") / "face_man.png")
    inks, red, cyan = (sample(server, from_folder(name)) for name in ("inks", "red", "cyan"))
    assert (inks - red).norm() < 0.1 * (cyan - red).norm()


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_an_animated_picture(refused, folder, suffix):
    first, second = (Image.new("RGB", (32, 32), color) for color in ("red", "blue"))
    path = folder("moving") / f"face_man.{suffix}"
    first.save(path, save_all=True, append_images=[second])
    refused(from_folder("moving"), str(path), "holds 2 images", "animated", "Save the one you mean as PNG")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["the file is empty", "Save it again"]),
        (b"no picture", ["it is not an image", "Save it again as PNG or JPEG"]),
        (None, ["damaged", "truncated", "Get the file again"]),
    ],
    ids=["empty", "text", "truncated"],
)
def test_an_unreadable_picture(refused, folder, shared_cases, content, parts):
    path = folder("unreadable") / "face_man.png"
    whole = (shared_cases / CASE / "subjects/1/face_man.png").read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    refused(from_folder("unreadable"), f"Cannot read the image {path}", *parts)


def test_a_folder_without_prompt_or_picture_and_one_that_is_not_there(refused, folder):
    Image.new("RGB", (8, 8)).save(folder("mute", caption="name;") / "face_man.png")
    refused(from_folder("mute"), "caption.txt has no prompt", "Write what happens")
    folder("bare").rmdir()
    refused(from_folder("bare"), "has no images", "Put some into subjects/1")
    for name in ("nowhere", "../output", CASE + "/subjects"):
        refused(from_folder(name), f"no case folder '{name}'", "Copy it there", "press R")


# Model files


@pytest.fixture
def put(server):
    """Write a file into a folder of models; it is gone after the test."""
    written = []

    def put(folder: str, name: str, content) -> str:
        written.append(server.directory / "models" / folder / name)
        return write(written[-1], content).name

    yield put
    for path in written:
        path.unlink(missing_ok=True)


def load_model(name: str) -> dict:
    return {"model": node("LumosXLoadModel", model_name=name, weight_dtype="default")}


@pytest.fixture(scope="module")
def weights(tiny_models) -> dict:
    return load_file(tiny_models / "diffusion_models" / TINY)


@pytest.fixture(scope="module")
def image_to_video(weights) -> dict:
    """A Wan network that also looks at a first frame."""
    width = weights["patch_embedding.weight"].shape[0]
    changed = {**weights, "patch_embedding.weight": torch.zeros(width, 36, 1, 2, 2)}
    shapes = {"0": (1280,), "1": (1280, 1280), "3": (width, 1280), "4": (width,)}
    for i, shape in shapes.items():
        changed |= {f"img_emb.proj.{i}.weight": torch.zeros(shape), f"img_emb.proj.{i}.bias": torch.zeros(shape[:1])}
    for block in range(3):
        for name in ("k_img", "v_img"):
            changed[f"blocks.{block}.cross_attn.{name}.weight"] = torch.zeros(width, width)
            changed[f"blocks.{block}.cross_attn.{name}.bias"] = torch.zeros(width)
        changed[f"blocks.{block}.cross_attn.norm_k_img.weight"] = torch.zeros(width)
    return changed


LTX = {
    "adaln_single.emb.timestep_embedder.linear_1.bias": torch.zeros(64),
    "transformer_blocks.0.attn2.to_k.weight": torch.zeros(64, 64),
}
LORA = {
    "diffusion_model.blocks.0.self_attn.q.lora_A.weight": torch.zeros(4, 256),
    "diffusion_model.blocks.0.self_attn.q.lora_B.weight": torch.zeros(256, 4),
}
DIFFUSERS = {
    "condition_embedder.time_embedder.linear_1.weight": torch.zeros(4, 4),
    "blocks.0.attn1.to_q.weight": torch.zeros(4, 4),
}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (LORA, ["It is a LoRA", "put the LoRA on it"]),
        (DIFFUSERS, ["under diffusers' names", "native form"]),
        (LTX, ["diffusers transformer of another model", "Give the released LumosX checkpoint"]),
        (b"", ["is empty", "Copy or download it again"]),
        (b"<!doctype html>", ["is a web page", "download it again"]),
        (b"\xff" * 64, ["unknown format, or damaged", "ff ff"]),
    ],
    ids=["LoRA", "diffusers", "LTX", "empty", "web page", "garbage"],
)
def test_a_file_of_another_kind(refused, put, content, parts):
    refused(load_model(put("diffusion_models", "other.safetensors", content)), "other.safetensors", *parts)


def test_a_vae_a_text_encoder_and_an_image_to_video_model(refused, put, tiny_models, image_to_video):
    for folder, what in (("vae", "a Wan VAE"), ("text_encoders", "a text encoder")):
        (path,) = (tiny_models / folder).iterdir()
        name = put("diffusion_models", "other.safetensors", path.read_bytes())
        refused(load_model(name), f"It is {what}", f"models/{folder}")
    name = put("diffusion_models", "other.safetensors", image_to_video)
    refused(load_model(name), "a Wan image-to-video network", "plain Wan2.1 text-to-video")


@pytest.mark.parametrize("keep", [4, 1000, 0.5, 0.999], ids=str)
def test_a_truncated_model(refused, put, tiny_models, keep):
    whole = (tiny_models / "diffusion_models" / TINY).read_bytes()
    name = put("diffusion_models", "cut.safetensors", whole[: keep if keep > 1 else int(keep * len(whole))])
    refused(load_model(name), "cut.safetensors", "again")


def test_a_model_without_some_of_its_tensors_is_never_loaded_with_random_ones(refused, put, weights):
    lacking = {name: tensor for name, tensor in weights.items() if ".cross_attn.k." not in name}
    name = put("diffusion_models", "lacking.safetensors", lacking)
    refused(load_model(name), "lacking.safetensors is incomplete", "6 tensors", "blocks.0.cross_attn.k.", "again")
    refused(load_model(put("diffusion_models", "lacking.pt", lacking)), "lacking.pt is incomplete", "6 tensors")


def test_a_tensor_of_another_shape(refused, put, weights):
    name = "blocks.0.ffn.2.weight"
    content = {**weights, name: weights[name][:, :100].contiguous()}
    refused(load_model(put("diffusion_models", "bent.safetensors", content)), name, "(256, 100)", "(256, 512)")


def test_code_in_a_pt_does_not_run(refused, put, weights, tmp_path):
    probe = tmp_path / "ran"
    for content in ({"model": weights, "extra": Code(probe)}, pickle.dumps({"model": Code(probe)})):
        refused(load_model(put("diffusion_models", "code.pt", content)), "code.pt", "could run code", "safetensors")
        refused(load_text(put("text_encoders", "code.pt", content)), "code.pt", "could run code", "safetensors")
    assert not probe.exists()


def test_a_nested_pt_that_comfyui_cannot_read_says_how_to_convert_it(refused, put, weights):
    name = put("diffusion_models", "both.pt", {"ema": weights, "model": weights})
    refused(
        load_model(name), "both.pt contains a LumosX network", "-m lumosx_core convert", "both.pt ", "both.safetensors"
    )


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp8_e4m3fn"])
def test_whole_files_of_every_precision_load(server, good, tiny_models, dtype):
    folder = server.directory / "models" / "diffusion_models"
    path = convert(tiny_models / "diffusion_models" / TINY, folder / f"{dtype}.safetensors", dtype)
    try:
        latents = sample(server, sampled({**scene_graph(), **load_model(path.name)}))
    finally:
        path.unlink()
    assert (latents - good).norm() / good.norm() < 0.2
    assert torch.equal(latents, good) == (dtype == "bf16")  # the tiny model is stored in bf16


@pytest.mark.parametrize("wrap", [dict, lambda weights: {"model": weights}], ids=["flat", "nested"])
def test_a_pt_that_comfyui_can_read_loads(server, good, put, weights, wrap):
    name = put("diffusion_models", "plain.pt", wrap(weights))
    assert torch.equal(sample(server, sampled({**scene_graph(), **load_model(name)})), good)


def test_apply_on_another_model(refused, put, image_to_video):
    for name, content, what in (
        ("i2v.safetensors", image_to_video, "WAN21 (i2v, 36 channels)"),
        ("ltx.safetensors", LTX, "LTXV"),
    ):
        put("diffusion_models", name, content)
        graph = {
            "other": node("UNETLoader", unet_name=name, weight_dtype="default"),
            "model": node("LumosXApply", model=["other", 0], mcam_ratio=0.5, r2pe=True, csam=True, mcam=True),
        }
        refused(graph, "Wan2.1 text-to-video model (t2v, 16 channels)", f"this MODEL is {what}", "LumosX Load Model")


def test_files_that_are_not_in_the_folder(refused):
    refused(load_model("absent.safetensors"), "absent.safetensors", "python", "-m lumosx_core download")
    refused(load_text("absent.safetensors"), "absent.safetensors", "models/text_encoders", "-m lumosx_core download")


# Text encoder and VAE


def load_text(name: str) -> dict:
    return {"clip": node("LumosXLoadTextEncoder", text_encoder_name=name)}


def test_a_file_that_is_no_text_encoder(refused, put, tiny_models):
    for folder in ("vae", "diffusion_models"):
        (path,) = (tiny_models / folder).iterdir()
        name = put("text_encoders", "other.safetensors", path.read_bytes())
        refused(load_text(name), "other.safetensors is not a UMT5", "no tensor 'shared.weight'", "Choose the umt5 file")
    refused(load_text(put("text_encoders", "list.pt", [1, 2])), "list.pt", "no tensor at all")
    refused(load_text(put("text_encoders", "page.safetensors", b"<!doctype html>")), "page.safetensors is a web page")


def test_a_damaged_text_encoder(refused, put, tiny_models):
    (path,) = (tiny_models / "text_encoders").iterdir()
    whole, weights = path.read_bytes(), load_file(path)

    def broken(content) -> dict:
        return load_text(put("text_encoders", "broken.safetensors", content))

    refused(broken(whole[: len(whole) // 2]), "broken.safetensors is truncated", "again")
    refused(broken(b""), "broken.safetensors is empty")
    key = "encoder.block.1.layer.0.SelfAttention.k.weight"
    refused(broken({**weights, key: torch.zeros(10, 10)}), "broken.safetensors is not a UMT5", "Choose the umt5 file")
    without = {name: tensor for name, tensor in weights.items() if name != key}
    refused(broken(without), "broken.safetensors is incomplete", "1 tensors", key, "Choose the umt5 file")
    without = {name: tensor for name, tensor in weights.items() if name != "spiece_model"}
    refused(broken(without), "no tensor 'spiece_model'", "Choose the umt5 file")


def test_a_text_encoder_of_another_model(refused, put):
    # One matrix is enough for ComfyUI to take it for the text encoder of Stable Diffusion.
    name = put("text_encoders", "l.safetensors", {"text_model.encoder.layers.0.mlp.fc1.weight": torch.zeros(3072, 768)})
    graph = scene_graph()
    graph["clip"] = node("CLIPLoader", clip_name=name, type="stable_diffusion", device="default")
    refused(sampled(graph), "needs the umt5 text encoder of Wan2.1", "this CLIP is l", "type wan")


def test_a_vae_of_another_model(refused):
    graph = scene_graph()
    graph["vae"] = node("VAELoader", vae_name="pixel_space")
    refused(sampled(graph), f"an image of {WIDTH}x{HEIGHT}", "(1, 3, 64, 96)", "Use the VAE of Wan2.1")
