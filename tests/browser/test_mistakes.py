"""Each mistake that artists make, made in the page: what they read there, and a screenshot of it.

Muted and bypassed nodes by mouse and keyboard are in test_notices.py, missing weights and uploads in test_images.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from comfy_server import STOCK_TINY, Failure
from graphs import RUNS, node, sampled, scene_graph
from PIL import Image
from playwright.sync_api import TimeoutError
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXConfig, LumosXModel
from lumosx_core.models.lumosx.tiny import tiny_files

Graph = dict[str, dict]
PLAIN, LARGE = "wan2.1_t2v_1.3B_fp16.safetensors", "lumosx_14B.safetensors"
CUTOUT, BODY = "mistakes/red hat.png", "mistakes/whole body.png"
MUTED, BYPASSED = 2, 4


@pytest.fixture(scope="module", autouse=True)
def files(server):
    """Weights that are plain Wan2.1 by name and 14B by size, and images; removed afterwards."""
    models, images = server.directory / "models" / "diffusion_models", server.directory / "input" / "mistakes"
    weights = load_file(tiny_files().diffusion_model)
    save_file(weights, models / PLAIN)
    save_file(large_network(), models / LARGE)
    images.mkdir()
    hat = Image.new("RGBA", (120, 90), (0, 0, 0, 0))
    hat.paste((200, 20, 20, 255), (30, 25, 90, 70))
    hat.save(server.directory / "input" / CUTOUT)
    body = Image.new("RGB", (120, 300), "white")
    body.paste((60, 60, 160), (45, 20, 75, 290))
    body.save(server.directory / "input" / BODY)
    yield
    (models / PLAIN).unlink()
    (models / LARGE).unlink()


def large_network() -> dict[str, torch.Tensor]:
    """The tensors of a network as wide as the 14B one, of one block and without any meaning."""
    config = LumosXConfig(dim=5120, ffn_dim=64, num_heads=40, num_layers=1)
    shapes = {name: tensor.shape for name, tensor in LumosXModel(config, device="meta").state_dict().items()}
    return {name: torch.zeros(shape, dtype=torch.float8_e4m3fn) for name, shape in shapes.items()}


def good(prompt: str | None = None) -> Graph:
    """Two people on a contact sheet, with titles of their own."""
    graph = scene_graph()
    for each in graph.values():  # which lists what is in folders, too
        if each["class_type"] == "LoadImage":
            each["class_type"] = "LumosXLoadImage"
    del graph["model"]
    video = graph.pop("video")["inputs"]
    graph["vae"] = node("LumosXLoadVAE", vae_name="lumosx-tiny-vae.safetensors")
    graph["man"]["_meta"], graph["woman"]["_meta"] = {"title": "Tom"}, {"title": "Ada"}
    prompt = video["positive_prompt"] if prompt is None else prompt
    graph["sheet"] = node("LumosXPreviewScene", scene=["scene", 0], prompt=prompt, clip=["clip", 0])
    return graph


def filmed(model: Graph) -> Graph:
    """The same two people in a video of a few pixels, by the node "model" of these."""
    graph = good()
    del graph["sheet"]
    graph |= {"video": scene_graph()["video"], **model}
    return {**sampled(graph), "save": node("SaveLatent", samples=["sampler", 0], filename_prefix="mistake")}


def phrases(**changed: str) -> Graph:
    """Other phrases: of the man's face (man), his jacket and shirt, the woman's face (woman) and her sweater."""
    graph = good()
    places = {"man": ("man", "face"), "jacket": ("man", "attribute_1"), "shirt": ("man", "attribute_2")}
    places |= {"woman": ("woman", "face"), "sweater": ("woman", "attribute_1")}
    for name, phrase in changed.items():
        owner, slot = places[name]
        graph[owner]["inputs"][f"{slot}_phrase"] = phrase
    return graph


def without_any_phrase(graph: Graph) -> Graph:
    for each in graph.values():
        each["inputs"] |= {name: "" for name in each["inputs"] if name.endswith("_phrase")}
    return graph


def without_a_prompt(graph: Graph) -> Graph:
    graph["video"]["inputs"]["positive_prompt"] = " "
    return graph


def with_hat(load: dict, mask: bool = True, invert: bool = False) -> Graph:
    """The man wears a hat that is transparent around it, from a node that loads it."""
    graph = good("A man in a red hat and a woman in a light brown sweater by a white lamp in a cozy, warmly lit room.")
    graph["hat"] = load
    graph["man"] = node("LumosXSubject", face=["man_face", 0], face_phrase="man", attribute_1=["hat", 0])
    graph["man"] |= {"_meta": {"title": "Tom"}}
    graph["man"]["inputs"]["attribute_1_phrase"] = "red hat"
    if invert:
        graph["inverted"] = node("InvertMask", mask=["hat", 1])
    if mask:
        graph["man"]["inputs"]["attribute_1_mask"] = ["inverted", 0] if invert else ["hat", 1]
    return graph


OURS = node("LumosXLoadImage", image=CUTOUT, background="white", crop_to_content=False)
STOCK = node("LoadImage", image=CUTOUT)


def whole_body() -> Graph:
    graph = good()
    graph["man_face"] = node("LumosXLoadImage", image=BODY, background="white", crop_to_content=False)
    return graph


def unplugged(*inputs: str, of: str = "man") -> Graph:
    graph = good()
    for name in inputs:
        del graph[of]["inputs"][name]
    return graph


STOCK_MODEL = {"model": node("UNETLoader", unet_name=STOCK_TINY, weight_dtype="default")}
SETTINGS = {"mcam_ratio": 0.5, "r2pe": True, "csam": True, "mcam": True}


def applied(name: str) -> Graph:
    return {
        "stock": node("UNETLoader", unet_name=name, weight_dtype="default"),
        "model": node("LumosXApply", model=["stock", 0], **SETTINGS),
    }


def shown(model: Graph) -> Graph:
    """A model that is loaded and not used: a large one would take minutes."""
    return {**model, "show": node("PreviewAny", source=["model", 0])}


@dataclass(frozen=True)
class Mistake:
    """A mistake and what is read in the page.

    Args:
        graph: makes the workflow.
        said: words that the page has to show.
        stops: whether the run ends with an error.
        muted, bypassed: names of nodes.
    """

    graph: Callable[[], Graph]
    said: tuple[str, ...]
    stops: bool = False
    muted: tuple[str, ...] = ()
    bypassed: tuple[str, ...] = ()


INVERTED = ('Attribute 1 ("red hat"): The mask looks inverted', "Tom", "use LumosX Load Image instead")
MISTAKES = {
    "scene without Apply": Mistake(
        lambda: filmed(STOCK_MODEL), ("the MODEL of this sampler has not gone through LumosX Apply",), stops=True
    ),
    "plain Wan": Mistake(
        lambda: filmed(applied(PLAIN)), (f"{PLAIN} is plain Wan2.1, by its name.", "-m lumosx_core download --comfyui")
    ),
    "14B": Mistake(
        lambda: shown({"model": node("LumosXLoadModel", model_name=LARGE, weight_dtype="default")}),
        (f"{LARGE} is a 14B network (width 5120)",),
    ),
    "14B by Apply": Mistake(lambda: shown(applied(LARGE)), (f"{LARGE} is a 14B network (width 5120)",)),
    "transparent, stock Load Image": Mistake(lambda: with_hat(STOCK), INVERTED, stops=True),
    "inverted mask": Mistake(lambda: with_hat(OURS, invert=True), INVERTED, stops=True),
    "muted garment": Mistake(
        good, ('Attribute 1 has the phrase "denim jacket" but no image', "Tom"), muted=("jacket",)
    ),
    "bypassed garment": Mistake(
        good, ('Attribute 1 has the phrase "denim jacket" but no image', "Tom"), bypassed=("jacket",)
    ),
    "unplugged garment": Mistake(
        lambda: unplugged("attribute_1"), ('Attribute 1 has the phrase "denim jacket" but no image', "Tom")
    ),
    "muted person": Mistake(good, ("subject_1 is left out: Tom, or a node before it,",), muted=("man",)),
    "bypassed person": Mistake(good, ("subject_1 is left out: Tom, or a node before it,",), bypassed=("man",)),
    "unplugged person": Mistake(
        lambda: unplugged("face", "attribute_1", "attribute_2"),
        ("This subject has no image, so it is left out.", "Tom"),
    ),
    "all phrases empty": Mistake(lambda: without_any_phrase(good()), ("All phrases are empty", "Tom (face) first")),
    "empty prompt": Mistake(
        lambda: without_a_prompt(filmed(applied(STOCK_TINY))), ("The prompt is empty", "Write what happens"), stops=True
    ),
    "empty prompt and no phrases": Mistake(
        lambda: without_a_prompt(without_any_phrase(filmed(applied(STOCK_TINY)))),
        ("The prompt is empty", "All phrases are empty"),
    ),
    "same words": Mistake(
        lambda: phrases(woman="man"),
        ('The phrase "man" belongs to Tom (face) and to Ada (face)', 'Write "man#1" for the one'),
    ),
    "same number": Mistake(
        lambda: phrases(man="man#1", woman="man#1"), ('"man#1" is used for Tom (face) and for Ada (face).',)
    ),
    "whole body": Mistake(whole_body, ("The face image of Tom is probably a whole body", "Crop it to the face")),
    "near miss: singular": Mistake(
        lambda: phrases(shirt="white shirts"),
        ('Phrase "white shirts" of Tom (attribute 2) does not occur', 'Did you mean "white shirt"?'),
        stops=True,
    ),
    "near miss: letters": Mistake(
        lambda: phrases(shirt="white shrit"),
        ('Phrase "white shrit" of Tom (attribute 2) does not occur', 'Did you mean "white shirt"?'),
        stops=True,
    ),
}


def load(desk, graph: Graph, file: str) -> dict[str, int]:
    """Open the workflow as an artist opens a file of the API's format; the ids of its nodes by their names here."""
    ids = {name: i for i, name in enumerate(graph, 1)}
    for each in graph.values():
        if each["class_type"] == "LumosXSubject":  # what ComfyUI takes from its cache says nothing
            each["inputs"]["strength"] = 0.05 * (1 + next(RUNS) % 100)

    def link(value):
        return [str(ids[value[0]]), value[1]] if isinstance(value, list) else value

    prompt = {
        str(ids[name]): {
            "class_type": each["class_type"],
            "inputs": {key: link(value) for key, value in each["inputs"].items()},
            **({"_meta": each["_meta"]} if "_meta" in each else {}),
        }
        for name, each in graph.items()
    }
    desk.open()  # without what the page says of the mistake before
    desk.clear()
    desk.page.evaluate("async ([prompt, file]) => { await app.loadApiJson(prompt, file) }", [prompt, file])
    desk.settle()
    return ids


SHOWS = """words => [...document.querySelectorAll('body *')].some(
    element => element.checkVisibility() && element.innerText?.includes(words))"""


def read(desk, words: str) -> None:
    """Wait until the page shows these words, wherever it says them."""
    try:
        desk.page.wait_for_function(SHOWS, arg=words, timeout=20_000)
    except TimeoutError:
        desk.screenshot(f"not read {words[:20]}")
        shown = " ".join(desk.page.locator("body").inner_text().split())
        pytest.fail(f"The page does not show {words!r}, but: {shown[-900:]}")


def test_a_transparent_image_in_our_own_loader_is_no_mistake(shared_desk):
    load(shared_desk, with_hat(OURS), "transparent, LumosX Load Image")
    shared_desk.run()
    shared_desk.settle()
    assert not shared_desk.page.locator(".lumosx-notices").count()
    shared_desk.screenshot("no mistake transparent, LumosX Load Image")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_read_in_the_page(shared_desk, name):
    desk, mistake = shared_desk, MISTAKES[name]
    ids = load(desk, mistake.graph(), name)
    assert not desk.page.locator(".lumosx-notices").count()  # the page was reloaded, so every notice is from this run
    for mode, names in ((MUTED, mistake.muted), (BYPASSED, mistake.bypassed)):
        for each in names:
            desk.page.evaluate("([id, mode]) => { app.graph.getNodeById(id).mode = mode }", [ids[each], mode])
    try:
        desk.run()
    except Failure:
        assert mistake.stops
    else:
        assert not mistake.stops
    for words in mistake.said:
        read(desk, words)
    desk.screenshot(f"mistake {name}")
